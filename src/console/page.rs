//! What the frame of every page says: who is signed in, where one is, and what one should know.

use crate::admin::caller::Caller;

/// What the frame of a page says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// What the page is called.
    pub title: String,
    /// Which entry of the navigation it belongs to: `keys`, `people`, …; empty for none.
    pub section: &'static str,
    /// Who is signed in.
    pub person: Option<Who>,
    /// Whether they manage the organization.
    pub manages: bool,
    /// The key file, in file mode.
    pub read_only: Option<String>,
    /// What became of the last thing they did.
    pub notice: Option<Notice>,
}

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// Their id.
    pub id: String,
    /// Their role.
    pub role: &'static str,
}

/// Something that one should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `ok`, `warn`, `bad` or `note`.
    pub kind: &'static str,
    /// What.
    pub text: String,
}

impl Page {
    /// A page for whoever is not signed in.
    pub fn outside(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// A page for `caller`.
    pub fn inside(
        caller: &Caller,
        read_only: Option<String>,
        title: impl Into<String>,
        section: &'static str,
    ) -> Self {
        let person = &caller.person;
        Self {
            title: title.into(),
            section,
            person: Some(Who { id: person.id.to_string(), role: person.role.as_str() }),
            manages: person.role.manages(),
            read_only,
            notice: None,
        }
    }

    /// The page with `notice`, if there is one.
    pub fn noticing(self, notice: Option<Notice>) -> Self {
        Self { notice, ..self }
    }
}

impl Notice {
    /// It went well.
    pub fn ok(text: impl Into<String>) -> Self {
        Self { kind: "ok", text: text.into() }
    }

    /// Look at it.
    pub fn warn(text: impl Into<String>) -> Self {
        Self { kind: "warn", text: text.into() }
    }
}
