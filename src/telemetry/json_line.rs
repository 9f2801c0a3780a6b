//! One line of JSON (RFC 8259), written by hand into a buffer: no allocation, any bytes in, one safe line out.

use super::escape::{is_deceptive, mask, push_unicode_escape};

/// An object under construction at the end of a buffer.
pub(super) struct JsonLine<'b> {
    out: &'b mut Vec<u8>,
    empty: bool,
}

impl<'b> JsonLine<'b> {
    /// Begins an object.
    pub(super) fn begin(out: &'b mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Ends the object and the line.
    pub(super) fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }

    /// A member with text of our own or of the operator. `key` is a literal that needs no escape.
    pub(super) fn text(&mut self, key: &'static str, value: &str) {
        self.key(key);
        push_string(self.out, value.as_bytes());
    }

    /// A member with text that a stranger chose: also masked.
    pub(super) fn foreign(&mut self, key: &'static str, value: &[u8]) {
        self.key(key);
        push_string(self.out, &mask(value));
    }

    /// A member with an integer.
    pub(super) fn number(&mut self, key: &'static str, value: impl itoa::Integer) {
        self.key(key);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A member with thousandths, as `12.345`.
    pub(super) fn thousandths(&mut self, key: &'static str, value: u64) {
        self.number(key, value / 1000);
        let rest = value % 1000;
        let digit = |n: u64| b'0' + u8::try_from(n % 10).unwrap_or(0);
        self.out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
    }

    /// A member that is true.
    pub(super) fn yes(&mut self, key: &'static str) {
        self.key(key);
        self.out.extend_from_slice(b"true");
    }

    /// A member with a list of text, masked.
    pub(super) fn list<'v>(&mut self, key: &'static str, values: impl Iterator<Item = &'v str>) {
        self.key(key);
        self.out.push(b'[');
        for (at, value) in values.enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            push_string(self.out, &mask(value.as_bytes()));
        }
        self.out.push(b']');
    }

    /// A member whose value is `bytes`, already safe inside quotes.
    pub(super) fn safe(&mut self, key: &'static str, bytes: &[u8]) {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(bytes);
        self.out.push(b'"');
    }

    fn key(&mut self, key: &'static str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

/// Appends `bytes` as a JSON string. Deceptive characters become `\uXXXX`; a byte that is no UTF-8 becomes the text
/// `\xFF`, so that a reader sees which it was.
fn push_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'"' && *byte != b'\\';
    if bytes.iter().all(plain) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    for chunk in bytes.utf8_chunks() {
        push_escaped(out, chunk.valid());
        for byte in chunk.invalid() {
            out.extend_from_slice(b"\\\\x");
            out.push(b"0123456789ABCDEF"[usize::from(byte >> 4)]);
            out.push(b"0123456789ABCDEF"[usize::from(byte & 15)]);
        }
    }
    out.push(b'"');
}

fn push_escaped(out: &mut Vec<u8>, text: &str) {
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            other if is_deceptive(other) => push_unicode_escape(out, other),
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(bytes: &[u8], number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let mut line = JsonLine::begin(&mut out);
        line.foreign("foreign", bytes);
        line.number("number", number);
        line.thousandths("time", number);
        line.yes("yes");
        line.list("list", [String::from_utf8_lossy(bytes).as_ref(), "b"].into_iter());
        line.end();
        out
    }

    #[test]
    fn members_read_back() {
        let out = line("a\"b\\c\u{202e}ü\n".as_bytes(), 12_045);
        assert!(
            str::from_utf8(&out)
                .unwrap()
                .contains(r#""foreign":"a\"b\\c\u202eü\u000a","number":12045,"time":12.045"#)
        );
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["foreign"], "a\"b\\c\u{202e}ü\n");
        assert_eq!(value["list"][1], "b");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown() {
        let value: serde_json::Value = serde_json::from_slice(&line(b"/\xff\xc3x", 0)).unwrap();
        assert_eq!(value["foreign"], "/\\xFF\\xC3x");
    }

    proptest! {
        #[test]
        fn any_bytes_give_one_safe_line_of_json(bytes in proptest::collection::vec(any::<u8>(), 0..300), n: u64) {
            let out = line(&bytes, n);
            serde_json::from_slice::<serde_json::Value>(&out).unwrap();
            let text = str::from_utf8(&out).unwrap();
            prop_assert_eq!(text.find(is_deceptive), Some(text.len() - 1));
        }

        #[test]
        fn any_text_gives_one_safe_line_of_json(text: String) {
            let out = line(text.as_bytes(), 0);
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(value["foreign"].as_str().unwrap().as_bytes(), &*mask(text.as_bytes()));
        }
    }
}
