//! The server's side of NTLM: a challenge for one connection, and whether its answer proves a user.

use std::collections::HashMap;
use std::time::SystemTime;

use crate::message::utf16;
use crate::ntlm::{
    self, ALWAYS_SIGN, Authenticate, COMPUTER, Challenge, DNS_COMPUTER, DNS_DOMAIN, DOMAIN, EXTENDED_SECURITY, FLAGS,
    HAS_MIC, HAS_VERSION, KEY_56, KEY_128, NTLM, REQUEST_TARGET, TARGET_INFO, TARGET_IS_DOMAIN, TIMESTAMP, UNICODE,
};

/// A user that every site system knows, and the password.
pub const DEFAULT_USER: (&str, &str) = (r"LAB\client", "Passw0rd!");

const NETBIOS: &str = "LAB";
const DNS: &str = "lab.test";
/// Seconds from 1601, where Windows begins to count, to 1970.
const TO_UNIX: u64 = 11_644_473_600;

/// Who may log on.
#[derive(Debug, Clone)]
pub(crate) struct Users(HashMap<String, User>);

#[derive(Debug, Clone)]
struct User {
    full_name: String,
    password: String,
}

impl Default for Users {
    fn default() -> Self {
        let mut users = Self(HashMap::new());
        users.add(DEFAULT_USER.0, DEFAULT_USER.1);
        users
    }
}

/// `DOMAIN\name`, in the case that it was given.
fn full_name(domain: &str, name: &str) -> String {
    let ours = domain.is_empty() || domain.eq_ignore_ascii_case(DNS);
    format!("{}\\{name}", if ours { NETBIOS } else { domain })
}

impl Users {
    pub(crate) fn add(&mut self, name: &str, password: &str) {
        let (domain, name) = name.split_once('\\').unwrap_or(("", name));
        let user = User { full_name: full_name(domain, name), password: password.to_owned() };
        self.0.insert(user.full_name.to_lowercase(), user);
    }

    fn find(&self, domain: &str, name: &str) -> Option<&User> {
        self.0.get(&full_name(domain, name).to_lowercase())
    }
}

/// A challenge that was sent on a connection and waits for its answer.
#[derive(Debug)]
pub(crate) struct Pending {
    first: Vec<u8>,
    second: Vec<u8>,
    nonce: [u8; 8],
}

impl Pending {
    /// The challenge to the first message of a client; `None` if this is none.
    pub(crate) fn new(first: &[u8], server: &str) -> Option<Self> {
        let wishes = ntlm::wishes(first)?;
        let nonce = fastrand::u64(..).to_le_bytes();
        let always = NTLM | UNICODE | REQUEST_TARGET | TARGET_IS_DOMAIN | TARGET_INFO | HAS_VERSION;
        // A session key of the client's own is not granted: nothing is signed or sealed with it here.
        let flags = always | wishes & (ALWAYS_SIGN | EXTENDED_SECURITY | KEY_56 | KEY_128);
        let host = server.split('.').next().unwrap_or(server);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ticks = (since.as_secs() + TO_UNIX) * 10_000_000 + u64::from(since.subsec_nanos() / 100);
        let info = vec![
            (DOMAIN, utf16(NETBIOS, false)),
            (COMPUTER, utf16(&host.to_ascii_uppercase(), false)),
            (DNS_DOMAIN, utf16(DNS, false)),
            (DNS_COMPUTER, utf16(server, false)),
            (TIMESTAMP, ticks.to_le_bytes().to_vec()),
        ];
        let second = Challenge { flags, nonce, target: NETBIOS.to_owned(), info }.encode();
        Some(Self { first: first.to_vec(), second, nonce })
    }

    /// The second message.
    pub(crate) fn challenge(&self) -> &[u8] {
        &self.second
    }

    /// The user that the third message proves.
    pub(crate) fn verify(&self, third: &[u8], users: &Users) -> Option<String> {
        let answer = Authenticate::decode(third)?;
        let user = users.find(&answer.domain, &answer.user)?;
        let (proof, proved, pairs) = answer.proof()?;
        let key = ntlm::key_of(&answer.user, &answer.domain, &user.password);
        if ntlm::keyed(&key, &[&self.nonce, proved]) != proof {
            return None;
        }
        let flags = ntlm::find(&pairs, FLAGS).and_then(|value| value.try_into().ok()).map_or(0, u32::from_le_bytes);
        if flags & HAS_MIC != 0 {
            let mic = ntlm::mic(&key, &proof, [&self.first, &self.second, third])?;
            ntlm::mic_of(third).filter(|found| *found == mic)?;
        }
        Some(user.full_name.clone())
    }
}
