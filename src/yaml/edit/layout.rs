//! Where in the text an edit goes, and what it writes there.
//!
//! Each edit gives the ways to write it, the nicest first; the proof decides which is taken.

use std::ops::Range;

use super::NewValue;
use super::path::{Slot, Target};
use super::render::{entry, inline, item, restyled};
use crate::yaml::document::{Node, Shape};

/// One stretch of text and what takes its place.
#[derive(Debug, Clone)]
pub(super) struct Splice {
    range: Range<usize>,
    text: String,
}

impl Splice {
    fn new(range: Range<usize>, text: impl Into<String>) -> Self {
        Self { range, text: text.into() }
    }

    /// `before` with the stretch replaced; `None` if it has no such stretch.
    pub(super) fn apply(&self, before: &str) -> Option<String> {
        let (start, end) = (before.get(..self.range.start)?, before.get(self.range.end..)?);
        (self.range.start <= self.range.end).then(|| [start, &self.text, end].concat())
    }
}

/// The items of a list in brackets.
fn listed(values: &[NewValue]) -> String {
    let items: Vec<_> = values.iter().map(|value| inline(value, true)).collect();
    items.join(", ")
}

/// The text with its lines.
#[derive(Debug)]
pub(super) struct Layout<'t> {
    text: &'t str,
    newline: &'static str,
}

impl<'t> Layout<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let crlf = text.find('\n').is_some_and(|at| text[..at].ends_with('\r'));
        Self { text, newline: if crlf { "\r\n" } else { "\n" } }
    }

    /// New last items of the list `target`.
    pub(super) fn extend(&self, target: &Target<'_>, values: &[NewValue]) -> Vec<Splice> {
        let sequence = target.node;
        let Some(last) = sequence.items().last() else { return self.fill_empty(target, values) };
        if sequence.shape() == (Shape::Sequence { flow: true }) {
            let end = last.span().end;
            return vec![Splice::new(end..end, format!(", {}", listed(values)))];
        }
        let indent = self.column(sequence.span().start);
        let dash = self.dash_of(sequence, sequence.items().count() - 1);
        let offset = match last.shape() {
            Shape::Mapping { flow: false } if self.line_end(dash) >= last.span().start => {
                last.span().start - dash
            }
            Shape::Scalar(_) | Shape::Sequence { .. } | Shape::Mapping { .. } => 2,
        };
        let gap =
            if self.has_blank_lines(sequence, sequence.items().count() - 1) { self.newline } else { "" };
        let lines: Vec<_> = values
            .iter()
            .map(|value| format!("{gap}{}", item(value, indent, offset, self.newline)))
            .collect();
        self.add_line(sequence, &lines.join(self.newline))
    }

    /// The first items of an empty list in brackets: on lines of their own, if the list is the value of a block mapping.
    fn fill_empty(&self, target: &Target<'_>, values: &[NewValue]) -> Vec<Splice> {
        let inside = target.node.span().start + 1;
        let in_brackets = Splice::new(inside..inside, listed(values));
        let mut splices = Vec::new();
        if self.text[inside..target.node.span().end - 1].bytes().all(|byte| byte == b' ') {
            splices.extend(self.list_below(target, values));
        }
        splices.push(in_brackets);
        splices
    }

    /// A list in place of null.
    pub(super) fn begin_list(&self, target: &Target<'_>, values: &[NewValue]) -> Vec<Splice> {
        let mut splices: Vec<_> = self.list_below(target, values).into_iter().collect();
        splices.extend(self.replace(target, &NewValue::List(values.to_vec())));
        splices
    }

    /// A block list below the key of `target`, instead of the one-line value there.
    fn list_below(&self, target: &Target<'_>, values: &[NewValue]) -> Option<Splice> {
        let Slot::Entry { mapping, key } = target.slot else { return None };
        let scalar =
            |value: &NewValue| matches!(value, NewValue::Str(_) | NewValue::Int(_) | NewValue::Bool(_));
        if target.in_flow() || values.iter().all(scalar) {
            return None;
        }
        let colon = self.after_colon(key)?;
        let line_end = self.line_end(target.node.span().end);
        let comment = self.text[target.node.span().end..line_end].trim_end();
        let lines = self.items(values, self.column(key.span().start) + self.list_offset(mapping));
        Some(Splice::new(colon..line_end, format!("{comment}{}{lines}", self.newline)))
    }

    /// The lines of a block list.
    fn items(&self, values: &[NewValue], indent: usize) -> String {
        let items: Vec<_> = values.iter().map(|value| item(value, indent, 2, self.newline)).collect();
        items.join(self.newline)
    }

    /// A new last key in the mapping `target`, with a list.
    pub(super) fn insert_list(&self, target: &Target<'_>, key: &str, values: &[NewValue]) -> Vec<Splice> {
        let list = NewValue::List(values.to_vec());
        if target.node.is_null() {
            return self.replace(target, &NewValue::Map(vec![(key.to_owned(), list)]));
        }
        let mut splices = Vec::new();
        let mapping = target.node;
        if mapping.shape() == (Shape::Mapping { flow: false })
            && values.iter().any(|value| matches!(value, NewValue::Map(_)))
        {
            let indent = self.column(mapping.span().start);
            let head = entry(key, &NewValue::Int(0), false);
            let head = head.strip_suffix(" 0").unwrap_or(&head);
            let lines = self.items(values, indent + self.list_offset(mapping));
            splices = self.add_line(mapping, &format!("{}{head}{}{lines}", " ".repeat(indent), self.newline));
        }
        splices.extend(self.insert(target, key, &list));
        splices
    }

    /// A new last key in the mapping `target`.
    pub(super) fn insert(&self, target: &Target<'_>, key: &str, value: &NewValue) -> Vec<Splice> {
        let mapping = target.node;
        match (mapping.shape(), mapping.entries().last()) {
            (Shape::Mapping { flow: false }, _) => {
                let indent = self.column(mapping.span().start);
                let line = format!("{}{}", " ".repeat(indent), entry(key, value, false));
                self.add_line(mapping, &line)
            }
            (Shape::Mapping { flow: true }, Some((_, last))) => {
                let end = last.span().end;
                vec![Splice::new(end..end, format!(", {}", entry(key, value, true)))]
            }
            (Shape::Mapping { flow: true }, None) => {
                let inside = mapping.span().start + 1;
                vec![Splice::new(inside..inside, entry(key, value, true))]
            }
            (Shape::Scalar(_) | Shape::Sequence { .. }, _) => Vec::new(),
        }
    }

    /// A new key in the mapping `target`, before the entry at `index`; above the comments that stand over that.
    pub(super) fn insert_at(
        &self,
        target: &Target<'_>,
        index: usize,
        key: &str,
        value: &NewValue,
    ) -> Vec<Splice> {
        let mapping = target.node;
        let flow = mapping.shape().is_flow();
        let line = entry(key, value, flow);
        let Some((next, _)) = mapping.entries().nth(index) else { return Vec::new() };
        let start = next.span().start;
        if flow {
            return vec![Splice::new(start..start, format!("{line}, "))];
        }
        let indent = " ".repeat(self.column(start));
        let previous = index.checked_sub(1).and_then(|before| mapping.entries().nth(before));
        let below = previous.map(|(_, value)| {
            let end = self.line_end(self.content_end(value));
            Splice::new(end..end, format!("{}{indent}{line}", self.newline))
        });
        let above = Splice::new(start..start, format!("{line}{}{indent}", self.newline));
        below.into_iter().chain([above]).collect()
    }

    /// `value` in place of `target`.
    pub(super) fn replace(&self, target: &Target<'_>, value: &NewValue) -> Vec<Splice> {
        let node = target.node;
        let flow = target.in_flow();
        let (start, end) = (node.span().start, self.content_end(node));
        match node.shape() {
            Shape::Scalar(_) if node.span().is_empty() => {
                let text = inline(value, flow);
                vec![
                    Splice::new(start..start, format!(" {text}")),
                    Splice::new(start..start, format!(" {text} ")),
                    Splice::new(start..start, format!(": {text}")),
                ]
            }
            Shape::Scalar(style) => {
                let comment = self.header_comment(node);
                let text = restyled(value, style, flow);
                vec![Splice::new(start..end, format!("{text}{comment}"))]
            }
            Shape::Sequence { flow: true } | Shape::Mapping { flow: true } => {
                vec![Splice::new(start..end, inline(value, flow))]
            }
            Shape::Sequence { flow: false } => match value {
                NewValue::List(items) if !items.is_empty() => {
                    let indent = self.column(start);
                    vec![Splice::new(start..end, self.items(items, indent).trim_start())]
                }
                _ => self.replace_block(target, value),
            },
            Shape::Mapping { flow: false } => self.replace_block(target, value),
        }
    }

    /// A one-line `value` in place of a block list or mapping, on the line of its key; comments before it stay.
    fn replace_block(&self, target: &Target<'_>, value: &NewValue) -> Vec<Splice> {
        let text = inline(value, target.in_flow());
        let (start, end) = (target.node.span().start, self.content_end(target.node));
        let mut splices = Vec::new();
        if let Slot::Entry { key, .. } = target.slot
            && let Some(colon) = self.after_colon(key)
        {
            let comments = self.text[colon..start].trim_end();
            splices.push(Splice::new(colon..end, format!(" {text}{comments}")));
        }
        splices.push(Splice::new(start..end, text));
        splices
    }

    /// Takes the item at `index` out of the list `target`.
    pub(super) fn remove_item(&self, target: &Target<'_>, index: usize) -> Vec<Splice> {
        let sequence = target.node;
        let items: Vec<_> = sequence.items().collect();
        if items.len() == 1 {
            return self.replace(target, &NewValue::List(Vec::new()));
        }
        if sequence.shape() == (Shape::Sequence { flow: true }) {
            return remove_between(&items.iter().map(|item| item.span()).collect::<Vec<_>>(), index);
        }
        let dash = self.dash_of(sequence, index);
        let next = (index + 1 < items.len()).then(|| self.dash_of(sequence, index + 1));
        self.remove_lines(dash, self.content_end(items[index]).max(dash + 1), next)
    }

    /// Takes the entry at `index` out of the mapping `target`.
    pub(super) fn remove_entry(&self, target: &Target<'_>, index: usize) -> Vec<Splice> {
        let mapping = target.node;
        let spans: Vec<_> =
            mapping.entries().map(|(key, value)| key.span().start..self.content_end(value)).collect();
        if spans.len() == 1 {
            return self.replace(target, &NewValue::Map(Vec::new()));
        }
        if mapping.shape() == (Shape::Mapping { flow: true }) {
            return remove_between(&spans, index);
        }
        let next = spans.get(index + 1).map(|next| next.start);
        self.remove_lines(spans[index].start, spans[index].end, next)
    }

    /// Takes out the lines from `start` to `end`. If something else stands before `start` on its line (the dash of the
    /// item around), what is at `next` moves up, unless comments are between.
    fn remove_lines(&self, start: usize, end: usize, next: Option<usize>) -> Vec<Splice> {
        let (line_start, line_end) = (self.line_start(start), self.line_end(end));
        if self.text[line_start..start].bytes().all(|byte| byte == b' ') {
            let after = self.after_break(line_end);
            if after > line_end || line_start == 0 {
                return vec![Splice::new(line_start..after, "")];
            }
            // The last line has no newline, so the one before must have none either.
            return vec![Splice::new(self.before_break(line_start)..line_end, "")];
        }
        let mut splices = Vec::new();
        if let Some(next) = next
            && self.text.get(line_end..next).is_some_and(|between| !between.contains('#'))
        {
            splices.push(Splice::new(start..next, ""));
        }
        splices.push(Splice::new(self.text[..start].trim_end_matches(' ').len()..line_end, ""));
        splices
    }

    /// `line` after the last line of `container`; before the blank lines that follow it, unless those belong to it.
    fn add_line(&self, container: Node<'_>, line: &str) -> Vec<Splice> {
        let end = self.line_end(self.content_end(container));
        let outer = container.span().end;
        vec![
            Splice::new(end..end, format!("{}{line}", self.newline)),
            Splice::new(outer..outer, format!("{line}{}", self.newline)),
            Splice::new(outer..outer, format!("{}{line}", self.newline)),
        ]
    }

    /// Where the last character of `node` that is not blank ends.
    fn content_end(&self, node: Node<'_>) -> usize {
        let span = node.span();
        span.start + self.text[span].trim_end_matches([' ', '\t', '\n', '\r']).len()
    }

    /// The comment after the `|` or `>` of a block scalar, with the blanks before it.
    fn header_comment(&self, node: Node<'_>) -> &'t str {
        let start = node.span().start;
        let header = &self.text[start..self.line_end(start)];
        match header.find(" #") {
            Some(at) if header.starts_with(['|', '>']) => &header[header[..at].trim_end().len()..],
            _ => "",
        }
    }

    /// How much further than its key a list in `mapping` is indented.
    fn list_offset(&self, mapping: Node<'_>) -> usize {
        let block = Shape::Sequence { flow: false };
        let sibling = mapping.entries().find(|(_, value)| value.shape() == block);
        sibling.map_or(2, |(key, value)| {
            self.column(value.span().start).saturating_sub(self.column(key.span().start))
        })
    }

    /// Whether a blank line is before the last item.
    fn has_blank_lines(&self, sequence: Node<'_>, last: usize) -> bool {
        let Some(before) = last.checked_sub(1).and_then(|index| sequence.items().nth(index)) else {
            return false;
        };
        let between = self.line_end(self.content_end(before))..self.dash_of(sequence, last);
        self.text.get(between).is_some_and(|between| between.lines().skip(1).any(str::is_empty))
    }

    /// Where the dash of the item at `index` of a block list is.
    fn dash_of(&self, sequence: Node<'_>, index: usize) -> usize {
        match index.checked_sub(1).and_then(|before| sequence.items().nth(before)) {
            Some(before) => self.next_token(before.span().end),
            None => sequence.span().start,
        }
    }

    /// Where the colon after `key` ends.
    fn after_colon(&self, key: Node<'_>) -> Option<usize> {
        let at = self.next_token(key.span().end);
        self.text[at..].starts_with(':').then_some(at + 1)
    }

    /// The first position from `at` on that is neither blank nor in a comment.
    fn next_token(&self, mut at: usize) -> usize {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => at += 1,
                b'#' => at = self.line_end(at),
                _ => break,
            }
        }
        at
    }

    /// The characters before `at` on its line.
    fn column(&self, at: usize) -> usize {
        self.text[self.line_start(at)..at].chars().count()
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind(['\n', '\r']).map_or(0, |end| end + 1)
    }

    /// Where the line break after `at` begins.
    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find(['\n', '\r']).map_or(self.text.len(), |end| at + end)
    }

    /// Where the line break at `at` ends.
    fn after_break(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        at + if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with(['\n', '\r'])) }
    }

    /// Where the line break that ends at `at` begins.
    fn before_break(&self, at: usize) -> usize {
        let before = &self.text[..at];
        at - if before.ends_with("\r\n") { 2 } else { usize::from(before.ends_with(['\n', '\r'])) }
    }
}

/// Takes one of several members out of brackets, with the comma before or after it.
fn remove_between(spans: &[Range<usize>], index: usize) -> Vec<Splice> {
    let start = spans[index].start;
    match (spans.get(index + 1), index.checked_sub(1)) {
        (Some(next), _) => vec![Splice::new(start..next.start, "")],
        (None, Some(before)) => vec![Splice::new(spans[before].end..spans[index].end, "")],
        (None, None) => Vec::new(),
    }
}
