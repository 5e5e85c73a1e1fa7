//! Policy of machines and of users: what is assigned, and the body of each policy.

use super::exchange::{Ask, Line};
use super::messaging::{Post, needs};
use super::subject::Subject;
use super::{Access, Answer, Client, ClientError, Step, access};
use crate::message::Message;

const ENDPOINT: &str = "MP_PolicyManager";
/// No client fetches more at once.
const MAX_POLICIES: usize = 10_000;

/// What is asked for of the assignments.
#[derive(Debug, Clone, Copy)]
enum Wish {
    /// All of them, as a client asks that has no cookie.
    All,
    /// So many that have changed: the cookie says it to the simulated site, and nothing to another one.
    Changed(usize),
}

impl Wish {
    fn cookie(self) -> String {
        match self {
            Self::All => "<ServerCookie/>".to_owned(),
            Self::Changed(number) => format!("<ServerCookie>{number}</ServerCookie>"),
        }
    }

    const fn most(self) -> usize {
        match self {
            Self::All => MAX_POLICIES,
            Self::Changed(number) => number,
        }
    }
}

fn assigned(reply: &Message) -> Result<(), ClientError> {
    needs(reply.payload.as_bytes(), b"<ReplyAssignments", || "the answer has no policy assignments".to_owned())
}

/// Where the policies of a reply are: it says `<mp>` where a client puts the name that it uses.
fn targets(reply: &Message, wish: Wish, access: Access) -> Vec<String> {
    let locations = reply.payload.split("http://<mp>").skip(1).take(wish.most());
    let targets = locations.map(|location| location.split([']', '<']).next().unwrap_or_default());
    targets.map(|target| target.replacen("/SMS_MP/", &format!("{}/", access.authority()), 1)).collect()
}

/// That a policy body is one.
fn body(target: &str) -> impl FnOnce(Answer) -> Result<(), ClientError> {
    move |answer| {
        let is_utf16 = answer.body.starts_with(&[0xff, 0xfe]);
        if is_utf16 { Ok(()) } else { Err(ClientError::Protocol(format!("{target} is no UTF-16"))) }
    }
}

impl Client {
    /// Asks for all of the machine's policy assignments, then fetches every policy, as a new client does.
    ///
    /// # Errors
    /// No assignments, or a policy that could not be fetched.
    pub async fn policy(&mut self) -> Result<Step, ClientError> {
        self.machine_policy(Subject::FullPolicyRequest, Wish::All).await
    }

    /// Asks what has changed of the machine's policy, and fetches `changed` policies, at most 10,000.
    ///
    /// # Errors
    /// No assignments, or a policy that could not be fetched.
    pub async fn policy_of(&mut self, changed: usize) -> Result<Step, ClientError> {
        self.machine_policy(Subject::PolicyRequest, Wish::Changed(changed.min(MAX_POLICIES))).await
    }

    async fn machine_policy(&mut self, subject: Subject, wish: Wish) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let request = self.assignments("<User/>", "Machine", wish);
        let reply = self.message(Post { subject, endpoint: ENDPOINT, payload: &request }, &mut step, assigned).await?;
        for target in targets(&reply, wish, self.access) {
            self.good(&Ask::get(&target).about(Subject::PolicyBody), &mut step, body(&target)).await?;
        }
        Ok(step)
    }

    /// Asks what has changed of the user's policy, and fetches `changed` policies. A user has a connection of its own, and
    /// signs in on it where `access` is [`Access::Windows`].
    ///
    /// # Errors
    /// The user was refused; no assignments; or a policy that could not be fetched.
    pub async fn user_policy(&mut self, access: Access, changed: usize) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let wish = Wish::Changed(changed.min(MAX_POLICIES));
        let request = self.assignments("<User><UserSID>S-1-5-21-1-2-3-1104</UserSID></User>", "User", wish);
        let post = Post { subject: Subject::UserPolicyRequest, endpoint: ENDPOINT, payload: &request };
        let mut way = self.line.way.clone();
        way.token = access::token(&format!("user of {}", self.id));
        let mut line = Line::new(way, None);
        let ask = post.ask(self, access);
        let told = ask.without_body();
        let read = |answer: Answer| {
            let reply = post.reply(&told, &answer)?;
            assigned(&reply).map(|()| reply)
        };
        let reply = match access {
            Access::Windows => line.as_new_user(ask, &self.credentials, &mut step, read).await?,
            Access::Anonymous | Access::Token => line.judged(&ask, &mut step, read).await?,
        };
        for target in targets(&reply, wish, access) {
            line.good(&Ask::get(&target).about(Subject::UserPolicyBody), &mut step, body(&target)).await?;
        }
        Ok(step)
    }

    fn assignments(&self, user: &str, resource: &str, wish: Wish) -> String {
        let name = &self.id[..8];
        format!(
            "<RequestAssignments SchemaVersion=\"1.00\" ACK=\"false\" RequestType=\"Always\"><Identification><Machine>\
             <ClientID>GUID:{}</ClientID><FQDN>{name}.lab.test</FQDN><NetBIOSName>{name}</NetBIOSName><SID/></Machine>\
             {user}</Identification><PolicySource>SMS:PRI</PolicySource><Resource ResourceType=\"{resource}\"/>{}\
             </RequestAssignments>",
            self.id,
            wish.cookie()
        )
    }
}
