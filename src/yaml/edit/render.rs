//! New values as text.

use super::NewValue;
use crate::yaml::document::Style;
use crate::yaml::problem::is_invisible;
use crate::yaml::scalar::{self, Value};

/// `value` on one line; in brackets and braces if `flow` or if it is a container.
pub(super) fn inline(value: &NewValue, flow: bool) -> String {
    match value {
        NewValue::Str(text) => string(text, flow),
        NewValue::Int(number) => number.to_string(),
        NewValue::Bool(value) => value.to_string(),
        NewValue::List(items) => {
            let items: Vec<_> = items.iter().map(|item| inline(item, true)).collect();
            format!("[{}]", items.join(", "))
        }
        NewValue::Map(entries) => {
            let entries: Vec<_> = entries.iter().map(|(key, value)| entry(key, value, true)).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// `key: value` on one line.
pub(super) fn entry(key: &str, value: &NewValue, flow: bool) -> String {
    format!("{}: {}", string(key, flow), inline(value, flow))
}

/// `value` in the style that its predecessor had, as far as that can hold it.
pub(super) fn restyled(value: &NewValue, style: Style, flow: bool) -> String {
    match (value, style) {
        (NewValue::Str(text), Style::SingleQuoted) if !text.chars().any(is_invisible) => single_quoted(text),
        (NewValue::Str(text), Style::DoubleQuoted) => double_quoted(text),
        (_, Style::Plain | Style::SingleQuoted | Style::DoubleQuoted | Style::Literal | Style::Folded) => {
            inline(value, flow)
        }
    }
}

/// An item of a block list whose dash has `indent` spaces before it and whose content begins `offset` columns after
/// it; the lines joined by `newline`, without one at the end.
pub(super) fn item(value: &NewValue, indent: usize, offset: usize, newline: &str) -> String {
    let dash = format!("{}-{}", " ".repeat(indent), " ".repeat(offset - 1));
    let joint = format!("{newline}{}", " ".repeat(indent + offset));
    match value {
        NewValue::Map(entries) if !entries.is_empty() => {
            let lines: Vec<_> = entries.iter().map(|(key, value)| entry(key, value, false)).collect();
            dash + &lines.join(&joint)
        }
        NewValue::Str(_) | NewValue::Int(_) | NewValue::Bool(_) | NewValue::List(_) | NewValue::Map(_) => {
            dash + &inline(value, false)
        }
    }
}

fn string(text: &str, flow: bool) -> String {
    if is_plain(text, flow) {
        text.to_owned()
    } else if text.contains(['"', '\\']) && !text.chars().any(is_invisible) {
        single_quoted(text)
    } else {
        double_quoted(text)
    }
}

/// Whether `text` can stand without quotes and still be this string, for YAML 1.1 readers too.
fn is_plain(text: &str, flow: bool) -> bool {
    let blank = |character: char| character == ' ' || character == '\t';
    matches!(scalar::resolve(text), Value::Text(_))
        && !text.starts_with(|first: char| "-?:,[]{}#&*!|>'\"%@`=<".contains(first) || blank(first))
        && !text.ends_with(|last: char| last == ':' || blank(last))
        && !text.contains(": ")
        && !text.contains(":\t")
        && !text.contains(" #")
        && !text.contains("\t#")
        && !text.starts_with("...")
        && !(flow && text.contains([',', '[', ']', '{', '}']))
        && !text.chars().any(is_invisible)
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "y" | "n" | "yes" | "no" | "on" | "off" | "null" | "true" | "false"
        )
}

fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            _ if is_invisible(character) => quoted.push_str(&escaped(character)),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

fn escaped(character: char) -> String {
    match u32::from(character) {
        code @ ..=0xff => format!("\\x{code:02X}"),
        code @ 0x100..=0xffff => format!("\\u{code:04X}"),
        code => format!("\\U{code:08X}"),
    }
}
