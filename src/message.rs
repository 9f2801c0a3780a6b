//! The head of an HTTP message, borrowed from the bytes it came in: what a codec produces, the gate judges and the
//! proxy forwards. Nothing here decides; nothing is decoded, merged, reordered or re-cased.

use arrayvec::ArrayVec;

/// One field line (RFC 9110 §5): a name as it was sent, and its value without surrounding white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'b> {
    /// A token (RFC 9110 §5.1), in the case it was sent in.
    pub name: &'b [u8],
    /// Visible bytes, space, tab and obs-text (RFC 9110 §5.5); never CR, LF or NUL.
    pub value: &'b [u8],
}

impl Field<'_> {
    /// Whether this is the field `name`; `name` must be lower case.
    pub fn is(&self, name: &str) -> bool {
        self.name.len() == name.len() && self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Field lines that need no heap memory.
const INLINE_FIELDS: usize = 32;

/// A header or trailer section: its lines in the order they were sent. Up to 32 lines live without heap memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields<'b> {
    // Not a `SmallVec`, which is invariant in `'b`: a head could not be lent for less than its buffer lives.
    inline: ArrayVec<Field<'b>, INLINE_FIELDS>,
    spilled: Vec<Field<'b>>,
}

impl<'b> Fields<'b> {
    /// Adds a line at the end.
    pub fn push(&mut self, field: Field<'b>) {
        if let Err(full) = self.inline.try_push(field) {
            self.spilled.push(full.element());
        }
    }

    /// The number of lines.
    pub fn len(&self) -> usize {
        self.inline.len() + self.spilled.len()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.inline.is_empty()
    }

    /// Every line of the field `name` (lower case), in order.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'b [u8]> + 's {
        self.iter().filter(move |field| field.is(name)).map(|field| field.value)
    }

    /// The value of the field `name` (lower case) where exactly one line carries it.
    ///
    /// # Errors
    /// [`Repeated`] where two or more lines carry it.
    pub fn only(&self, name: &str) -> Result<Option<&'b [u8]>, Repeated> {
        let mut lines = self.all(name);
        match (lines.next(), lines.next()) {
            (first, None) => Ok(first),
            (_, Some(_)) => Err(Repeated),
        }
    }

    /// The lines in order.
    pub fn iter(&self) -> impl Iterator<Item = &Field<'b>> + Clone {
        self.inline.iter().chain(&self.spilled)
    }
}

impl<'b> FromIterator<Field<'b>> for Fields<'b> {
    fn from_iter<I: IntoIterator<Item = Field<'b>>>(lines: I) -> Self {
        let mut fields = Self::default();
        lines.into_iter().for_each(|field| fields.push(field));
        fields
    }
}

/// A field that may stand once stood twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated;

/// The protocol version a message was sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0 (RFC 1945).
    Http10,
    /// HTTP/1.1 (RFC 9112).
    Http11,
    /// HTTP/2 (RFC 9113).
    Http2,
}

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead<'b> {
    /// A token, in the case it was sent in (RFC 9110 §9.1: methods are case-sensitive).
    pub method: &'b str,
    /// The request target exactly as sent (RFC 9112 §3.2): origin, absolute, authority or asterisk form.
    /// Of an HTTP/2 request: `:path`.
    pub target: &'b [u8],
    /// `:authority` of an HTTP/2 request; `None` in HTTP/1, where the Host field says it.
    pub authority: Option<&'b [u8]>,
    /// The version it was sent in.
    pub version: Version,
    /// Whether the stream of an HTTP/2 request ended with this head (`END_STREAM`, RFC 9113 §8.1); HTTP/1 tells by
    /// fields, and this is `false`.
    pub ends_stream: bool,
    /// The header section.
    pub fields: Fields<'b>,
}

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead<'b> {
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase as sent, possibly empty; meaningless but preserved (RFC 9112 §4).
    pub reason: &'b [u8],
    /// The version it was sent in.
    pub version: Version,
    /// The header section.
    pub fields: Fields<'b>,
}
