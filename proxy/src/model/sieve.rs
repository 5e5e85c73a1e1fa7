//! A sieve before a search: most clients are no site systems, and most hosts name none.

use std::net::IpAddr;

use super::mix::mix;

/// Words of a sieve: 512 bits, one cache line.
const WORDS: usize = 8;
/// The bit that tells ASCII letters of one case from the other's, in each of eight bytes.
const CASES: u64 = u64::from_le_bytes([0x20; 8]);

/// Says in one look of most keys that are not in a set that they are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sieve([u64; WORDS]);

impl Sieve {
    /// The sieve of these hashes.
    pub fn new(hashes: impl Iterator<Item = u64>) -> Self {
        let mut sieve = Self::default();
        for hash in hashes {
            let (word, bit) = place(hash);
            sieve.0[word] |= bit;
        }
        sieve
    }

    /// `false` when the key with this hash is not in the set.
    pub fn may_have(&self, hash: u64) -> bool {
        let (word, bit) = place(hash);
        self.0[word] & bit != 0
    }
}

fn place(hash: u64) -> (usize, u64) {
    ((hash >> 32) as usize % WORDS, 1 << (hash >> 58))
}

/// Hash of a name by its length and its first eight bytes, the same for upper and lower case.
pub fn hash_of_name(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let first = match bytes.first_chunk() {
        Some(first) => u64::from_le_bytes(*first),
        None => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    mix((first | CASES) ^ bytes.len() as u64)
}

/// Hash of an address.
pub fn hash_of_address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => mix(u64::from(u32::from(v4))),
        IpAddr::V6(v6) => mix((u128::from(v6) >> 64) as u64 ^ u128::from(v6) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_set_is_never_refused() {
        let names: Vec<String> = (0..1000).map(|id| format!("dp{id}.corp.contoso.com")).chain(["a".into()]).collect();
        let sieve = Sieve::new(names.iter().map(|name| hash_of_name(name)));
        for name in &names {
            assert!(sieve.may_have(hash_of_name(&name.to_ascii_uppercase())), "{name}");
        }
    }

    #[test]
    fn most_of_what_is_not_is_refused() {
        let systems = (0..32).map(|id| hash_of_address(IpAddr::from([10, 0, 1, id])));
        let sieve = Sieve::new(systems);
        let clients = (0..1000_u32).map(|id| IpAddr::from((0x0a01_0000 + id).to_be_bytes()));
        let passed = clients.filter(|client| sieve.may_have(hash_of_address(*client))).count();
        assert!(passed < 120, "{passed} of 1,000 pass");
        let names = Sieve::new((0..32).map(|id| hash_of_name(&format!("dp{id}.corp.contoso.com"))));
        let hosts = (0..1000).map(|id| format!("{id}.example"));
        let passed = hosts.filter(|host| names.may_have(hash_of_name(host))).count();
        assert!(passed < 120, "{passed} of 1,000 pass");
    }
}
