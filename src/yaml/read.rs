//! From bytes to a [`Document`]: saphyr gives events, this module the tree, the limits and the refusals.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};

use super::document::{Content, Document, Node, Raw, Shape, Style};
use super::problem::{Place, Problem, Problems};
use super::scalar::{self, Value};
use super::source::{HORIZON, Horizon, Source};
use super::syntax;

/// How much a document may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of text, at most 4 GiB whatever is asked. Default 64 MiB.
    pub bytes: usize,
    /// The most containers inside each other. Default 32.
    pub depth: usize,
    /// The most nodes: scalars, keys, sequences and mappings. Default 8 million, some 300 MB in memory.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 20, depth: 32, nodes: 8_000_000 }
    }
}

/// The document that `text` holds: UTF-8, with or without byte order mark.
///
/// Beside `limits`, no scalar and no outermost flow collection (`[…]`, `{…}`) may exceed 4 MiB.
///
/// Cost: linear in the text, about 15 ns per byte; 36 bytes for each node.
///
/// # Errors
/// All problems at once, in the order of their places: what the module refuses, and the first syntax error, where
/// reading stops. At least one.
pub fn parse<'t, T: AsRef<[u8]> + ?Sized>(
    text: &'t T,
    limits: &Limits,
) -> Result<Document<'t>, Vec<Problem>> {
    let text = as_text(text.as_ref(), limits).map_err(|problem| vec![*problem])?;
    let horizon = Horizon::default();
    let mut reader = Reader::new(text, limits);
    let mut parser = Parser::new(Source::new(text, &horizon));
    while let Some(event) = parser.next_event() {
        let read = match event {
            _ if horizon.is_reached() => Err(Box::new(reader.beyond_horizon())),
            Ok((event, span)) => reader.accept(event, span),
            Err(error) => Err(Box::new(reader.syntax_error(&error))),
        };
        if let Err(problem) = read {
            reader.problems.push(*problem);
            break;
        }
        horizon.move_on(text.len() - reader.cursor.byte);
    }
    reader.finish()
}

/// The text of `bytes` without byte order mark.
fn as_text<'t>(bytes: &'t [u8], limits: &Limits) -> Result<&'t str, Box<Problem>> {
    let most = limits.bytes.min(u32::MAX as usize);
    if bytes.len() > most {
        return Err(Box::new(Problem::new(
            START,
            format!("the file has {} bytes", bytes.len()),
            format!("at most {most} are read; split it"),
        )));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Box::new(Problem::new(START, "this is UTF-16, not UTF-8", "save the file as UTF-8")));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (valid, rest) = bytes.split_at(error.valid_up_to());
        let valid = str::from_utf8(valid).unwrap_or_default();
        Box::new(Problem::new(
            place_after(valid),
            format!("byte 0x{:02x} is not UTF-8", rest.first().copied().unwrap_or_default()),
            "save the file as UTF-8",
        ))
    })?;
    match first_unprintable(text) {
        Some((at, character)) => Err(Box::new(Problem::new(
            place_after(&text[..at]),
            format!("character U+{:04X} cannot stand here", u32::from(character)),
            format!("remove it, or write it in double quotes as \\u{:04X}", u32::from(character)),
        ))),
        None => Ok(text),
    }
}

/// Where the first character outside of `c-printable` (YAML 1.2.2 §5.1), or a byte order mark, is.
fn first_unprintable(text: &str) -> Option<(usize, char)> {
    let bytes = text.as_bytes();
    // One pass that a compiler can vectorise; the exact look is for the few texts that need it.
    let suspicious = |byte: u8| (byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) || byte >= 0x7f;
    if bytes.chunks(4096).all(|chunk| !chunk.iter().fold(false, |any, &byte| any | suspicious(byte))) {
        return None;
    }
    let printable = |&(_, character): &(usize, char)| {
        matches!(character, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}')
            || matches!(character, '\u{a0}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
    };
    text.char_indices().find(|found| !printable(found))
}

/// The place where a text begins.
const START: Place = Place { line: 1, column: 1 };

/// The place of the character that follows `before`, a text from its start.
pub(super) fn place_after(before: &str) -> Place {
    Position { byte: 0, place: START }.advanced(before, before.len()).place
}

/// A byte of the text and its place.
#[derive(Debug, Clone, Copy)]
struct Position {
    byte: usize,
    place: Place,
}

impl Position {
    /// The position at byte `to` of `text`, at or after this one. Cost: linear in the distance.
    fn advanced(self, text: &str, to: usize) -> Self {
        let to = to.min(text.len());
        let Place { mut line, mut column } = self.place;
        let mut characters = text.get(self.byte..to).unwrap_or_default().chars().peekable();
        while let Some(character) = characters.next() {
            if character == '\n' || (character == '\r' && characters.peek() != Some(&'\n')) {
                line += 1;
                column = 1;
            } else if character != '\r' {
                column += 1;
            }
        }
        Self { byte: to, place: Place { line, column } }
    }
}

/// Turns saphyr's character counts into bytes. Events come in order, so it only ever steps a little.
#[derive(Debug)]
struct Cursor<'t> {
    text: &'t str,
    ascii: bool,
    index: usize,
    byte: usize,
}

impl Cursor<'_> {
    fn seek(&mut self, index: usize) -> usize {
        let bytes = self.text.as_bytes();
        if self.ascii {
            (self.index, self.byte) = (index, index.min(bytes.len()));
        }
        while self.index < index && self.byte < bytes.len() {
            self.index += 1;
            self.byte += 1;
            while bytes.get(self.byte).is_some_and(|byte| byte & 0xc0 == 0x80) {
                self.byte += 1;
            }
        }
        while self.index > index && self.byte > 0 {
            self.index -= 1;
            self.byte -= 1;
            while self.byte > 0 && bytes[self.byte] & 0xc0 == 0x80 {
                self.byte -= 1;
            }
        }
        self.byte
    }
}

/// A container whose end was not yet read.
#[derive(Debug)]
struct Open {
    id: u32,
    children: usize,
}

/// The tree as far as it was read.
#[derive(Debug)]
struct Reader<'t> {
    text: &'t str,
    document: Document<'t>,
    open: Vec<Open>,
    /// Where the last token that made a node ended.
    last: Position,
    complete: bool,
    limits: Limits,
    cursor: Cursor<'t>,
    problems: Problems,
}

type Step = Result<(), Box<Problem>>;

impl<'t> Reader<'t> {
    fn new(text: &'t str, limits: &Limits) -> Self {
        Self {
            // A node takes some twelve bytes of text; memory that is not used is not touched.
            text,
            document: Document {
                text: Cow::Borrowed(text),
                nodes: Vec::with_capacity(text.len() / 12),
                owned: Vec::new(),
            },
            open: Vec::new(),
            last: Position { byte: 0, place: START },
            complete: false,
            limits: *limits,
            cursor: Cursor { text, ascii: text.is_ascii(), index: 0, byte: 0 },
            problems: Problems::default(),
        }
    }

    fn accept(&mut self, event: Event<'t>, span: Span) -> Step {
        match event {
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => Ok(()),
            Event::StreamEnd => self.end_of_stream(),
            Event::DocumentStart(explicit) => self.start_of_document(explicit, span),
            Event::Alias(_) => {
                self.problems.push(syntax::alias(place(span.start)));
                self.scalar("", ScalarStyle::Plain, span)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), span);
                self.scalar(&text, style, span)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), span);
                let flow = self.text_at(span).starts_with('[');
                self.open(Shape::Sequence { flow }, span)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), span);
                let flow = self.text_at(span).starts_with('{');
                self.open(Shape::Mapping { flow }, span)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let end = self.after_bracket(span);
                self.close(end);
                Ok(())
            }
        }
    }

    fn text_at(&mut self, span: Span) -> &'t str {
        &self.text[self.cursor.seek(span.start.index())..]
    }

    fn start_of_document(&mut self, explicit: bool, span: Span) -> Step {
        if self.complete {
            return Err(Box::new(Problem::new(
                place(span.start),
                "a second document begins here",
                "keep one document in a file: remove the `---`, or split the file",
            )));
        }
        if explicit {
            self.last = Position { byte: self.cursor.seek(span.end.index()), place: place(span.end) };
        }
        Ok(())
    }

    fn end_of_stream(&mut self) -> Step {
        let nothing = match self.document.nodes.first() {
            None => true,
            Some(root) => root.shape == Shape::Scalar(Style::Plain) && root.start == root.end,
        };
        if nothing && self.problems.total() == 0 {
            return Err(Box::new(Problem::new(
                START,
                "the file is empty",
                "write at least one `name: value` line",
            )));
        }
        Ok(())
    }

    fn refuse_properties(&mut self, anchor: usize, tag: bool, span: Span) {
        if anchor > 0 {
            self.problems.push(syntax::anchor(place(span.start)));
        }
        if tag {
            self.problems.push(syntax::tag(place(span.start)));
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) -> Step {
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::SingleQuoted,
            ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
        };
        let (start, end) = self.extent(text, style, span);
        let source = &self.text[start.byte..end.byte];
        let unquoted = match style {
            Style::Plain => Some(source),
            Style::SingleQuoted | Style::DoubleQuoted => source.get(1..source.len().saturating_sub(1)),
            Style::Literal | Style::Folded => None,
        };
        let content = if unquoted == Some(text) {
            Content::Verbatim
        } else {
            self.document.owned.push(text.into());
            Content::Owned(offset(self.document.owned.len() - 1))
        };
        if self.enter()? {
            self.check_key(text, style, start.place);
        }
        self.last = end;
        self.push(Shape::Scalar(style), start, end.byte, content);
        Ok(())
    }

    /// Where a scalar begins and ends. saphyr gives the neighbouring token for a value that is not there, the first
    /// line of content for a block scalar, and counts the comment after a quoted scalar as part of it.
    fn extent(&mut self, text: &str, style: Style, span: Span) -> (Position, Position) {
        let start = Position { byte: self.cursor.seek(span.start.index()), place: place(span.start) };
        let end = Position { byte: self.cursor.seek(span.end.index()), place: place(span.end) };
        match style {
            Style::Plain if text.is_empty() => {
                let missing = self.last.advanced(self.text, self.after_indicators(1).0);
                (missing, missing)
            }
            Style::Plain => (start, end),
            Style::SingleQuoted | Style::DoubleQuoted => {
                let length = quoted_length(&self.text.as_bytes()[start.byte..end.byte], style);
                (start, start.advanced(self.text, start.byte + length))
            }
            Style::Literal | Style::Folded => {
                (self.last.advanced(self.text, self.after_indicators(usize::MAX).1), end)
            }
        }
    }

    /// After the last node, and at most `most` of the indicators (`-`, `:`, `?`) that follow among blanks and comments:
    /// the end of the last such indicator, and of the blanks and comments behind it.
    fn after_indicators(&self, most: usize) -> (usize, usize) {
        let bytes = self.text.as_bytes();
        let (mut at, mut settled, mut seen) = (self.last.byte, self.last.byte, 0);
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => at += 1,
                b'#' => at += comment_length(&bytes[at..]),
                // An end marker may stand before the document too.
                b'.' if self.document.nodes.is_empty() && bytes[at..].starts_with(b"...") => at += 3,
                b'-' | b':' | b'?' if seen < most => {
                    seen += 1;
                    at += 1;
                    settled = at;
                }
                _ => break,
            }
        }
        (settled, at)
    }

    fn open(&mut self, shape: Shape, span: Span) -> Step {
        let start = self.start_of_container(shape, span);
        if self.enter()? {
            self.problems.push(syntax::complex_key(start.place));
        }
        if self.open.len() >= self.limits.depth {
            return Err(Box::new(Problem::new(
                start.place,
                format!("more than {} lists and mappings inside each other", self.limits.depth),
                "nest them less deeply",
            )));
        }
        if shape.is_flow() {
            self.last = start.advanced(self.text, start.byte + 1);
        } else if start.byte > self.last.byte {
            self.last = start;
        }
        self.open.push(Open { id: offset(self.document.nodes.len()), children: 0 });
        self.push(shape, start, start.byte, Content::None);
        Ok(())
    }

    /// Where the bracket at the end of a flow collection ends. saphyr gives the comma before it, if there is one, and
    /// counts the comment after it as part of it.
    fn after_bracket(&mut self, span: Span) -> Position {
        let bytes = self.text.as_bytes();
        let start = Position { byte: self.cursor.seek(span.start.index()), place: place(span.start) };
        let mut at = start.byte;
        while let Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b'#') = bytes.get(at) {
            at += if bytes[at] == b'#' { comment_length(&bytes[at..]) } else { 1 };
        }
        start.advanced(self.text, at + 1)
    }

    /// Where a container begins. saphyr gives the first item, not its `-`, for a list that is not indented.
    fn start_of_container(&mut self, shape: Shape, span: Span) -> Position {
        let start = Position { byte: self.cursor.seek(span.start.index()), place: place(span.start) };
        if shape != (Shape::Sequence { flow: false }) {
            return start;
        }
        let (_, dash) = self.after_indicators(usize::from(!self.open.is_empty()));
        if dash < start.byte && self.text[dash..].starts_with('-') {
            return self.last.advanced(self.text, dash);
        }
        start
    }

    /// Ends the innermost container; if it has brackets, at `end`. The end of a block is no token of its own: saphyr
    /// gives the next one, which is too far.
    fn close(&mut self, end: Position) {
        let Some(Open { id, .. }) = self.open.pop() else { return };
        let next = offset(self.document.nodes.len());
        let raw = &mut self.document.nodes[id as usize];
        raw.next = next;
        if raw.shape.is_flow() {
            self.last = end;
        }
        raw.end = raw.end.max(offset(self.last.byte));
        if matches!(raw.shape, Shape::Mapping { .. }) {
            self.check_duplicates(id);
        }
        self.complete |= self.open.is_empty();
    }

    /// Counts a node in its parent; whether it is a key.
    fn enter(&mut self) -> Result<bool, Box<Problem>> {
        let nodes = &self.document.nodes;
        if nodes.len() >= self.limits.nodes {
            return Err(Box::new(Problem::new(
                nodes.last().map_or_else(Place::default, |raw| raw.place),
                format!("more than {} values", self.limits.nodes),
                "split the file",
            )));
        }
        let Some(parent) = self.open.last_mut() else { return Ok(false) };
        parent.children += 1;
        let mapping = matches!(nodes[parent.id as usize].shape, Shape::Mapping { .. });
        Ok(mapping && parent.children % 2 == 1)
    }

    fn push(&mut self, shape: Shape, start: Position, end: usize, content: Content) {
        let next = offset(self.document.nodes.len() + 1);
        let (place, start) = (start.place, offset(start.byte));
        self.document.nodes.push(Raw { start, end: offset(end), place, next, shape, content });
        self.complete |= self.open.is_empty();
    }

    fn check_key(&mut self, text: &str, style: Style, place: Place) {
        if style != Style::Plain {
            return;
        }
        if text == "<<" {
            return self.problems.push(syntax::merge_key(place));
        }
        // Numbers are taken as they are written, so that `404: …` is the key "404".
        match scalar::resolve(text) {
            Value::Null => self.problems.push(syntax::null_key(place)),
            Value::Bool(_) => self.problems.push(syntax::bool_key(place, text)),
            Value::Integer(_) | Value::Float(_) | Value::Text(_) => {}
        }
    }

    fn check_duplicates(&mut self, id: u32) {
        const HASHED_FROM: usize = 16;
        let mapping = Node { document: &self.document, id };
        let keys = mapping.entries().filter_map(|(key, _)| Some((key.text()?, key.place())));
        let mut found = Vec::new();
        if mapping.entries().nth(HASHED_FROM).is_none() {
            let mut seen: [(&str, Place); HASHED_FROM] = [("", Place::default()); HASHED_FROM];
            for (count, (key, place)) in keys.enumerate() {
                if let Some((_, first)) = seen[..count].iter().find(|(known, _)| *known == key) {
                    found.push(syntax::duplicate_key(place, *first, key));
                }
                seen[count] = (key, place);
            }
        } else {
            let mut seen = HashMap::new();
            for (key, place) in keys {
                let first = *seen.entry(key).or_insert(place);
                if first != place {
                    found.push(syntax::duplicate_key(place, first, key));
                }
            }
        }
        for problem in found {
            self.problems.push(problem);
        }
    }

    fn syntax_error(&mut self, error: &ScanError) -> Problem {
        let (read, rest) = self.text.split_at(self.cursor.seek(error.marker().index()));
        syntax::error(error, place(*error.marker()), read, rest)
    }

    fn beyond_horizon(&self) -> Problem {
        Problem::new(
            self.last.place,
            format!("a value or bracketed collection after this is longer than {} MiB", HORIZON >> 20),
            "write lists and mappings on lines of their own, without [ ] and { }",
        )
    }

    fn finish(mut self) -> Result<Document<'t>, Vec<Problem>> {
        // Open containers remain where reading stopped; their duplicates are told too.
        while !self.open.is_empty() {
            self.close(self.last);
        }
        self.problems.unless(self.document)
    }
}

/// How far the comment at the start of `rest` goes.
fn comment_length(rest: &[u8]) -> usize {
    rest.iter().take_while(|&&byte| byte != b'\n' && byte != b'\r').count()
}

/// How long the quoted scalar at the start of `rest` is, with its quotes.
fn quoted_length(rest: &[u8], style: Style) -> usize {
    let mut at = 1;
    while let Some(&byte) = rest.get(at) {
        match (byte, style) {
            (b'\\', Style::DoubleQuoted) => at += 2,
            (b'\'', Style::SingleQuoted) if rest.get(at + 1) == Some(&b'\'') => at += 2,
            (b'\'', Style::SingleQuoted) | (b'"', Style::DoubleQuoted) => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn place(marker: Marker) -> Place {
    Place { line: offset(marker.line()), column: offset(marker.col()) + 1 }
}

/// A count within a document, which never exceeds 4 GiB.
fn offset(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
