//! The rows of a list of keys, whatever it is written in: CSV, JSON or YAML.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use super::csv;
use crate::yaml::{self, Limits, Node, Shape};

/// The most bytes of a list.
pub const BYTES_MAX: usize = 64 << 20;

/// Every column there may be.
pub(super) const COLUMNS: &[&str] = &[
    "id",
    "name",
    "labels",
    "owner",
    "organization",
    "secret",
    "hash",
    "prefix",
    "scopes",
    "projects",
    "created_at",
    "not_before",
    "expires_at",
    "addresses",
    "plan",
    "revoked_at",
];

/// What a list is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180, with the names of the columns on the first line.
    Csv,
    /// A list of objects.
    Json,
    /// A list of mappings, or a mapping with such a list under `keys`, as a key file.
    Yaml,
}

/// A value of a row.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Text(String),
    List(Vec<String>),
    Map(Vec<(String, String)>),
}

impl Cell {
    /// Every text in it.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let (text, list, map): (_, &[String], &[(String, String)]) = match self {
            Self::Text(text) => (Some(text.as_str()), &[], &[]),
            Self::List(items) => (None, items, &[]),
            Self::Map(pairs) => (None, &[], pairs),
        };
        let pairs = map.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        text.into_iter().chain(list.iter().map(String::as_str)).chain(pairs)
    }
}

/// One key as it is listed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// As a report names it: `line 3`, `item 1`.
    pub(super) at: String,
    pub(super) cells: BTreeMap<String, Cell>,
    /// What is wrong with its form.
    pub(super) problems: Vec<String>,
}

impl Row {
    fn new(at: String) -> Self {
        Self { at, cells: BTreeMap::new(), problems: Vec::new() }
    }

    fn wrong(at: String, problem: impl Into<String>) -> Self {
        Self { problems: vec![problem.into()], ..Self::new(at) }
    }

    /// Puts a value under `name`; `None`: it is neither text nor a list or mapping of texts.
    fn put(&mut self, name: &str, cell: Option<Cell>) {
        let problem = match cell {
            _ if !COLUMNS.contains(&name) => unknown_column(name),
            None => format!("{name} is neither text nor a list or mapping of texts; put numbers in quotes"),
            Some(_) if self.cells.contains_key(name) => format!("{name} stands twice"),
            Some(cell) => {
                self.cells.insert(name.to_owned(), cell);
                return;
            }
        };
        self.problems.push(problem);
    }
}

/// What a list holds.
pub(super) enum List {
    /// Keys, each for itself.
    Rows(Vec<Row>),
    /// It is a key file, with organizations and people.
    KeyFile,
}

/// The rows of `text`, unless it is a key file.
///
/// # Errors
/// What is wrong with the list as a whole. No message shows a value.
pub(super) fn read(text: &[u8], format: Format) -> Result<List, String> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let line = memchr::memchr_iter(b'\n', &text[..error.valid_up_to()]).count() + 1;
        format!("line {line}: the list is not UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let list = match format {
        Format::Csv => List::Rows(from_csv(text)?),
        Format::Json => from_json(text)?,
        Format::Yaml => from_yaml(text)?,
    };
    match list {
        List::Rows(rows) if rows.is_empty() => Err("the list holds no key".to_owned()),
        list @ (List::Rows(_) | List::KeyFile) => Ok(list),
    }
}

fn unknown_column(name: &str) -> String {
    // Where the first line is missing, the name may be a secret: only a slip is shown.
    let nearest = COLUMNS.iter().map(|known| (strsim::damerau_levenshtein(name, known), known));
    if let Some((..=2, known)) = nearest.filter(|_| name.len() <= 20).min() {
        format!("there is no column called {name:?}; did you mean {known:?}?")
    } else {
        format!("a column has a name that there is not; the columns are {}", COLUMNS.join(", "))
    }
}

fn from_csv(text: &str) -> Result<Vec<Row>, String> {
    let records = csv::records(text).map_err(|(line, what)| format!("line {line}: {what}"))?;
    let mut records = records.into_iter();
    let (_, names) = records.next().ok_or("the list is empty; its first line names the columns")?;
    let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
    for (at, name) in names.iter().enumerate() {
        if !COLUMNS.contains(&name.as_str()) {
            return Err(unknown_column(name));
        }
        if names[..at].contains(name) {
            return Err(format!("the column {name} stands twice"));
        }
    }
    let row = |(line, fields): csv::Record| {
        let at = format!("line {line}");
        if fields.len() != names.len() {
            return Row::wrong(at, format!("it has {} fields instead of {}", fields.len(), names.len()));
        }
        let filled = names.iter().cloned().zip(fields).filter(|(_, field)| !field.is_empty());
        Row { cells: filled.map(|(name, field)| (name, Cell::Text(field))).collect(), ..Row::new(at) }
    };
    Ok(records.map(row).collect())
}

fn from_json(text: &str) -> Result<List, String> {
    let wrong = |error: serde_json::Error| {
        format!("line {}, column {}: this is no JSON of a list of keys", error.line(), error.column())
    };
    let items = if text.trim_start().starts_with('{') {
        let file: JsonFile = serde_json::from_str(text).map_err(wrong)?;
        if file.version.is_some() {
            return Ok(List::KeyFile);
        }
        file.keys.ok_or("this is no list of keys, and no object with a list under `keys`")?
    } else {
        serde_json::from_str(text).map_err(wrong)?
    };
    let row = |(number, item): (usize, JsonItem)| {
        let at = format!("item {number}");
        let JsonItem::Row(JsonRow(members)) = item else { return Row::wrong(at, "this is no object") };
        let mut row = Row::new(at);
        for (name, value) in members {
            match value {
                JsonCell::Null(()) if COLUMNS.contains(&name.as_str()) => {}
                JsonCell::Text(text) => row.put(&name, Some(Cell::Text(text))),
                JsonCell::List(items) => row.put(&name, Some(Cell::List(items))),
                JsonCell::Map(JsonMap(pairs)) => row.put(&name, Some(Cell::Map(pairs))),
                JsonCell::Null(()) | JsonCell::Other(_) => row.put(&name, None),
            }
        }
        row
    };
    Ok(List::Rows((1..).zip(items).map(row).collect()))
}

/// An object around a list, or a key file.
#[derive(Deserialize)]
struct JsonFile {
    version: Option<IgnoredAny>,
    keys: Option<Vec<JsonItem>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JsonItem {
    Row(JsonRow),
    Other(IgnoredAny),
}

/// The members of an object, also those that stand twice.
struct JsonRow(Vec<(String, JsonCell)>);
struct JsonMap(Vec<(String, String)>);

#[derive(Deserialize)]
#[serde(untagged)]
enum JsonCell {
    Null(()),
    Text(String),
    List(Vec<String>),
    Map(JsonMap),
    Other(IgnoredAny),
}

impl<'de> Deserialize<'de> for JsonRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for JsonMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = Vec<(String, T)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

fn from_yaml(text: &str) -> Result<List, String> {
    let limits = Limits { bytes: BYTES_MAX, ..Limits::default() };
    let document = yaml::parse(text.as_bytes(), &limits).map_err(|problems| {
        problems.first().map(|problem| format!("{}: {}", problem.place, problem.message)).unwrap_or_default()
    })?;
    let root = document.root();
    let list = if let Shape::Mapping { .. } = root.shape() {
        if root.get("version").is_some() {
            return Ok(List::KeyFile);
        }
        root.get("keys")
    } else {
        Some(root)
    };
    let list = list.filter(|list| matches!(list.shape(), Shape::Sequence { .. }));
    let list = list.ok_or("this is no list of keys, and no mapping with a list under `keys`")?;
    let row = |item: Node<'_>| {
        let at = format!("line {}", item.place().line);
        if !matches!(item.shape(), Shape::Mapping { .. }) {
            return Row::wrong(at, "this is no mapping");
        }
        let mut row = Row::new(at);
        for (name, value) in item.entries() {
            let name = name.text().unwrap_or_default();
            if !value.is_null() || !COLUMNS.contains(&name) {
                row.put(name, yaml_cell(value));
            }
        }
        row
    };
    Ok(List::Rows(list.items().map(row).collect()))
}

fn yaml_cell(node: Node<'_>) -> Option<Cell> {
    let text = |node: Node<'_>| node.text().map(str::to_owned);
    match node.shape() {
        Shape::Scalar(_) => text(node).map(Cell::Text),
        Shape::Sequence { .. } => node.items().map(text).collect::<Option<_>>().map(Cell::List),
        Shape::Mapping { .. } => {
            let entries = node.entries().map(|(name, value)| Some((text(name)?, text(value)?)));
            entries.collect::<Option<_>>().map(Cell::Map)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_rows_in_three_forms() {
        let yaml =
            "keys:\n- name: a\n  secret: x\n  scopes: [read]\n- {name: b, hash: y, scopes: [read, write]}\n";
        let json = r#"[{"name": "a", "secret": "x", "scopes": ["read"]}, {"name": "b", "hash": "y", "scopes": ["read", "write"], "owner": null}]"#;
        let cells = |text: &str, format| {
            rows(text, format).unwrap().into_iter().map(|row| row.cells).collect::<Vec<_>>()
        };
        let from_yaml = cells(yaml, Format::Yaml);
        assert!(from_yaml == cells(json, Format::Json) && from_yaml == cells(json, Format::Yaml));
        let csv = rows("name,secret,hash\na,x,\nb,,y\n", Format::Csv).unwrap();
        assert_eq!(csv[1].at, "line 3");
        assert!(!csv[1].cells.contains_key("secret") && csv[1].cells["hash"] == Cell::Text("y".into()));
    }

    #[test]
    fn what_is_wrong_is_told_without_values() {
        let table: &[(&str, Format, &str)] = &[
            ("", Format::Csv, "first line names the columns"),
            ("nmae,secret\n", Format::Csv, "did you mean \"name\"?"),
            ("kg_live_HUSHHUSHHUSHHUSH,x\n", Format::Csv, "a column has a name that there is not"),
            ("name,name\n", Format::Csv, "stands twice"),
            ("name,secret\nHUSH\n", Format::Csv, "line 2: it has 1 fields instead of 2"),
            ("name\n", Format::Csv, "holds no key"),
            ("{\"keys\": {\"HUSH\": 1}}", Format::Json, "no JSON of a list"),
            ("{\"HUSH\": 1}", Format::Json, "no object with a list"),
            ("[{\"secret\": 123}]", Format::Json, "item 1: secret is neither"),
            ("[{\"secret\": \"HUSH\", \"secret\": \"HUSH\"}]", Format::Json, "item 1: secret stands twice"),
            ("[{\"HUSH\": 1}]", Format::Json, "item 1: a column has a name"),
            ("[7]", Format::Json, "item 1: this is no object"),
            ("[\"HUSH\"", Format::Json, "no JSON"),
            ("- HUSH\n", Format::Yaml, "line 1: this is no mapping"),
            ("- secret: {a: [HUSH]}\n", Format::Yaml, "secret is neither"),
        ];
        for (text, format, expected) in table {
            let error = match rows(text, *format) {
                Ok(rows) => format!("{}: {}", rows[0].at, rows[0].problems[0]),
                Err(error) => error,
            };
            assert!(error.contains(expected) && !error.contains("HUSH"), "{text}: {error}");
        }
        let not_text = read(b"name\n\xff\n", Format::Csv).err();
        assert_eq!(not_text.as_deref(), Some("line 2: the list is not UTF-8"));
    }

    #[test]
    fn a_key_file_is_known_as_such() {
        for (text, format) in
            [("version: 1\nkeys: []\n", Format::Yaml), ("{\"version\": 1, \"keys\": []}", Format::Json)]
        {
            assert!(matches!(read(text.as_bytes(), format), Ok(List::KeyFile)), "{text}");
        }
    }

    fn rows(text: &str, format: Format) -> Result<Vec<Row>, String> {
        match read(text.as_bytes(), format)? {
            List::Rows(rows) => Ok(rows),
            List::KeyFile => panic!("{text} is a key file"),
        }
    }
}
