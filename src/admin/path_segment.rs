//! Ids in addresses.

use std::fmt::Write as _;

/// `text` as one segment of a path: what is not unreserved is percent-encoded (RFC 3986 §2.3).
pub fn path_segment(text: &str) -> String {
    text.bytes().fold(String::new(), |mut segment, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            // A String takes everything.
            let _ = write!(segment, "%{byte:02X}");
        }
        segment
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stays_one() {
        assert_eq!(path_segment("../x y"), "..%2Fx%20y");
    }
}
