//! Bytes that belong to one request and one author, so that those of another are seen.

/// The bytes that this author sends about this request, from the first one on.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    key: u64,
    word: u64,
    left: usize,
}

impl Content {
    pub(crate) fn new(id: u64, author: &str) -> Self {
        let key = author.bytes().fold(mixed(id), |key, byte| mixed(key ^ u64::from(byte)));
        Self { key, word: 0, left: 0 }
    }

    fn next(&mut self) -> u8 {
        if self.left == 0 {
            self.key = self.key.wrapping_add(0x9E37_79B9_7F4A_7C15);
            self.word = mixed(self.key);
            self.left = 8;
        }
        self.left -= 1;
        let byte = self.word as u8;
        self.word >>= 8;
        byte
    }

    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next()).collect()
    }

    /// Whether these are the next bytes.
    pub(crate) fn matches(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| *byte == self.next())
    }
}

/// Every bit of the result depends on every bit of the number (splitmix64).
pub(crate) fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_the_same_in_any_pieces_and_of_no_other() {
        let whole = Content::new(7, "dp1").take(1000);
        let mut pieces = Content::new(7, "dp1");
        assert!(whole.chunks(13).all(|piece| pieces.matches(piece)));
        for (id, author) in [(8, "dp1"), (7, "dp2"), (7, "client")] {
            assert!(!Content::new(id, author).matches(&whole[..8]), "{id} {author}");
        }
        assert!(!Content::new(7, "dp1").matches(&whole[1..9]), "a byte was lost");
    }
}
