//! NTLM as MS-NLMP describes it: the three messages and the arithmetic of version 2 of the protocol.
//!
//! Nothing here is for keeping secrets: it is for telling whether a proxy mixes up connections.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::{Digest as _, Md4};
use md5::Md5;

use crate::message::{from_utf16, utf16};

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
const VERSION: [u8; 8] = [10, 0, 0x63, 0x45, 0, 0, 0, 15];

/// Where the MIC of the third message is, and where what is before it ends.
const MIC_AT: usize = 72;
const MIC_END: usize = MIC_AT + 16;

/// What is before the pairs in the answer of version 2, after the proof.
const BLOB_HEAD: usize = 28;

pub(crate) const UNICODE: u32 = 0x0000_0001;
pub(crate) const REQUEST_TARGET: u32 = 0x0000_0004;
pub(crate) const NTLM: u32 = 0x0000_0200;
pub(crate) const ALWAYS_SIGN: u32 = 0x0000_8000;
pub(crate) const TARGET_IS_DOMAIN: u32 = 0x0001_0000;
pub(crate) const EXTENDED_SECURITY: u32 = 0x0008_0000;
pub(crate) const TARGET_INFO: u32 = 0x0080_0000;
pub(crate) const HAS_VERSION: u32 = 0x0200_0000;
pub(crate) const KEY_128: u32 = 0x2000_0000;
pub(crate) const KEY_56: u32 = 0x8000_0000;

/// The pairs that a server says about itself, by their number.
pub(crate) const END: u16 = 0;
pub(crate) const COMPUTER: u16 = 1;
pub(crate) const DOMAIN: u16 = 2;
pub(crate) const DNS_COMPUTER: u16 = 3;
pub(crate) const DNS_DOMAIN: u16 = 4;
pub(crate) const FLAGS: u16 = 6;
pub(crate) const TIMESTAMP: u16 = 7;
/// The value of [`FLAGS`] that announces a MIC.
pub(crate) const HAS_MIC: u32 = 2;

pub(crate) type Key = [u8; 16];

/// Numbers and values.
pub(crate) type Pairs = Vec<(u16, Vec<u8>)>;

pub(crate) fn keyed(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("a key of any length will do");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// What stands for a user, its domain and its password.
pub(crate) fn key_of(user: &str, domain: &str, password: &str) -> Key {
    let secret = Md4::digest(utf16(password, false));
    keyed(&secret, &[&utf16(&user.to_uppercase(), false), &utf16(domain, false)])
}

/// The number of a message, 1 to 3.
pub(crate) fn kind(token: &[u8]) -> Option<u32> {
    token.strip_prefix(SIGNATURE)?;
    number(token, 8)
}

fn number(token: &[u8], at: usize) -> Option<u32> {
    token.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// The piece that a field at `at` points to: its length, the room it has and its place.
fn field(token: &[u8], at: usize) -> Option<&[u8]> {
    let len = usize::from(u16::from_le_bytes(token.get(at..at + 2)?.try_into().ok()?));
    let from = usize::try_from(number(token, at + 4)?).ok()?;
    if len == 0 { Some(&[]) } else { token.get(from..from.checked_add(len)?) }
}

/// Adds a piece at the end, and a field at `at` that points to it.
fn put(token: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let len = u16::try_from(piece.len()).unwrap_or(u16::MAX);
    let place = u32::try_from(token.len()).unwrap_or(u32::MAX);
    token[at..at + 2].copy_from_slice(&len.to_le_bytes());
    token[at + 2..at + 4].copy_from_slice(&len.to_le_bytes());
    token[at + 4..at + 8].copy_from_slice(&place.to_le_bytes());
    token.extend_from_slice(&piece[..usize::from(len)]);
}

fn head(kind: u32, len: usize) -> Vec<u8> {
    let mut token = vec![0; len];
    token[..8].copy_from_slice(SIGNATURE);
    token[8..12].copy_from_slice(&kind.to_le_bytes());
    token
}

/// Pairs of a number and a value, with their end.
pub(crate) fn pairs(pairs: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut packed = Vec::new();
    for (id, value) in pairs.iter().chain([&(END, Vec::new())]) {
        packed.extend(id.to_le_bytes());
        packed.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
        packed.extend(value);
    }
    packed
}

/// Reads pairs up to their end, or to where they make no sense.
pub(crate) fn read_pairs(mut packed: &[u8]) -> Pairs {
    let mut found = Vec::new();
    while let [a, b, c, d, rest @ ..] = packed {
        let (id, len) = (u16::from_le_bytes([*a, *b]), usize::from(u16::from_le_bytes([*c, *d])));
        if id == END || rest.len() < len {
            break;
        }
        found.push((id, rest[..len].to_vec()));
        packed = &rest[len..];
    }
    found
}

/// The value of a pair.
pub(crate) fn find(pairs: &[(u16, Vec<u8>)], id: u16) -> Option<&[u8]> {
    pairs.iter().find(|(found, _)| *found == id).map(|(_, value)| value.as_slice())
}

/// The first message.
pub(crate) fn negotiate(flags: u32) -> Vec<u8> {
    let mut token = head(1, 40);
    token[12..16].copy_from_slice(&flags.to_le_bytes());
    token[32..40].copy_from_slice(&VERSION);
    token
}

/// What the first message asks for.
pub(crate) fn wishes(token: &[u8]) -> Option<u32> {
    number(token, 12).filter(|_| kind(token) == Some(1))
}

/// The second message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(crate) flags: u32,
    pub(crate) nonce: [u8; 8],
    pub(crate) target: String,
    pub(crate) info: Pairs,
}

impl Challenge {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut token = head(2, 56);
        token[20..24].copy_from_slice(&self.flags.to_le_bytes());
        token[24..32].copy_from_slice(&self.nonce);
        token[48..56].copy_from_slice(&VERSION);
        put(&mut token, 12, &utf16(&self.target, false));
        put(&mut token, 40, &pairs(&self.info));
        token
    }

    pub(crate) fn decode(token: &[u8]) -> Option<Self> {
        if kind(token) != Some(2) {
            return None;
        }
        let flags = number(token, 20)?;
        let nonce = token.get(24..32)?.try_into().ok()?;
        Some(Self { flags, nonce, target: from_utf16(field(token, 12)?), info: read_pairs(field(token, 40)?) })
    }
}

/// The third message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authenticate {
    pub(crate) flags: u32,
    pub(crate) answer: Vec<u8>,
    pub(crate) domain: String,
    pub(crate) user: String,
    pub(crate) workstation: String,
}

impl Authenticate {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut token = head(3, MIC_END);
        token[60..64].copy_from_slice(&self.flags.to_le_bytes());
        token[64..72].copy_from_slice(&VERSION);
        put(&mut token, 28, &utf16(&self.domain, false));
        put(&mut token, 36, &utf16(&self.user, false));
        put(&mut token, 44, &utf16(&self.workstation, false));
        // A client that knows the server's time sends zeros where version 1 had its answer.
        put(&mut token, 12, &[0; 24]);
        put(&mut token, 20, &self.answer);
        put(&mut token, 52, &[]);
        token
    }

    pub(crate) fn decode(token: &[u8]) -> Option<Self> {
        if kind(token) != Some(3) {
            return None;
        }
        let flags = number(token, 60)?;
        let text = |at| {
            let piece = field(token, at)?;
            Some(if flags & UNICODE == 0 { String::from_utf8_lossy(piece).into_owned() } else { from_utf16(piece) })
        };
        let answer = field(token, 20)?.to_vec();
        Some(Self { flags, answer, domain: text(28)?, user: text(36)?, workstation: text(44)? })
    }

    /// The proof, what it proves, and the pairs therein; `None` for an answer of version 1.
    pub(crate) fn proof(&self) -> Option<(Key, &[u8], Pairs)> {
        let (proof, blob) = self.answer.split_first_chunk::<16>()?;
        let pairs = blob.get(BLOB_HEAD..)?;
        Some((*proof, blob, read_pairs(pairs)))
    }
}

/// What is proved: the client's time and nonce and the pairs of both sides.
pub(crate) fn blob(time: &[u8], nonce: [u8; 8], pairs: &[u8]) -> Vec<u8> {
    [&[1, 1, 0, 0, 0, 0, 0, 0], time, &nonce, &[0; 4], pairs, &[0; 4]].concat()
}

/// The code over all three messages, whose key follows from the proof. That of the third is left out of it.
pub(crate) fn mic(key: &Key, proof: &Key, messages: [&[u8]; 3]) -> Option<Key> {
    let [first, second, third] = messages;
    let session = keyed(key, &[proof]);
    Some(keyed(&session, &[first, second, third.get(..MIC_AT)?, &[0; 16], third.get(MIC_END..)?]))
}

pub(crate) fn mic_of(third: &[u8]) -> Option<&[u8]> {
    third.get(MIC_AT..MIC_END)
}

pub(crate) fn set_mic(third: &mut [u8], mic: Key) {
    third[MIC_AT..MIC_END].copy_from_slice(&mic);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::content::hex;

    /// The example of MS-NLMP 4.2.4.
    #[test]
    fn the_documented_example_comes_out() {
        let key = key_of("User", "Domain", "Password");
        assert_eq!(hex(&key), "0c868a403bfd7a93a3001ef22ef02e3f");
        let info = pairs(&[(DOMAIN, utf16("Domain", false)), (COMPUTER, utf16("Server", false))]);
        let proved = blob(&[0; 8], [0xaa; 8], &info);
        let proof = keyed(&key, &[&[1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef], &proved]);
        assert_eq!(hex(&proof), "68cd0ab851e51c96aabc927bebef6a1c");
        assert_eq!(hex(&keyed(&key, &[&proof])), "8de40ccadbc14a82f15cb0ad0de95ca3");
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        assert_eq!(wishes(&negotiate(UNICODE | NTLM)), Some(UNICODE | NTLM));
        let info = vec![(DOMAIN, utf16("LAB", false)), (TIMESTAMP, vec![7; 8])];
        let challenge = Challenge { flags: UNICODE, nonce: [9; 8], target: "LAB".to_owned(), info };
        assert_eq!(Challenge::decode(&challenge.encode()).as_ref(), Some(&challenge));
        let answer = [vec![5; 16], blob(&[0; 8], [1; 8], &pairs(&challenge.info))].concat();
        let [domain, user, workstation] = ["LAB", "Jürgen", "PC1"].map(str::to_owned);
        let third = Authenticate { flags: UNICODE, answer, domain, user, workstation };
        let read = Authenticate::decode(&third.encode()).unwrap();
        assert_eq!(read, third);
        assert_eq!(read.proof().unwrap().2, challenge.info);
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        let whole = Authenticate {
            flags: UNICODE,
            answer: vec![1; 60],
            domain: "d".to_owned(),
            user: "u".to_owned(),
            workstation: "w".to_owned(),
        };
        let whole = whole.encode();
        for len in 0..whole.len() {
            // What matters is that no length makes it panic.
            let _ = (Authenticate::decode(&whole[..len]), Challenge::decode(&whole[..len]), wishes(&whole[..len]));
            let _ = (mic(&[0; 16], &[0; 16], [&[], &[], &whole[..len]]), mic_of(&whole[..len]));
        }
        let mut far = whole.clone();
        far[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Authenticate::decode(&far), None);
        assert_eq!(kind(b"NTLMSSP"), None);
        assert_eq!(kind(b"nothing of the kind"), None);
    }
}
