//! A client that proves who its user is.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::exchange::{Ask, Line};
use super::subject::Subject;
use super::{Answer, Client, ClientError, Step};
use crate::ntlm::{
    self, ALWAYS_SIGN, Authenticate, Challenge, EXTENDED_SECURITY, FLAGS, HAS_MIC, HAS_VERSION, KEY_56, KEY_128, NTLM,
    REQUEST_TARGET, TIMESTAMP, UNICODE,
};

const WISHES: u32 = UNICODE | REQUEST_TARGET | NTLM | ALWAYS_SIGN | EXTENDED_SECURITY | HAS_VERSION | KEY_56 | KEY_128;

/// A user and a password: makes the messages of NTLM, for [`Client`] or for a test that speaks by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    domain: String,
    user: String,
    password: String,
}

impl Credentials {
    /// A user, `ann` or `LAB\ann`, and the password.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        let (domain, user) = user.split_once('\\').unwrap_or(("", user));
        Self { domain: domain.to_owned(), user: user.to_owned(), password: password.to_owned() }
    }

    /// The first message, in base64. It is the same for all users.
    #[must_use]
    pub fn negotiate() -> String {
        BASE64_STANDARD.encode(ntlm::negotiate(WISHES))
    }

    /// The third message, in base64, which answers the second; `None` if `challenge` is none.
    #[must_use]
    pub fn authenticate(&self, challenge: &str) -> Option<String> {
        let second = BASE64_STANDARD.decode(challenge).ok()?;
        let challenge = Challenge::decode(&second)?;
        let time = ntlm::find(&challenge.info, TIMESTAMP).unwrap_or(&[0; 8]).to_vec();
        let mut info = challenge.info;
        info.push((FLAGS, HAS_MIC.to_le_bytes().to_vec()));
        let key = ntlm::key_of(&self.user, &self.domain, &self.password);
        let proved = ntlm::blob(&time, fastrand::u64(..).to_le_bytes(), &ntlm::pairs(&info));
        let proof = ntlm::keyed(&key, &[&challenge.nonce, &proved]);
        let answer = Authenticate {
            flags: challenge.flags & WISHES,
            answer: [proof.as_slice(), &proved].concat(),
            domain: self.domain.clone(),
            user: self.user.clone(),
            workstation: String::new(),
        };
        let mut third = answer.encode();
        let mic = ntlm::mic(&key, &proof, [&ntlm::negotiate(WISHES), &second, &third])?;
        ntlm::set_mic(&mut third, mic);
        Some(BASE64_STANDARD.encode(third))
    }
}

/// The challenge in an answer.
fn challenge(answer: &Answer) -> Option<&str> {
    let offers = answer.headers.get_all("www-authenticate").iter();
    offers.filter_map(|offer| offer.to_str().ok()?.strip_prefix("NTLM ")).next()
}

impl Client {
    /// Logs on as this user where it must: [`DEFAULT_USER`](crate::site::DEFAULT_USER) unless told otherwise.
    #[must_use]
    pub fn with_user(mut self, user: &str, password: &str) -> Self {
        self.credentials = Credentials::new(user, password);
        self
    }

    /// Fetches `target` as the user who is logged on: three legs, which must reach one server over one connection.
    ///
    /// # Errors
    /// A leg was refused.
    pub async fn windows_auth(&mut self, target: &str) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let ask = Ask::get(target);
        let answer = self.whole(&ask, &mut step).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Err(ask.status_error(&answer));
        }
        let answer = self.legs(ask, &mut step).await?;
        if answer.status.is_success() { Ok(step) } else { Err(Ask::get(target).status_error(&answer)) }
    }

    /// As [`Client::request_with`], as the user who is logged on: two legs, of which the first has no body. The answer
    /// is that of the second, whatever its status.
    ///
    /// # Errors
    /// There was no whole answer, or no challenge.
    pub async fn request_as_user(
        &mut self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        let mut ask = Ask::new(method, target).body(body);
        ask.headers = headers;
        self.legs(ask, &mut Step::default()).await
    }

    async fn legs(&mut self, ask: Ask, step: &mut Step) -> Result<Answer, ClientError> {
        self.line.as_user(ask, &self.credentials, step, Ok).await
    }
}

impl Line {
    /// Asks for a challenge and sends the request with the answer to it: two legs, of which the first has no body. Returns what
    /// `judge` makes of the answer to the second.
    ///
    /// # Errors
    /// There was no whole answer, or no challenge, or `judge` says so.
    pub(super) async fn as_user<T>(
        &mut self,
        ask: Ask,
        credentials: &Credentials,
        step: &mut Step,
        judge: impl FnOnce(Answer) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let first = ask.without_body().about(Subject::UserSignIn);
        let first = first.header("authorization", &format!("NTLM {}", Credentials::negotiate()));
        let proved = |answer: Answer| {
            let third = challenge(&answer).and_then(|challenge| credentials.authenticate(challenge));
            let proof = third.and_then(|third| HeaderValue::from_str(&format!("NTLM {third}")).ok());
            proof.ok_or_else(|| ask.status_error(&answer))
        };
        let proof = self.judged(&first, step, proved).await?;
        let mut last = ask;
        last.headers.insert("authorization", proof);
        self.judged(&last, step, judge).await
    }

    /// As [`Line::as_user`], after the request was refused without a user, as it is on a new connection.
    pub(super) async fn as_new_user<T>(
        &mut self,
        ask: Ask,
        credentials: &Credentials,
        step: &mut Step,
        judge: impl FnOnce(Answer) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let bare = ask.without_body().about(Subject::UserSignIn);
        let refused = |answer: Answer| {
            let offers = answer.headers.get_all("www-authenticate").iter();
            let is_offered = offers.filter_map(|offer| offer.to_str().ok()).any(|offer| offer.starts_with("NTLM"));
            match answer.status {
                StatusCode::UNAUTHORIZED if is_offered => Ok(()),
                status if status.is_success() => {
                    Err(ClientError::Protocol("nobody asks who the user is, where only users may come".to_owned()))
                }
                _ => Err(bare.status_error(&answer)),
            }
        };
        self.judged(&bare, step, refused).await?;
        self.as_user(ask, credentials, step, judge).await
    }
}
