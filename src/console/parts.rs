//! What pages are made of: the view types of `templates/parts.html`.

use crate::keys::record::KeyStatus;

/// A word with a shape and a colour, so that neither is needed to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Badge {
    /// The shape in `icons.svg` and the colour in `console.css`.
    pub kind: &'static str,
    /// What it says.
    pub word: String,
}

impl Badge {
    /// A badge that says `word`.
    pub fn new(kind: &'static str, word: impl Into<String>) -> Self {
        Self { kind, word: word.into() }
    }

    /// How a key stands.
    pub fn of_status(status: KeyStatus) -> Self {
        let kind = match status {
            KeyStatus::Active => "ok",
            KeyStatus::NotYetValid => "waiting",
            KeyStatus::Expired => "ended",
            KeyStatus::Revoked => "bad",
            KeyStatus::OwnerDisabled => "off",
        };
        Self::new(kind, status.as_str())
    }
}

/// A place to go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// A path of the console.
    pub href: String,
    /// What it is called.
    pub text: String,
}

impl Link {
    /// `text`, leading to `href`.
    pub fn new(href: impl Into<String>, text: impl Into<String>) -> Self {
        Self { href: href.into(), text: text.into() }
    }
}

/// A scope or project that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// Whether it counts now.
    pub in_force: bool,
    /// What it allows, in a line.
    pub means: String,
}

/// One of a list to choose from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is sent.
    pub value: String,
    /// What is read.
    pub label: String,
    /// What it means; may be empty.
    pub hint: String,
}

impl Choice {
    /// A choice that is called as what is sent.
    pub fn plain(value: impl Into<String>) -> Self {
        let value = value.into();
        Self { label: value.clone(), value, hint: String::new() }
    }
}

/// Where in a list a page is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pager {
    /// How much is shown, in words.
    pub shown: String,
    /// The page before; none: this is the first.
    pub newer: Option<String>,
    /// The page after; none: this is the last.
    pub older: Option<String>,
}
