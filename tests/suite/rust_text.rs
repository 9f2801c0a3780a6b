//! Rust source as a list of words, for the rules in [`crate::tidy`]: without comments, with string literals apart, and with
//! the path that leads to each word, also through the braces of a `use`.

/// One source file and its tokens.
pub(crate) struct RustText {
    source: String,
    words: Vec<Word>,
    strings: Vec<(usize, String)>,
    tests_from: Option<usize>,
}

/// One identifier outside comments and literals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// Counted from 1.
    pub(crate) line: usize,
    /// The path that leads here, such as `crate::policy::`, or nothing.
    pub(crate) after: String,
    /// The token before: a word, or `#[`, or one punctuation mark.
    pub(crate) before: String,
}

impl RustText {
    pub(crate) fn new(source: String) -> Self {
        let tests_from = tests_line(&source);
        let tokens = tokenize(&source);
        let strings =
            tokens.iter().filter(|t| t.kind == Kind::Text).map(|t| (t.line, t.text.clone())).collect();
        Self { words: words(&tokens), strings, tests_from, source }
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The words before `mod tests`.
    pub(crate) fn words(&self) -> impl Iterator<Item = Word> + '_ {
        self.words.iter().filter(|word| self.is_product(word.line)).cloned()
    }

    /// The string literals before `mod tests`, with their lines.
    pub(crate) fn strings(&self) -> impl Iterator<Item = (usize, &str)> {
        self.strings
            .iter()
            .filter(|(line, _)| self.is_product(*line))
            .map(|(line, text)| (*line, text.as_str()))
    }

    /// Every path of this crate that is named, without `crate::`, with its line; `depth` is how many `super` lead to the crate.
    pub(crate) fn imports(&self, depth: usize) -> Vec<(usize, String)> {
        let path = |word: &Word| {
            let relative = word.after.trim_start_matches("super::");
            let supers = (word.after.len() - relative.len()) / "super::".len();
            let from_crate =
                if supers >= depth.max(1) { relative } else { word.after.strip_prefix("crate::")? };
            (word.text != "super").then(|| (word.line, format!("{from_crate}{}", word.text)))
        };
        self.words().filter_map(|word| path(&word)).collect()
    }

    pub(crate) fn lines_without_tests(&self) -> usize {
        self.tests_from.map_or(self.source.lines().count(), |line| line - 1)
    }

    /// The first line of code below the `mod tests` block.
    pub(crate) fn code_after_tests(&self) -> Option<usize> {
        let start = self.tests_from?;
        let end = self.source.lines().skip(start).position(|line| line == "}")? + start + 1;
        self.source.lines().skip(end).position(|line| !line.trim().is_empty()).map(|line| line + end + 1)
    }

    fn is_product(&self, line: usize) -> bool {
        self.tests_from.is_none_or(|tests| line < tests)
    }
}

/// The line of the `#[cfg(test)]` that stands right above a `mod … {` at the left margin.
fn tests_line(source: &str) -> Option<usize> {
    let lines: Vec<&str> = source.lines().collect();
    let start = |at: &usize| {
        let body = lines[at + 1..].iter().find(|line| !line.starts_with("#["));
        lines[*at] == "#[cfg(test)]"
            && body.is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
    };
    (0..lines.len()).find(start).map(|at| at + 1)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Mark,
    Text,
}

#[derive(Debug)]
struct Token {
    kind: Kind,
    text: String,
    line: usize,
}

fn words(tokens: &[Token]) -> Vec<Word> {
    let mut found = Vec::new();
    // The path before each brace that is still open; braces that are no part of a path push nothing to build on.
    let mut open: Vec<String> = Vec::new();
    let mut path = String::new();
    let mut before = String::new();
    for (at, token) in tokens.iter().enumerate() {
        match (token.kind, token.text.as_str()) {
            (Kind::Word, text) => {
                found.push(Word {
                    text: text.to_owned(),
                    line: token.line,
                    after: path.clone(),
                    before: before.clone(),
                });
                let continues = tokens.get(at + 1).is_some_and(|next| next.text == "::");
                path = if continues {
                    format!("{path}{text}")
                } else {
                    open.last().cloned().unwrap_or_default()
                };
            }
            (Kind::Mark, "::") => path.push_str("::"),
            (Kind::Mark, "{") => open.push(if path.ends_with("::") { path.clone() } else { String::new() }),
            (Kind::Mark, "}") => {
                open.pop();
                path = open.last().cloned().unwrap_or_default();
            }
            (Kind::Mark | Kind::Text, _) => path = open.last().cloned().unwrap_or_default(),
        }
        before = if before == "#" && token.text == "[" { "#[".to_owned() } else { token.text.clone() };
    }
    found
}

fn tokenize(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let (kind, length, text) = token(rest, first);
        if let Some(kind) = kind {
            tokens.push(Token { kind, text: text.to_owned(), line });
        }
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// The token at the start of `rest`: its kind (none for space and comments), its length in bytes, and its text.
fn token(rest: &str, first: char) -> (Option<Kind>, usize, &str) {
    if rest.starts_with("//") {
        return (None, rest.find('\n').unwrap_or(rest.len()), "");
    }
    if rest.starts_with("/*") {
        return (None, block_comment(rest), "");
    }
    if let Some((open, close)) = raw_string(rest) {
        let end = rest[open..].find(&close).map_or(rest.len(), |at| open + at);
        return (Some(Kind::Text), (end + close.len()).min(rest.len()), &rest[open..end]);
    }
    if let Some(open) =
        ["\"", "b\"", "c\""].iter().find(|open| rest.starts_with(**open)).map(|open| open.len())
    {
        let end = closing_quote(rest, open);
        return (Some(Kind::Text), (end + 1).min(rest.len()), &rest[open..end]);
    }
    if let Some(length) = char_literal(rest) {
        return (None, length, "");
    }
    if first == '_' || first.is_alphanumeric() {
        let length = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
        return (Some(Kind::Word), length, &rest[..length]);
    }
    if first.is_whitespace() {
        return (None, first.len_utf8(), "");
    }
    let length = if rest.starts_with("::") { 2 } else { first.len_utf8() };
    (Some(Kind::Mark), length, &rest[..length])
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..(at + 2).min(rest.len())] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Where the text of a raw string starts, and what ends it.
fn raw_string(rest: &str) -> Option<(usize, String)> {
    let prefix = ["r", "br", "cr"].iter().find(|prefix| rest.starts_with(**prefix))?.len();
    let hashes = rest[prefix..].bytes().take_while(|byte| *byte == b'#').count();
    rest[prefix + hashes..]
        .starts_with('"')
        .then(|| (prefix + hashes + 1, format!("\"{}", "#".repeat(hashes))))
}

fn closing_quote(rest: &str, open: usize) -> usize {
    let bytes = rest.as_bytes();
    let mut at = open;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// The length of a character literal; a lifetime is none.
fn char_literal(rest: &str) -> Option<usize> {
    let open = if rest.starts_with("b'") { 2 } else { 1 };
    let inside = rest.strip_prefix("b'").or_else(|| rest.strip_prefix('\''))?;
    if let Some(escaped) = inside.strip_prefix('\\') {
        let skip = escaped.chars().next()?.len_utf8();
        return escaped[skip..].find('\'').map(|end| open + 1 + skip + end + 1);
    }
    let length = inside.chars().next()?.len_utf8();
    inside[length..].starts_with('\'').then_some(open + length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(source: &str, depth: usize) -> Vec<String> {
        RustText::new(source.to_owned()).imports(depth).into_iter().map(|(_, path)| path).collect()
    }

    #[test]
    fn imports_are_found_however_they_are_written() {
        let cases: &[(&str, usize, &[&str])] = &[
            ("use crate::policy::Reason;", 1, &["policy", "policy::Reason"]),
            ("use crate::{clock, keys::{self, Table}};", 1, &["clock", "keys", "keys::self", "keys::Table"]),
            ("fn f() { let x = crate::store::open(); y }", 1, &["store", "store::open"]),
            ("use super::{net, Local};", 1, &["net", "Local"]),
            ("use super::sibling; use super::super::net;", 2, &["net"]),
            ("mod inner { use super::super::net; }", 1, &["net"]),
            ("// use crate::store;\n/* crate::a /* crate::b */ */ \"crate::store\" r#\"crate::x\"#", 1, &[]),
            ("#[cfg(test)]\nmod tests {\n    use crate::store;\n}\n", 1, &[]),
        ];
        for (source, depth, expected) in cases {
            assert_eq!(imports(source, *depth), *expected, "{source}");
        }
    }

    #[test]
    fn literals_and_lifetimes_do_not_swallow_code() {
        let text = RustText::new(
            "fn f<'a>(x: &'a str) { g('\"', b'\\'', '\\u{41}', \"a\\\"b\"); crate::x }".to_owned(),
        );
        assert_eq!(text.imports(1), [(1, "x".to_owned())]);
        assert_eq!(text.strings().collect::<Vec<_>>(), [(1, "a\\\"b")]);
    }

    #[test]
    fn what_follows_the_tests_is_seen() {
        let source = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n\nfn c() {}\n";
        let text = RustText::new(source.to_owned());
        assert_eq!((text.lines_without_tests(), text.code_after_tests()), (1, Some(7)));
    }
}
