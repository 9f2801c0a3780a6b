//! What [`parse`] accepts and refuses, and where it says things stand.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test stops where it is wrong"
)]

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// The problems of `text`, each as `line:column: message; remedy`.
fn refusals(text: impl AsRef<[u8]>) -> Vec<String> {
    refusals_within(text, &Limits::default())
}

fn refusals_within(text: impl AsRef<[u8]>, limits: &Limits) -> Vec<String> {
    match parse(&text, limits) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// The tree with every place and span, in one line.
fn outline(node: Node<'_>, text: &str) -> String {
    let inside: Vec<String> = node.children().map(|child| outline(child, text)).collect();
    let span = &text[node.span()];
    match node.shape() {
        Shape::Scalar(_) => format!("{} {span:?}", node.place()),
        Shape::Sequence { .. } | Shape::Mapping { .. } => {
            format!("{} {span:?} ({})", node.place(), inside.join(" "))
        }
    }
}

#[test]
fn every_node_knows_its_place_and_span() {
    let table = [
        (
            "a: 1\nb:\nc: |\n  x\n\nd: >-  # c\n  z\n",
            r#"1:1 "a: 1\nb:\nc: |\n  x\n\nd: >-  # c\n  z\n" (1:1 "a" 1:4 "1" 2:1 "b" 2:3 "" 3:1 "c" 3:4 "|\n  x\n\n" 6:1 "d" 6:4 ">-  # c\n  z\n")"#,
        ),
        (
            "a:\n- 1\n-\n- - \n  - x\n- |\n  t\nb: 2\n",
            r#"1:1 "a:\n- 1\n-\n- - \n  - x\n- |\n  t\nb: 2" (1:1 "a" 2:1 "- 1\n-\n- - \n  - x\n- |\n  t\n" (2:3 "1" 3:2 "" 4:3 "- \n  - x" (4:4 "" 5:5 "x") 6:3 "|\n  t\n") 8:1 "b" 8:4 "2")"#,
        ),
        (
            "{x, y: , z: [1, ], w: 'q'}",
            r#"1:1 "{x, y: , z: [1, ], w: 'q'}" (1:2 "x" 1:3 "" 1:5 "y" 1:7 "" 1:10 "z" 1:13 "[1, ]" (1:14 "1") 1:20 "w" 1:23 "'q'")"#,
        ),
        (
            "---\n# c\n- é: 'ü'\n  \"b\\n\": \"z\"\n...\n",
            r#"3:1 "- é: 'ü'\n  \"b\\n\": \"z\"" (3:3 "é: 'ü'\n  \"b\\n\": \"z\"" (3:3 "é" 3:6 "'ü'" 4:3 "\"b\\n\"" 4:10 "\"z\""))"#,
        ),
        ("|\n x\n", r#"1:1 "|\n x\n""#),
        ("--- |\n x\n", r#"1:5 "|\n x\n""#),
        (
            "a: 'x'  # c\nb: [1]  # c\nc: {x: [2] # d\n  } # e\n",
            r#"1:1 "a: 'x'  # c\nb: [1]  # c\nc: {x: [2] # d\n  }" (1:1 "a" 1:4 "'x'" 2:1 "b" 2:4 "[1]" (2:5 "1") 3:1 "c" 3:4 "{x: [2] # d\n  }" (3:5 "x" 3:8 "[2]" (3:9 "2")))"#,
        ),
        ("...\n|\n x\n", r#"2:1 "|\n x\n""#),
        ("a: b\n  c\n", r#"1:1 "a: b\n  c" (1:1 "a" 1:4 "b\n  c")"#),
        ("[a: b, c]", r#"1:1 "[a: b, c]" (1:2 "a: b" (1:2 "a" 1:5 "b") 1:8 "c")"#),
        ("? a\n: b\n", r#"1:1 "? a\n: b" (1:3 "a" 2:3 "b")"#),
        ("a:   # c\n  # d\n  |\n  x\n", r#"1:1 "a:   # c\n  # d\n  |\n  x\n" (1:1 "a" 3:3 "|\n  x\n")"#),
        (
            "a: \"x\r\n  y\"\r\nb: 1\r\n",
            r#"1:1 "a: \"x\r\n  y\"\r\nb: 1" (1:1 "a" 1:4 "\"x\r\n  y\"" 3:1 "b" 3:4 "1")"#,
        ),
    ];
    for (text, expected) in table {
        let document = parse(text, &Limits::default()).unwrap();
        assert_eq!(outline(document.root(), text), expected, "{text:?}");
    }
}

#[test]
fn scalars_mean_what_yaml_says() {
    let text = "plain: a b\nfolded plain: a\n  b\nsingle: 'it''s'\ndouble: \"a\\tb\\u00e9\"\nliteral: |\n  a\n   b\nfolded: >\n  \
                a\n  b\nnumber: 0x1f\nquoted number: '12'\nnothing:\nyes: on\n404: no\n";
    let document = parse(text, &Limits::default()).unwrap();
    let values: Vec<_> =
        document.root().entries().map(|(key, value)| (key.text().unwrap(), value.value().unwrap())).collect();
    let expected = [
        ("plain", Value::Text("a b")),
        ("folded plain", Value::Text("a b")),
        ("single", Value::Text("it's")),
        ("double", Value::Text("a\tbé")),
        ("literal", Value::Text("a\n b\n")),
        ("folded", Value::Text("a b\n")),
        ("number", Value::Integer(Some(31))),
        ("quoted number", Value::Text("12")),
        ("nothing", Value::Null),
        ("yes", Value::Text("on")),
        ("404", Value::Text("no")),
    ];
    assert_eq!(values, expected);
}

#[test]
fn what_is_refused_is_named_with_its_place_and_remedy() {
    let table: &[(&str, &str)] = &[
        ("", "1:1: the file is empty; write at least one `name: value` line"),
        ("# c\n", "1:1: the file is empty; write at least one `name: value` line"),
        ("---\n...\n", "1:1: the file is empty; write at least one `name: value` line"),
        (
            "a: 1\n---\nb: 1\n",
            "2:1: a second document begins here; keep one document in a file: remove the `---`, or split the file",
        ),
        (
            "a: 1\n...\nx\n",
            "3:1: a second document begins here; keep one document in a file: remove the `---`, or split the file",
        ),
        ("a: &x 1\n", "1:4: anchors (`&name`) are not read; write the value out where it is used"),
        (
            "a: *y\n",
            "1:4: aliases (`*name`) are not read; write the value out; a text that begins with `*` goes in quotes",
        ),
        (
            "a: !t x\n",
            "1:4: tags (`!name`) are not read; remove the tag; a text that begins with `!` goes in quotes",
        ),
        (
            "a: !!str x\n",
            "1:4: tags (`!name`) are not read; remove the tag; a text that begins with `!` goes in quotes",
        ),
        (
            "a: !h!x y\n",
            "1:4: tags (`!name`) are not read; remove the tag; a text that begins with `!` goes in quotes",
        ),
        ("<<: {a: 1}\n", "1:1: merge keys (`<<`) are not read; write the merged entries out"),
        ("a: 1\nb: 2\na: 3\n", "3:1: the key `a` stands twice; first at 1:1; remove or rename one of them"),
        ("{a: 1, 'a': 2}", "1:8: the key `a` stands twice; first at 1:2; remove or rename one of them"),
        (
            "404: 1\n\"404\": 1\n",
            "2:1: the key `404` stands twice; first at 1:1; remove or rename one of them",
        ),
        (
            "[a]: 1\n",
            "1:1: a list or mapping is used as a key; use a text as key; put text in braces in quotes",
        ),
        (
            "? {a: 1}\n: 1\n",
            "1:3: a list or mapping is used as a key; use a text as key; put text in braces in quotes",
        ),
        ("~: 1\n", "1:1: a key is empty or null; name the key; if it is really `null`, put it in quotes"),
        ("true: 1\n", "1:1: the key `true` is not a text; put the key in quotes"),
        ("a:\n\tb: 1\n", "2:2: a tab is used as indentation; indent with spaces"),
        ("a:\n  - b\n\t- c\n", "2:5: a tab is used as indentation; indent with spaces"),
        (
            "a: 'x\nb: 1\n",
            "1:4: a quote is not closed on its line, and the next is not indented; close the quote, or indent the lines \
             of the value more than its key",
        ),
        (
            "a: \"x\\q\"\n",
            "1:4: this escape is not known in double quotes; use single quotes, or write \\\\ for a backslash",
        ),
        (
            "a: b: c\n",
            "1:5: a `:` stands where no key can be; put a value that contains `: ` in quotes, or correct the indentation",
        ),
        (
            "a: [1, 2\nb: 3\n",
            "2:2: a `:` stands where no key can be; write `name: value` on one line, and close the brackets above",
        ),
        ("a: {b: 1\n", "2:1: a mapping in braces is not closed or lacks a comma; write {a: 1, b: 2}"),
        (
            "a: ]\n",
            "1:4: a bracket or brace closes what is not open; remove it, or put text with brackets in quotes",
        ),
        (
            "a:\n  b: 1\n c: 2\n",
            "3:2: this line does not fit the mapping above it; align it with the keys above, or put the value above in \
             quotes",
        ),
        (
            "a: 1\nb\nc: 2\n",
            "3:1: this line or the one above is neither `name: value` nor `- item`; add the `:` after the key, or indent \
             the line to continue the value above",
        ),
        (
            "- a\nb: 1\n",
            "2:1: this line does not fit the list above it; begin it with `- `, aligned with the items above",
        ),
        ("a: @x\n", "1:4: a value begins with a reserved character (% @ `); put the value in quotes"),
        ("a: - b\n", "1:4: a `- ` stands where no list can be; begin the list on a new line"),
        ("a: 'x' y\n", "1:8: text follows a closing quote; put all of the value in the quotes"),
        ("a: | x\n  y\n", "1:4: text follows `|` or `>`; begin the block text on the next line"),
        (
            "a: \u{feff}b\n",
            "1:4: character U+FEFF cannot stand here; remove it, or write it in double quotes as \\uFEFF",
        ),
        (
            "a: é\u{1b}b\n",
            "1:5: character U+001B cannot stand here; remove it, or write it in double quotes as \\u001B",
        ),
        (
            "a: b\0\nkeys: []\n",
            "1:5: character U+0000 cannot stand here; remove it, or write it in double quotes as \\u0000",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(refusals(text), [*expected], "{text:?}");
    }
}

#[test]
fn all_that_is_refused_is_told_in_one_run() {
    let text = "a: &x 1\nb: *x\na: !t 2\n<<: 3\nc: [\n";
    let places: Vec<_> =
        parse(text, &Limits::default()).unwrap_err().iter().map(|problem| problem.place.line).collect();
    assert_eq!(places, [1, 2, 3, 3, 4, 6], "anchor, alias, duplicate key and tag, merge key, open bracket");
}

#[test]
fn a_flood_of_problems_is_cut_short() {
    let problems = parse(&"- !t x\n".repeat(5000), &Limits::default()).unwrap_err();
    assert_eq!(problems.len(), 1001);
    assert_eq!(problems[1000].message, "at least 4000 more problems are not shown");
}

#[test]
fn encodings_other_than_utf8_are_refused_and_a_byte_order_mark_is_passed() {
    assert_eq!(refusals(b"a: 1\nb: \xc3\xa9\xff"), ["2:5: byte 0xff is not UTF-8; save the file as UTF-8"]);
    assert_eq!(refusals(b"\xff\xfea\0"), ["1:1: this is UTF-16, not UTF-8; save the file as UTF-8"]);
    let document = parse(b"\xef\xbb\xbfa: 1", &Limits::default()).unwrap();
    let one = document.root().get("a").unwrap();
    assert_eq!((one.place(), one.span()), (Place { line: 1, column: 4 }, 3..4));
}

#[test]
fn limits_are_kept() {
    let limits = Limits::default();
    let cases = [
        ("[[[1]]]", Limits { depth: 2, ..limits }, "1:3: more than 2 lists and mappings inside each other"),
        (
            "a:\n  b:\n    c: 1",
            Limits { depth: 2, ..limits },
            "3:5: more than 2 lists and mappings inside each other",
        ),
        ("[1,2]", Limits { nodes: 2, ..limits }, "1:2: more than 2 values"),
        ("[1,2]", Limits { bytes: 4, ..limits }, "1:1: the file has 5 bytes"),
    ];
    for (text, limits, expected) in cases {
        let found = refusals_within(text, &limits);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text:?}: {found:?}");
    }
    assert_eq!(parse("[[1]]", &Limits { depth: 2, ..limits }).unwrap().root().items().count(), 1);
    assert_eq!(refusals("[".repeat(100)).len(), 1);
    assert_eq!(refusals("- ".repeat(100)).len(), 1);
    assert_eq!(refusals("{a: ".repeat(100)).len(), 1);
}

#[test]
fn a_whole_document_in_brackets_is_bounded() {
    let text = format!("[{}, 1]", "x".repeat(5 << 20));
    assert_eq!(
        refusals(text),
        [
            "1:1: a value or bracketed collection after this is longer than 4 MiB; write lists and mappings on lines of \
             their own, without [ ] and { }"
        ]
    );
}

#[test]
fn a_large_mapping_still_shows_its_duplicates() {
    let mut lines: Vec<String> = (0..1000).map(|number| format!("key{number}: {number}\n")).collect();
    lines.push("key7: again\n".into());
    assert_eq!(
        refusals(lines.concat()),
        ["1001:1: the key `key7` stands twice; first at 8:1; remove or rename one of them"]
    );
}

#[test]
fn debug_shows_no_content() {
    let document = parse("password: hunter2", &Limits::default()).unwrap();
    let shown = format!("{document:?} {:?}", document.root().get("password").unwrap());
    assert_eq!(shown, "Document(17 bytes, 3 nodes) Scalar(Plain) at 1:11");
}

/// A tree to be rendered and read again.
#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Null,
    Bool(bool),
    Integer(i64),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::Bool),
        any::<i64>().prop_map(Tree::Integer),
        "[a-z0-9 :#é\"'\\[{\n-]{0,12}".prop_map(Tree::Text),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::List),
            prop::collection::btree_map("[a-z]{1,3}|[\"':# é]{1,4}", inner, 0..5)
                .prop_map(|map| Tree::Map(map.into_iter().collect())),
        ]
    })
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            _ => quoted.push(character),
        }
    }
    quoted + "\""
}

/// `tree` in block style with comments and blank lines between, or in flow style below an odd depth.
fn render(tree: &Tree, indent: usize, flow: bool, out: &mut String) {
    let pad = " ".repeat(indent);
    match tree {
        Tree::Null => out.push_str(" ~"),
        Tree::Bool(value) => write!(out, " {value}").unwrap(),
        Tree::Integer(value) => write!(out, " {value}").unwrap(),
        Tree::Text(text) => write!(out, " {}", quoted(text)).unwrap(),
        Tree::List(items) if items.is_empty() => out.push_str(" []"),
        Tree::Map(entries) if entries.is_empty() => out.push_str(" {}"),
        Tree::List(items) if flow => {
            out.push_str(" [");
            for item in items {
                render(item, 0, true, out);
                out.push(',');
            }
            out.push(']');
        }
        Tree::Map(entries) if flow => {
            out.push_str(" {");
            for (key, value) in entries {
                write!(out, "{}:", quoted(key)).unwrap();
                render(value, 0, true, out);
                out.push_str(" , ");
            }
            out.push('}');
        }
        Tree::List(items) => {
            for item in items {
                write!(out, "\n{pad}# item\n\n{pad}-").unwrap();
                render(item, indent + 2, indent > 3, out);
            }
        }
        Tree::Map(entries) => {
            for (key, value) in entries {
                write!(out, "\n{pad}{}:", quoted(key)).unwrap();
                render(value, indent + 1, indent > 3, out);
                out.push_str("  # value");
            }
        }
    }
}

fn tree(node: Node<'_>) -> Tree {
    match node.value() {
        Some(Value::Null) => Tree::Null,
        Some(Value::Bool(value)) => Tree::Bool(value),
        Some(Value::Integer(value)) => Tree::Integer(value.unwrap().try_into().unwrap()),
        Some(Value::Float(value)) => panic!("no float was rendered: {value}"),
        Some(Value::Text(text)) => Tree::Text(text.into()),
        None if matches!(node.shape(), Shape::Sequence { .. }) => {
            Tree::List(node.items().map(tree).collect())
        }
        None => {
            Tree::Map(node.entries().map(|(key, value)| (key.text().unwrap().into(), tree(value))).collect())
        }
    }
}

proptest! {
    #[test]
    fn a_rendered_tree_is_read_as_it_was(original in trees()) {
        let mut text = String::from("---");
        render(&original, 0, false, &mut text);
        text.push('\n');
        let document = parse(&text, &Limits::default()).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        prop_assert_eq!(tree(document.root()), original, "{}", text);
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(problems) = parse(&bytes, &Limits::default()) {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn arbitrary_yaml_is_read_or_refused_and_spans_nest(text in "([-:?,\\[\\]{}#&*!|>'\"%@` \n\r\t]|---|\\.\\.\\.|- |: |\n  |\n|a|é|[0-9]|<<|\\\\x|\u{feff}){0,60}") {
        match parse(&text, &Limits::default()) {
            Err(problems) => prop_assert!(!problems.is_empty()),
            Ok(document) => {
                let body = text.strip_prefix('\u{feff}').unwrap_or(&text);
                for node in (0..document.nodes.len()).map(|id| Node { document: &document, id: u32::try_from(id).unwrap() }) {
                    prop_assert!(body.get(node.span()).is_some(), "{:?} {:?}", node, node.span());
                    prop_assert_eq!(read::place_after(&body[..node.span().start]), node.place());
                    let span = &body[node.span()];
                    let ends = match node.shape() {
                        Shape::Sequence { flow: true } => span.starts_with('[') && span.ends_with(']'),
                        Shape::Mapping { flow: true } => span.starts_with('{') && span.ends_with('}'),
                        Shape::Sequence { flow: false } => span.starts_with('-'),
                        Shape::Scalar(Style::SingleQuoted) => span.starts_with('\'') && span.ends_with('\''),
                        Shape::Scalar(Style::DoubleQuoted) => span.starts_with('"') && span.ends_with('"'),
                        Shape::Scalar(Style::Literal) => span.starts_with('|'),
                        Shape::Scalar(Style::Folded) => span.starts_with('>'),
                        Shape::Scalar(Style::Plain) => span.trim() == span,
                        Shape::Mapping { flow: false } => true,
                    };
                    prop_assert!(ends, "{:?} {:?}", node, span);
                    for child in node.children() {
                        prop_assert!(child.span().start >= node.span().start && child.span().end <= node.span().end, "{:?} in {:?}", child, node);
                    }
                }
            }
        }
    }
}
