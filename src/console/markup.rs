//! Markup that is made piece by piece, so that every text and value in it is escaped by its type: the only way into a
//! [`Markup`] is an element whose name stands in the code, or text.

use std::fmt::{self, Display, Write};

/// HTML or SVG, well-formed as XML too. As text it goes into a page as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Markup(String);

/// The attributes of an element: names from the code, values from anywhere.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a dyn Display)];

impl Markup {
    /// Appends an element with what `inside` appends in it.
    pub(super) fn element(
        &mut self,
        name: &'static str,
        attributes: Attributes<'_>,
        inside: impl FnOnce(&mut Self),
    ) {
        self.open(name, attributes);
        self.0.push('>');
        inside(self);
        self.put(format_args!("</{name}>"));
    }

    /// Appends an element that holds nothing but text.
    pub(super) fn text_element(
        &mut self,
        name: &'static str,
        attributes: Attributes<'_>,
        text: impl Display,
    ) {
        self.element(name, attributes, |inside| inside.text(text));
    }

    /// Appends an element of SVG that holds nothing.
    pub(super) fn shape(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.open(name, attributes);
        self.0.push_str("/>");
    }

    /// Appends text.
    pub(super) fn text(&mut self, text: impl Display) {
        // Writing to a String cannot fail.
        let _ = write!(Escaping(&mut self.0), "{text}");
    }

    /// Appends what is markup already.
    pub(super) fn append(&mut self, markup: &Self) {
        self.0.push_str(&markup.0);
    }

    /// The markup.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn open(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.put(format_args!("<{name}"));
        for (name, value) in attributes {
            self.put(format_args!(" {name}=\""));
            self.text(value);
            self.0.push('"');
        }
    }

    fn put(&mut self, words: fmt::Arguments<'_>) {
        let _ = self.0.write_fmt(words);
    }
}

/// Everything in it was escaped when it was made, so that templates take it as it is.
impl askama::filters::HtmlSafe for Markup {}

impl Display for Markup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Writes text so that it is nothing but text, between tags and in quoted attributes.
struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // What XML has no way to say (XML 1.0 §2.2).
                '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}' => {
                    self.0.push(char::REPLACEMENT_CHARACTER);
                }
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

/// Reads markup as XML, as far as ours goes, and says what is wrong with it.
#[cfg(test)]
pub(super) fn check_well_formed(markup: &str) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = markup;
    while let Some(at) = rest.find('<') {
        check_text(&rest[..at])?;
        let end = rest[at..].find('>').ok_or("a tag does not end")? + at;
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let opened = open.pop();
            if opened != Some(name) {
                return Err(format!("</{name}> closes {opened:?}"));
            }
            continue;
        }
        let (tag, is_closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(format!("<{name}> is no element"));
        }
        let mut names = Vec::new();
        while !attributes.is_empty() {
            let (name, after) = attributes.split_once("=\"").ok_or(format!("{attributes:?}"))?;
            let (value, after) = after.split_once('"').ok_or(format!("{after:?} has no end"))?;
            check_text(value)?;
            if names.contains(&name) || name.trim() != name {
                return Err(format!("attribute {name:?}"));
            }
            names.push(name);
            attributes = after.strip_prefix(' ').unwrap_or(after);
        }
        if !is_closed {
            open.push(name);
        }
    }
    check_text(rest)?;
    if open.is_empty() { Ok(()) } else { Err(format!("{open:?} stay open")) }
}

#[cfg(test)]
fn check_text(text: &str) -> Result<(), String> {
    if let Some(wrong) =
        text.chars().find(|c| matches!(c, '<' | '>' | '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f'))
    {
        return Err(format!("{wrong:?} in {text:?}"));
    }
    for entity in text.split('&').skip(1) {
        if !["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|known| entity.starts_with(known)) {
            return Err(format!("&{entity} is no entity"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_and_attributes_are_nothing_but_text() {
        let mut markup = Markup::default();
        let evil = "\"><script>alert('1')</script>&amp;\0";
        markup.element("p", &[("class", &evil)], |inside| {
            inside.text(evil);
            inside.shape("path", &[("d", &"M0 0")]);
        });
        let escaped = "&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;amp;\u{fffd}";
        assert_eq!(markup.as_str(), format!("<p class=\"{escaped}\">{escaped}<path d=\"M0 0\"/></p>"));
    }

    #[test]
    fn the_check_of_these_tests_finds_what_is_wrong() {
        for wrong in [
            "<p>",
            "</p>",
            "<p></q>",
            "<p a=b></p>",
            "<p a=\"1\" a=\"1\"></p>",
            "&nbsp;",
            "<p a=\"&x\"></p>",
            "\0",
        ] {
            assert!(check_well_formed(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_well_formed_markup(text: String) {
            let mut markup = Markup::default();
            markup.element("p", &[("class", &text)], |inside| inside.text(&text));
            prop_assert_eq!(check_well_formed(markup.as_str()), Ok(()));
        }
    }
}
