//! Parts of lines that several formats share.

/// Date and time of day in a time of RFC 3339, to the second.
pub(super) fn second(ts: &str) -> (&str, &str) {
    let (date, time) = ts.split_once('T').unwrap_or((ts, ""));
    (date, time.split(['.', 'Z']).next().unwrap_or_default())
}

/// A number in decimal digits.
pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
