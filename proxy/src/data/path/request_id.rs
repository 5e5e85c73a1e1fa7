//! Numbers of requests, by which the logs of several machines are put together.

use http::HeaderValue;

/// Longest number of others that is kept, in bytes.
const LONGEST: usize = 128;
const HEX: [u8; 16] = *b"0123456789abcdef";

/// The number that another proxy has given a request, if it is one: letters, digits, and `-_.:+/=@`.
pub fn told(value: Option<&[u8]>) -> Option<HeaderValue> {
    let value = value.filter(|value| !value.is_empty() && value.len() <= LONGEST)?;
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte);
    if value.iter().all(fits) { HeaderValue::from_bytes(value).ok() } else { None }
}

/// A new one: 128 random bits in 32 hexadecimal digits. It tells requests apart, and is no secret.
pub fn made(mut dice: impl FnMut() -> u64) -> HeaderValue {
    let bits = u128::from(dice()) << 64 | u128::from(dice());
    let digits: [u8; 32] = std::array::from_fn(|place| HEX[(bits >> (124 - 4 * place)) as usize & 0xf]);
    HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_kept_only_if_it_can_do_no_harm() {
        for good in ["1", "4bf92f3577b34da6a3ce929d0e0e4736", "a-b_c.d:e+f/g=h@i"] {
            assert_eq!(told(Some(good.as_bytes())).as_ref().map(HeaderValue::as_bytes), Some(good.as_bytes()));
        }
        let long = "x".repeat(LONGEST + 1);
        for bad in ["", "a b", "a\"b", "a\tb", "a,b", "\u{e9}", "a;b", "<a>", &long] {
            assert_eq!(told(Some(bad.as_bytes())), None, "{bad:?}");
        }
        assert_eq!(told(None), None);
    }

    #[test]
    fn a_new_one_has_all_bits_of_the_dice() {
        let mut dice = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210].into_iter();
        let id = made(|| dice.next().unwrap_or_default());
        assert_eq!(id.as_bytes(), b"0123456789abcdeffedcba9876543210");
    }
}
