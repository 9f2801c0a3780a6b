//! What an edit changes, to the byte.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is wrong")]

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::yaml::{Node, Value};

use Step::{Index, Key, Where};

fn edited(text: &str, edit: impl FnOnce(&mut Editor) -> Result<(), EditError>) -> Result<String, EditError> {
    let mut editor = Editor::new(text.as_bytes(), &Limits::default())?;
    edit(&mut editor)?;
    Ok(editor.into_text())
}

/// `{id: c, role: owner}`
fn person() -> NewValue {
    NewValue::Map(vec![("id".into(), "c".into()), ("role".into(), "owner".into())])
}

#[test]
fn an_item_is_appended_in_the_style_of_its_list() {
    let table = [
        ("k:\n  - id: a\n    x: 1\n", "k:\n  - id: a\n    x: 1\n  - id: c\n    role: owner\n"),
        ("k:\n- id: a\nz: 1\n", "k:\n- id: a\n- id: c\n  role: owner\nz: 1\n"),
        ("k:\n-   id: a\n    x: 1\n", "k:\n-   id: a\n    x: 1\n-   id: c\n    role: owner\n"),
        (
            "k:\n  - id: a # last\n  # end\nz: 1",
            "k:\n  - id: a # last\n  - id: c\n    role: owner\n  # end\nz: 1",
        ),
        ("k:\n  - id: a", "k:\n  - id: a\n  - id: c\n    role: owner"),
        ("k:\r\n  - id: a\r\nz: 1\r\n", "k:\r\n  - id: a\r\n  - id: c\r\n    role: owner\r\nz: 1\r\n"),
        (
            "k:\n  - id: a\n\n  - id: b\n\nz: 1\n",
            "k:\n  - id: a\n\n  - id: b\n\n  - id: c\n    role: owner\n\nz: 1\n",
        ),
        (
            "k:\n  - id: a\n  # c\n  - id: b\nz: 1\n",
            "k:\n  - id: a\n  # c\n  - id: b\n  - id: c\n    role: owner\nz: 1\n",
        ),
        ("k:\n  - {id: a}\n", "k:\n  - {id: a}\n  - id: c\n    role: owner\n"),
        ("k:\n  -\n    id: a\n", "k:\n  -\n    id: a\n  - id: c\n    role: owner\n"),
        ("k:\n  - id: |\n      a\n\nz: 1\n", "k:\n  - id: |\n      a\n  - id: c\n    role: owner\n\nz: 1\n"),
        (
            "k:\n  - id: |+\n      a\n\nz: 1\n",
            "k:\n  - id: |+\n      a\n\n  - id: c\n    role: owner\nz: 1\n",
        ),
        ("k: [{id: a}]  # x\n", "k: [{id: a}, {id: c, role: owner}]  # x\n"),
        ("k: [\n  {id: a},  # x\n]\n", "k: [\n  {id: a}, {id: c, role: owner},  # x\n]\n"),
        ("k: []  # none\nz: 1\n", "k:  # none\n  - id: c\n    role: owner\nz: 1\n"),
        ("k: [ # none\n ]\n", "k: [{id: c, role: owner} # none\n ]\n"),
        ("k:\nz: 1\n", "k:\n  - id: c\n    role: owner\nz: 1\n"),
        ("k: # x\nz: 1\n", "k: # x\n  - id: c\n    role: owner\nz: 1\n"),
        ("z: 1\nk: ~", "z: 1\nk:\n  - id: c\n    role: owner"),
        ("z: 1\n", "z: 1\nk:\n  - id: c\n    role: owner\n"),
        ("y:\n- 1\nz: 1\n", "y:\n- 1\nz: 1\nk:\n- id: c\n  role: owner\n"),
        ("{z: 1}\n", "{z: 1, k: [{id: c, role: owner}]}\n"),
        ("{k: [], z: 1}\n", "{k: [{id: c, role: owner}], z: 1}\n"),
        ("{k: , z: 1}\n", "{k: [{id: c, role: owner}] , z: 1}\n"),
        ("{k, z: 1}\n", "{k: [{id: c, role: owner}], z: 1}\n"),
        ("{}\n", "{k: [{id: c, role: owner}]}\n"),
        ("---\n'k': []\n...\n", "---\n'k':\n  - id: c\n    role: owner\n...\n"),
        ("\u{feff}# top\nk: []\n", "\u{feff}# top\nk:\n  - id: c\n    role: owner\n"),
    ];
    for (before, after) in table {
        assert_eq!(
            edited(before, |editor| editor.append(&[Key("k")], person())).as_deref(),
            Ok(after),
            "{before:?}"
        );
    }
}

#[test]
fn a_key_is_inserted_before_another() {
    let table = [
        ("k:\n  - a: 1\n    e: 2\n", "k:\n  - a: 1\n    m: x\n    e: 2\n"),
        (
            "k:\n  - a: 1  # one\n    # of e\n    e: 2\n",
            "k:\n  - a: 1  # one\n    m: x\n    # of e\n    e: 2\n",
        ),
        ("k:\n  - e: 2 # two\n    a: 1\n", "k:\n  - m: x\n    e: 2 # two\n    a: 1\n"),
        ("k:\r\n- a: 1\r\n  e: 2\r\n", "k:\r\n- a: 1\r\n  m: x\r\n  e: 2\r\n"),
        ("k:\n  - a:\n    e: 2\n", "k:\n  - a:\n    m: x\n    e: 2\n"),
        ("k:\n  - a: [\n      1]\n    e: 2", "k:\n  - a: [\n      1]\n    m: x\n    e: 2"),
        ("k:\n  - a: |+\n      1\n\n    e: 2\n", "k:\n  - a: |+\n      1\n\n    m: x\n    e: 2\n"),
        ("k: [{a: 1, e: 2}]\n", "k: [{a: 1, m: x, e: 2}]\n"),
        ("k: [{e: 2}]\n", "k: [{m: x, e: 2}]\n"),
        ("k:\n  - a: 1\n", "k:\n  - a: 1\n    m: x\n"),
        ("k:\n  - m: 0\n    e: 2\n", "k:\n  - m: x\n    e: 2\n"),
    ];
    for (before, after) in table {
        let path = [Key("k"), Index(0), Key("m")];
        let edited = edited(before, |editor| editor.set_before(&path, "x".into(), Some("e")));
        assert_eq!(edited.as_deref(), Ok(after), "{before:?}");
    }
}

#[test]
fn several_items_are_one_edit() {
    let both = || vec![person(), NewValue::Map(vec![("id".into(), "d".into())])];
    let table = [
        ("k:\n- id: a\nz: 1\n", "k:\n- id: a\n- id: c\n  role: owner\n- id: d\nz: 1\n"),
        (
            "k:\n  - id: a\n\n  - id: b\n",
            "k:\n  - id: a\n\n  - id: b\n\n  - id: c\n    role: owner\n\n  - id: d\n",
        ),
        ("k: [{id: a}]\n", "k: [{id: a}, {id: c, role: owner}, {id: d}]\n"),
        ("k: []\n", "k:\n  - id: c\n    role: owner\n  - id: d\n"),
        ("k:\n", "k:\n  - id: c\n    role: owner\n  - id: d\n"),
        ("z: 1\r\n", "z: 1\r\nk:\r\n  - id: c\r\n    role: owner\r\n  - id: d\r\n"),
        ("{k: []}\n", "{k: [{id: c, role: owner}, {id: d}]}\n"),
    ];
    for (before, after) in table {
        let result = edited(before, |editor| editor.extend(&[Key("k")], both()));
        assert_eq!(result.as_deref(), Ok(after), "{before:?}");
        assert_eq!(edited(before, |editor| editor.extend(&[Key("k")], vec![])).as_deref(), Ok(before));
    }
}

#[test]
fn a_value_is_set_where_it_stands_or_at_the_end_of_its_mapping() {
    let a = [Key("k"), Where { key: "id", is: "a" }, Key("x")];
    let table = [
        ("k:\n  - id: a\n    x: 1  # old\n    y: 2\n", "k:\n  - id: a\n    x: new  # old\n    y: 2\n"),
        (
            "k:\n  - id: a\n    # c\n    y: 2 # d\n\n  - id: b\n",
            "k:\n  - id: a\n    # c\n    y: 2 # d\n    x: new\n\n  - id: b\n",
        ),
        ("k:\n  - {id: a, x: 'one', y: 2}\n", "k:\n  - {id: a, x: 'new', y: 2}\n"),
        ("k:\n  - {id: a}\n", "k:\n  - {id: a, x: new}\n"),
        ("k: [{\"id\": \"a\", \"x\": \"1\"}]", "k: [{\"id\": \"a\", \"x\": \"new\"}]"),
        ("k:\n- id: a\n  x:\n- id: b\n", "k:\n- id: a\n  x: new\n- id: b\n"),
        ("k:\n- id: a\n  x:   # nothing\n", "k:\n- id: a\n  x: new   # nothing\n"),
        (
            "k:\n- id: a\n  x: |-  # why\n    one\n    two\n\n  y: 1\n",
            "k:\n- id: a\n  x: new  # why\n\n  y: 1\n",
        ),
        (
            "k:\n- id: a\n  x:  # list\n  - 1\n  # in\n  - 2\n  y: 1\n",
            "k:\n- id: a\n  x: new  # list\n  y: 1\n",
        ),
        ("k:\n- id: a\n  x: {p: 1,\n    q: 2} # c\n", "k:\n- id: a\n  x: new # c\n"),
        ("k:\r\n- id: a\r\n- id: b", "k:\r\n- id: a\r\n  x: new\r\n- id: b"),
        ("k:\n- id: a\n  x: one\n    two\n", "k:\n- id: a\n  x: new\n"),
    ];
    for (before, after) in table {
        assert_eq!(edited(before, |editor| editor.set(&a, "new".into())).as_deref(), Ok(after), "{before:?}");
    }
}

#[test]
fn lists_and_mappings_are_set_in_the_style_that_was_there() {
    let list = || NewValue::strings(["p", "q r"]);
    let map = || NewValue::Map(vec![("a".into(), NewValue::Int(-1)), ("b".into(), NewValue::Bool(true))]);
    let table = [
        ("x: [a]  # c\ny: 1\n", list(), "x: [p, q r]  # c\ny: 1\n"),
        ("x: a\n", list(), "x: [p, q r]\n"),
        ("x:\n  - a # c\n  - b # d\ny: 1\n", list(), "x:\n  - p\n  - q r # d\ny: 1\n"),
        ("x:\n- a\ny: 1\n", NewValue::List(vec![]), "x: []\ny: 1\n"),
        ("x:\n  a: 1\ny: 1\n", map(), "x: {a: -1, b: true}\ny: 1\n"),
        ("y: 1\n", map(), "y: 1\nx: {a: -1, b: true}\n"),
        ("y: 1\n", list(), "y: 1\nx: [p, q r]\n"),
        ("~\n", list(), "{x: [p, q r]}\n"),
    ];
    for (before, value, after) in table {
        assert_eq!(
            edited(before, |editor| editor.set(&[Key("x")], value)).as_deref(),
            Ok(after),
            "{before:?}"
        );
    }
}

#[test]
fn what_is_removed_leaves_the_rest_to_the_byte() {
    let table: &[(&str, &[Step<'_>], &str)] = &[
        ("a: 1\nb: 2 # c\nd: 3\n", &[Key("b")], "a: 1\nd: 3\n"),
        ("a: 1\n# about b\nb:\n  - 2\n\nd: 3", &[Key("b")], "a: 1\n# about b\n\nd: 3"),
        ("a: 1\nb: 2", &[Key("b")], "a: 1"),
        ("a: 1\r\nb: 2\r\n", &[Key("b")], "a: 1\r\n"),
        ("a: 1\nb: 2", &[Key("a")], "b: 2"),
        ("a: 1\n", &[Key("a")], "{}\n"),
        ("k:\n  a: 1  # c\nz: 1\n", &[Key("k"), Key("a")], "k: {}  # c\nz: 1\n"),
        ("k:\n- a: 1\n  b: 2\n", &[Key("k"), Index(0), Key("a")], "k:\n- b: 2\n"),
        ("k:\n- a: 1\n  # c\n  b: 2\n", &[Key("k"), Index(0), Key("a")], "k:\n-\n  # c\n  b: 2\n"),
        ("{a: 1, b: 2, c: 3}", &[Key("a")], "{b: 2, c: 3}"),
        ("{a: 1, b: 2, c: 3,}", &[Key("c")], "{a: 1, b: 2,}"),
        ("{a: 1, b: 2}", &[Key("b")], "{a: 1}"),
        ("{a: 1,}", &[Key("a")], "{}"),
        (
            "k:\n  - id: a\n  # about b\n  - id: b\n    x: 1\n\n  - id: c\n",
            &[Key("k"), Where { key: "id", is: "b" }],
            "k:\n  - id: a\n  # about b\n\n  - id: c\n",
        ),
        ("k:\n- a\n- b\nz: 1", &[Key("k"), Index(0)], "k:\n- b\nz: 1"),
        ("k:\n- a\n-\n- b", &[Key("k"), Index(1)], "k:\n- a\n- b"),
        ("k:\n- a\n- b", &[Key("k"), Index(1)], "k:\n- a"),
        ("k:  # c\n- a\nz: 1\n", &[Key("k"), Index(0)], "k: []  # c\nz: 1\n"),
        ("k: [a, b, c]", &[Key("k"), Index(1)], "k: [a, c]"),
        ("k: [a]", &[Key("k"), Index(0)], "k: []"),
        ("- - a\n  - b\n", &[Index(0), Index(0)], "- - b\n"),
        ("- - a\n  - b\n", &[Index(0), Index(1)], "- - a\n"),
    ];
    for (before, path, after) in table {
        assert_eq!(edited(before, |editor| editor.remove(path)).as_deref(), Ok(*after), "{before:?}");
    }
}

#[test]
fn strings_are_quoted_only_where_yaml_needs_it() {
    let table = [
        ("GitHub Actions - staging", "GitHub Actions - staging"),
        ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z"),
        ("sha256:00ff", "sha256:00ff"),
        ("", "\"\""),
        ("12", "\"12\""),
        ("1e3", "\"1e3\""),
        ("null", "\"null\""),
        ("~", "\"~\""),
        ("yes", "\"yes\""),
        (" a", "\" a\""),
        ("a ", "\"a \""),
        ("a: b", "\"a: b\""),
        ("a:", "\"a:\""),
        ("a #b", "\"a #b\""),
        ("a#b", "a#b"),
        ("- a", "\"- a\""),
        ("*a", "\"*a\""),
        ("{a", "\"{a\""),
        ("a, b", "a, b"),
        ("say \"hi\"", "say \"hi\""),
        ("\"hi\": it's \\", "'\"hi\": it''s \\'"),
        ("a\nb", "\"a\\nb\""),
        ("a\u{1b}[31m", "\"a\\x1B[31m\""),
        ("a\u{202e}b", "\"a\\u202Eb\""),
        ("a\u{feff}\"", "\"a\\uFEFF\\\"\""),
        ("tag\u{e0041}", "\"tag\\U000E0041\""),
        ("grün 🌿", "grün 🌿"),
        ("---", "\"---\""),
        ("...", "\"...\""),
    ];
    for (value, written) in table {
        let after = edited("x: 1\n", |editor| editor.set(&[Key("x")], value.into()));
        assert_eq!(after, Ok(format!("x: {written}\n")), "{value:?}");
    }
    let after = edited("x: [1]\n", |editor| editor.append(&[Key("x")], "a, b".into()));
    assert_eq!(after.as_deref(), Ok("x: [1, \"a, b\"]\n"));
    let after = edited("x: 1\n", |editor| editor.set(&[Key("a: b")], "v".into()));
    assert_eq!(after.as_deref(), Ok("x: 1\n\"a: b\": v\n"));
}

#[test]
fn what_cannot_be_edited_is_said_and_nothing_changes() {
    let text = "k:\n- id: a\n- id: a\nx: 1\n";
    let mut editor = Editor::new(text.as_bytes(), &Limits::default()).unwrap();
    let wrong_kind = |path: &str, needed| EditError::WrongKind { path: path.into(), needed };
    assert_eq!(editor.append(&[Key("x")], person()), Err(wrong_kind("`x`", "a list")));
    assert_eq!(editor.remove(&[]), Err(wrong_kind("the document", "a key or an item")));
    assert_eq!(editor.remove(&[Key("y")]), Err(EditError::NotFound("`y`".into())));
    assert_eq!(editor.set(&[Key("y"), Key("z")], person()), Err(EditError::NotFound("`y`".into())));
    assert_eq!(editor.remove(&[Key("k"), Index(2)]), Err(EditError::NotFound("`k[2]`".into())));
    let twice = [Key("k"), Where { key: "id", is: "a" }];
    assert_eq!(editor.remove(&twice), Err(EditError::Ambiguous("`k[id=a]`".into())));
    let doubled = NewValue::Map(vec![("a".into(), "1".into()), ("a".into(), "2".into())]);
    assert_eq!(editor.set(&[Key("x")], doubled), Err(EditError::Unsafe("`x`".into())));
    assert_eq!(editor.into_text(), text);
    assert!(
        matches!(Editor::new(b"a: [", &Limits::default()), Err(EditError::Unreadable(problems)) if problems.len() == 1)
    );
}

/// A key file in one of many styles: indentation, order, comments, blank lines, quotes, flow, line endings.
fn key_files() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        Just("name: GitHub Actions"),
        Just("'owner': ada  # who"),
        Just("scopes: [read, 'write']"),
        Just("projects:\n~- alpha\n~# between\n~- beta"),
        Just("labels:\n~  team: x\n~  tier: \"1\""),
        Just("note: |\n~  text\n~   more\n"),
        Just("more: >-  # fold\n~  a\n~  b\n\n~  c"),
        Just("empty:"),
        Just("long: one\n~  two"),
        Just("# comment"),
        Just(""),
        Just("flow: {a: 1,\n~  b: [x, y, ]}"),
    ];
    let item = (prop::collection::vec(field, 0..5), any::<bool>());
    (prop::collection::vec(item, 0..4), 0_usize..4, 0_u8..3, any::<[bool; 4]>()).prop_map(
        |(items, indent, gap, [crlf, header, tail, newline])| {
            let pad = " ".repeat(indent);
            let mut text = String::from(if header { "---\n# keys\nversion: 1\n\n" } else { "" });
            text += if items.is_empty() { "keys: []  # none" } else { "keys:  # all" };
            for (number, (fields, flow)) in items.into_iter().enumerate() {
                text += &["", "\n", "\n# next"][usize::from(gap)..=usize::from(gap)].concat();
                if flow {
                    write!(text, "\n{pad}- {{id: k{number}, x: [1, 2]}}  # flow").unwrap();
                    continue;
                }
                write!(text, "\n{pad}- id: k{number}").unwrap();
                let mut seen = Vec::new();
                for field in fields {
                    if !seen.contains(&field) || field.is_empty() || field.starts_with('#') {
                        seen.push(field);
                        write!(text, "\n{pad}  {}", field.replace('~', &format!("{pad}  "))).unwrap();
                    }
                }
            }
            if tail {
                text += "\nlast: {a: 1}\n# end";
            }
            if newline {
                text.push('\n');
            }
            if crlf { text.replace('\n', "\r\n") } else { text }
        },
    )
}

/// Every node as its path and meaning.
fn meanings(node: Node<'_>, path: &str, found: &mut Vec<String>) {
    match node.value() {
        Some(Value::Text(text)) => found.push(format!("{path} = {text:?}")),
        Some(value) => found.push(format!("{path} = {value:?}")),
        None => found.push(format!("{path} {}", matches!(node.shape(), Shape::Sequence { .. }))),
    }
    for (index, item) in node.items().enumerate() {
        let name = item.get("id").and_then(Node::text).map_or(index.to_string(), ToOwned::to_owned);
        meanings(item, &format!("{path}[{name}]"), found);
    }
    for (key, value) in node.entries() {
        meanings(value, &format!("{path}.{}", key.text().unwrap()), found);
    }
}

fn meanings_of(text: &str) -> Vec<String> {
    let document = parse(text, &Limits::default()).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    let mut found = Vec::new();
    meanings(document.root(), "", &mut found);
    found
}

/// What is in `one` but not in `other`.
fn without<'t>(one: &'t [String], other: &[String]) -> Vec<&'t str> {
    one.iter().filter(|line| !other.contains(line)).map(String::as_str).collect()
}

/// How many comments outside of the keys a text of [`key_files`] has.
fn outer_comments(text: &str) -> usize {
    ["# keys", "# none", "# all", "# next", "# end"].map(|comment| text.matches(comment).count()).iter().sum()
}

/// Whether `after` is `before` with one stretch put in.
fn only_inserted(before: &str, after: &str) -> bool {
    let prefix = before.bytes().zip(after.bytes()).take_while(|(one, other)| one == other).count();
    let rest = before.len() - prefix;
    after.len() >= before.len() && after.ends_with(&before[before.len() - rest..])
}

proptest! {
    #[test]
    fn appending_changes_only_what_was_meant(text in key_files(), name in "[ -~é\u{202e}\n]{0,12}") {
        let item = NewValue::Map(vec![("id".into(), "new".into()), ("name".into(), NewValue::Str(name.clone()))]);
        let after = edited(&text, |editor| editor.append(&[Key("keys")], item)).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let (old, new) = (meanings_of(&text), meanings_of(&after));
        prop_assert_eq!(without(&new, &old), [".keys[new] false".into(), ".keys[new].id = \"new\"".into(), format!(".keys[new].name = {name:?}")]);
        prop_assert_eq!(without(&old, &new), Vec::<&str>::new());
        prop_assert!(text.contains("[]") || only_inserted(&text, &after), "{}\n---\n{}", text, after);
        prop_assert_eq!(after.contains("\r\n"), text.contains("\r\n"));
        prop_assert_eq!(after.replace("\r\n", "").contains('\n') && text.contains("\r\n"), false);
    }

    #[test]
    fn setting_changes_only_what_was_meant(text in key_files(), number in 0_usize..4, field in prop_oneof![Just("name"), Just("scopes"), Just("projects"), Just("labels"), Just("note"), Just("more"), Just("empty"), Just("long"), Just("revoked_at")], value in "[ -~\n]{0,12}") {
        let id = format!("k{number}");
        let path = [Key("keys"), Where { key: "id", is: &id }, Key(field)];
        match edited(&text, |editor| editor.set(&path, NewValue::Str(value.clone()))) {
            Err(EditError::NotFound(_)) => prop_assert!(!text.contains(&id)),
            Err(error) => panic!("{error}\n{text}"),
            Ok(after) => {
                let (old, new) = (meanings_of(&text), meanings_of(&after));
                let changed = format!(".keys[{id}].{field}");
                let meant = format!("{changed} = {value:?}");
                prop_assert!(new.contains(&meant));
                prop_assert!(without(&new, &old).iter().all(|line| **line == meant));
                prop_assert!(without(&old, &new).iter().all(|line| line.starts_with(&changed)));
            }
        }
    }

    #[test]
    fn removing_changes_only_what_was_meant(text in key_files(), number in 0_usize..4, field in prop_oneof![Just("id"), Just("name"), Just("scopes"), Just("projects"), Just("labels"), Just("note"), Just("empty")], whole in any::<bool>()) {
        let id = format!("k{number}");
        let path = [Key("keys"), Where { key: "id", is: &id }, Key(field)];
        let path = if whole { &path[..2] } else { &path[..] };
        match edited(&text, |editor| editor.remove(path)) {
            Err(EditError::NotFound(_)) => {}
            Err(error) => panic!("{error}\n{text}"),
            Ok(after) => {
                let (old, new) = (meanings_of(&text), meanings_of(&after));
                if whole {
                    let removed = format!(".keys[{id}]");
                    prop_assert!(without(&old, &new).iter().all(|line| line.starts_with(&removed)));
                    prop_assert_eq!(without(&new, &old), Vec::<&str>::new());
                }
                prop_assert_eq!(outer_comments(&text), outer_comments(&after), "{}\n---\n{}", text, after);
                prop_assert!(after.ends_with('\n') || !text.ends_with('\n'), "{}\n---\n{}", text, after);
            }
        }
    }

    #[test]
    fn arbitrary_yaml_is_edited_or_left_alone(text in "([-:?,\\[\\]{}#|>'\" \n]|- |: |\n  |\n|k: |k:|a|[0-9]){0,30}") {
        if let Ok(mut editor) = Editor::new(text.as_bytes(), &Limits::default()) {
            let _ = editor.append(&[Key("k")], person());
            let _ = editor.set(&[Key("k"), Index(0)], person());
            let _ = editor.set(&[Key("a")], "x".into());
            let _ = editor.remove(&[Index(0)]);
            let _ = editor.remove(&[Key("k")]);
            prop_assert!(parse(&editor.into_text(), &Limits::default()).is_ok());
        }
    }
}
