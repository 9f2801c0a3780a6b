//! The rows of a list of keys, whatever it is written in: CSV, JSON or YAML.

use std::collections::BTreeMap;

use serde_json::Value as Json;

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

/// One key as it is listed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// As a report names it: `line 3`, `item 1`.
    pub(super) at: String,
    pub(super) cells: BTreeMap<String, Cell>,
}

/// The rows of `text`.
///
/// # Errors
/// What is wrong with the list as a whole. No message shows a value.
pub(super) fn read(text: &[u8], format: Format) -> Result<Vec<Row>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "the list is not UTF-8")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rows = match format {
        Format::Csv => from_csv(text)?,
        Format::Json => from_json(text)?,
        Format::Yaml => from_yaml(text)?,
    };
    let named = rows.iter().flat_map(|row| row.cells.keys());
    if let Some(unknown) = named.into_iter().find(|name| !COLUMNS.contains(&name.as_str())) {
        return Err(unknown_column(unknown));
    }
    if rows.is_empty() { Err("the list holds no key".to_owned()) } else { Ok(rows) }
}

fn unknown_column(name: &str) -> String {
    let nearest = COLUMNS.iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    if let Some((..=2, known)) = nearest {
        format!("there is no column called {name:?}; did you mean {known:?}?")
    } else {
        let shown: String = name.chars().take(40).collect();
        format!("there is no column called {shown:?}; the columns are {}", COLUMNS.join(", "))
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
        if fields.len() != names.len() {
            return Err(format!("line {line}: {} fields instead of {}", fields.len(), names.len()));
        }
        let filled = names.iter().cloned().zip(fields).filter(|(_, field)| !field.is_empty());
        let cells = filled.map(|(name, field)| (name, Cell::Text(field))).collect();
        Ok(Row { at: format!("line {line}"), cells })
    };
    records.map(row).collect()
}

fn from_json(text: &str) -> Result<Vec<Row>, String> {
    let wrong = |error: serde_json::Error| {
        format!("line {}, column {}: this is no JSON of a list of keys", error.line(), error.column())
    };
    let rows: Vec<BTreeMap<String, Json>> = match serde_json::from_str::<Json>(text).map_err(wrong)? {
        Json::Object(mut file) => serde_json::from_value(file.remove("keys").unwrap_or_default()),
        list @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_)) => {
            serde_json::from_value(list)
        }
    }
    .map_err(|_| "this is no list of objects")?;
    let row = |(number, object): (usize, BTreeMap<String, Json>)| {
        let at = format!("item {number}");
        let cells = object.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| {
            let cell = json_cell(value).ok_or_else(|| not_a_value(&at, &name))?;
            Ok((name, cell))
        });
        let cells = cells.collect::<Result<_, String>>()?;
        Ok(Row { at, cells })
    };
    (1..).zip(rows).map(row).collect()
}

fn json_cell(value: Json) -> Option<Cell> {
    let text = |value: Json| match value {
        Json::String(text) => Some(text),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => None,
    };
    match value {
        Json::Array(items) => items.into_iter().map(text).collect::<Option<_>>().map(Cell::List),
        Json::Object(entries) => {
            let entries = entries.into_iter().map(|(name, value)| Some((name, text(value)?)));
            entries.collect::<Option<_>>().map(Cell::Map)
        }
        scalar @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_)) => {
            text(scalar).map(Cell::Text)
        }
    }
}

fn from_yaml(text: &str) -> Result<Vec<Row>, String> {
    let limits = Limits { bytes: BYTES_MAX, ..Limits::default() };
    let document = yaml::parse(text.as_bytes(), &limits).map_err(|problems| {
        problems.first().map(|problem| format!("{}: {}", problem.place, problem.message)).unwrap_or_default()
    })?;
    let root = document.root();
    let list = if let Shape::Mapping { .. } = root.shape() { root.get("keys") } else { Some(root) };
    let list = list.filter(|list| matches!(list.shape(), Shape::Sequence { .. }));
    let list = list.ok_or("this is no list of keys, and no mapping with a list under `keys`")?;
    let row = |item: Node<'_>| {
        let at = format!("line {}", item.place().line);
        if !matches!(item.shape(), Shape::Mapping { .. }) {
            return Err(format!("{at}: this is no mapping"));
        }
        let entries = item.entries().filter(|(_, value)| !value.is_null()).map(|(name, value)| {
            let name = name.text().unwrap_or_default();
            let cell = yaml_cell(value).ok_or_else(|| not_a_value(&at, name))?;
            Ok((name.to_owned(), cell))
        });
        let cells = entries.collect::<Result<_, String>>()?;
        Ok(Row { at, cells })
    };
    list.items().map(row).collect()
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

fn not_a_value(at: &str, name: &str) -> String {
    let shown: String = name.chars().take(40).collect();
    format!("{at}: {shown:?} is neither text nor a list or mapping of texts; put numbers in quotes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_rows_in_three_forms() {
        let yaml =
            "keys:\n- name: a\n  secret: x\n  scopes: [read]\n- {name: b, hash: y, scopes: [read, write]}\n";
        let json = r#"[{"name": "a", "secret": "x", "scopes": ["read"]}, {"name": "b", "hash": "y", "scopes": ["read", "write"], "owner": null}]"#;
        let cells = |rows: Vec<Row>| rows.into_iter().map(|row| row.cells).collect::<Vec<_>>();
        let from_yaml = cells(read(yaml.as_bytes(), Format::Yaml).unwrap());
        assert!(from_yaml == cells(read(json.as_bytes(), Format::Json).unwrap()));
        assert!(from_yaml == cells(read(json.as_bytes(), Format::Yaml).unwrap()));
        let csv = read(b"name,secret,hash\na,x,\nb,,y\n", Format::Csv).unwrap();
        assert_eq!(csv[1].at, "line 3");
        assert!(!csv[1].cells.contains_key("secret") && csv[1].cells["hash"] == Cell::Text("y".into()));
    }

    #[test]
    fn what_is_no_list_of_keys_is_refused_without_its_values() {
        let table: &[(&str, Format, &str)] = &[
            ("", Format::Csv, "first line names the columns"),
            ("nmae,secret\n", Format::Csv, "did you mean \"name\"?"),
            ("name,name\n", Format::Csv, "stands twice"),
            ("name,secret\nHUSH\n", Format::Csv, "line 2: 1 fields instead of 2"),
            ("name\n", Format::Csv, "holds no key"),
            ("{\"keys\": {\"HUSH\": 1}}", Format::Json, "no list of objects"),
            ("[{\"secret\": 123}]", Format::Json, "item 1: \"secret\""),
            ("[\"HUSH\"", Format::Json, "no JSON"),
            ("- HUSH\n", Format::Yaml, "line 1: this is no mapping"),
            ("- secret: {a: [HUSH]}\n", Format::Yaml, "\"secret\" is neither"),
        ];
        for (text, format, expected) in table {
            let error = read(text.as_bytes(), *format).err().unwrap();
            assert!(error.contains(expected) && !error.contains("HUSH"), "{text}: {error}");
        }
    }
}
