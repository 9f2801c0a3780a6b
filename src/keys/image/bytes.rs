//! Numbers, texts and lists as bytes: written without bounds of their own, read so that no claim of the bytes is
//! believed before it is seen.

/// Reads what the functions beside it wrote; `None` where the bytes end or make no sense.
#[derive(Debug)]
pub(super) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.array()? {
            [0] => Some(false),
            [1] => Some(true),
            [_] => None,
        }
    }

    pub(super) fn text(&mut self) -> Option<&'b str> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        str::from_utf8(text).ok()
    }

    /// The length of a list. Every item takes a byte or more, so that there cannot be more of them than bytes.
    pub(super) fn list(&mut self) -> Option<usize> {
        let length = usize::try_from(self.u32()?).ok()?;
        (length <= self.0.len()).then_some(length)
    }

    /// What may be missing, if it can be read at all.
    #[expect(clippy::option_option, reason = "unreadable is not missing")]
    pub(super) fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }
}

pub(super) fn put_u8(buffer: &mut Vec<u8>, number: u8) {
    buffer.push(number);
}

/// The length of a list; none is longer than a table can be.
pub(super) fn put_list(buffer: &mut Vec<u8>, length: usize) {
    buffer.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

/// A text; what exceeds 65,535 bytes is cut.
pub(super) fn put_text(buffer: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(usize::from(u16::MAX))];
    buffer.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    buffer.extend(text.as_bytes());
}

pub(super) fn put_option<T>(buffer: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    buffer.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(buffer, value);
    }
}
