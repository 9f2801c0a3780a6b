//! `docs/reference` says what the types say: each page is made from them, and kept current here (`UPDATE=1` writes it).

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path, process::Command};

use keygate::{config, policy::reason::Reason, store::key_file_schema, telemetry::names};
use serde_json::Value;

use crate::harness::run::{keygate, run};

/// That the page `name` is `text`.
fn assert_current(name: &str, text: &str) {
    assert_stored(name, &format!("<!-- Made by tests/suite/reference.rs; UPDATE=1 writes it. -->\n\n{text}"));
}

fn assert_stored(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(name);
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, text).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "run the test again with UPDATE=1 to write {}", path.display());
}

#[test]
fn configuration() {
    let intro = "The fields of `keygate.yaml`. Unknown fields are errors, and so is a field twice. `null` is as good as a field \
        that is not there, where nothing else is said. Scalars may hold `${VARIABLE}`, `${VARIABLE:-default}` and `${file:PATH}`; `$$` \
        is one dollar sign. Durations are written `500ms`, `10s`, `5m`, `1h`, `30d`; sizes in bytes, or as `64KiB`, `10MiB`. Relative \
        paths start at the folder of the file. [config/full.yaml](../../config/full.yaml) is all of it in one tested file.";
    assert_current("configuration.md", &schema_page("keygate.yaml", intro, &config::schema()));
}

#[test]
fn key_file() {
    let intro = "The fields of a key file. Unknown fields, a field twice, and a field without a value are errors; `${…}` is not \
        expanded here. [config/full.keys.yaml](../../config/full.keys.yaml) is all of it in one tested file.";
    assert_current("key-file.md", &schema_page("Key files", intro, &key_file_schema()));
}

#[test]
fn errors() {
    let source = include_str!("../../src/policy/reason.rs");
    let mut page = "# Error codes\n\nA refusal is `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail`, `code`, \
        `request_id`, and `message`, which is `detail` again. `errors:` in `keygate.yaml` replaces the body by the API's own. gRPC requests \
        get the gRPC status instead. [operate.md](../operate.md#by-error-code) says what to do about each.\n\n\
        | code | status | gRPC | title | when |\n|---|---|---|---|---|\n"
        .to_owned();
    for reason in Reason::ALL {
        let meaning = doc_of(source, &format!("    {reason:?},"));
        writeln!(
            page,
            "| `{}` | {} | {} | {} | {meaning} |",
            reason.code(),
            reason.status(),
            reason.grpc_status(),
            reason.title()
        )
        .unwrap();
    }
    assert_current("errors.md", &page);
}

/// The doc comment above the line `declaration` of `source`.
fn doc_of<'s>(source: &'s str, declaration: &str) -> &'s str {
    let mut lines = source.lines().zip(source.lines().skip(1));
    let (doc, _) =
        lines.find(|(_, line)| *line == declaration).unwrap_or_else(|| panic!("no {declaration:?}"));
    doc.trim().trim_start_matches("/// ")
}

#[test]
fn metrics() {
    let mut page = "# Metrics\n\n`/metrics` of the health listener, in the OpenMetrics text format. No label takes a value that a client \
        chose, and there is none per key or project.\n\n| metric | kind | labels | what it counts |\n|---|---|---|---|\n"
        .to_owned();
    for metric in names::ALL {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = format!("{:?}", metric.kind).to_lowercase();
        writeln!(page, "| `{}` | {kind} | {} | {} |", metric.full_name(), labels.join(" "), metric.help)
            .unwrap();
    }
    assert_current("metrics.md", &page);
}

#[test]
fn openapi() {
    let document = keygate(Path::new("."), &["openapi"], "").expect_success().stdout;
    assert_stored("openapi.json", &document);
}

#[test]
fn commands() {
    let mut page = "# Commands\n\nExit codes: 0 done, 1 failed, 2 wrong input, 3 done but not confirmed everywhere, 4 keys found where none should be. Secrets come in by standard input or `KEYGATE_KEY`, never as \
        an argument; they and what was asked for go to standard output, everything else to standard error.\n"
        .to_owned();
    describe(&[], &mut page);
    assert_current("commands.md", &page);
}

/// The help of a command and of those under it.
fn describe(command: &[&str], page: &mut String) {
    let help = run(
        Command::new(env!("CARGO_BIN_EXE_keygate")).args(command).arg("--help").env("COLUMNS", "100"),
        "",
    )
    .expect_success()
    .stdout;
    let name = ["keygate"].iter().chain(command).copied().collect::<Vec<_>>().join(" ");
    let text: Vec<_> = help.lines().map(str::trim_end).collect();
    writeln!(page, "\n## {name}\n\n```text\n{}\n```", text.join("\n").trim_end()).unwrap();
    let commands = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let listed = commands.lines().take_while(|line| !line.is_empty());
    let starts = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for under in starts.filter_map(|line| line.split_whitespace().next()).filter(|under| *under != "help") {
        describe(&[command, &[under]].concat(), page);
    }
}

/// A JSON Schema as a page: its own fields, then each type it names.
fn schema_page(title: &str, intro: &str, schema: &impl serde::Serialize) -> String {
    let schema = serde_json::to_value(schema).unwrap();
    let types: BTreeMap<String, Value> = serde_json::from_value(schema["$defs"].clone()).unwrap();
    let mut page = format!("# {title}\n\n{intro}\n\n{}", fields(&schema));
    for (name, schema) in &types {
        let body = if schema["oneOf"].is_array() {
            choices(schema)
        } else if schema["properties"].is_object() {
            fields(schema)
        } else {
            format!("{}.\n", values(schema).join(" or "))
        };
        writeln!(page, "\n## {name}\n\n{}", format!("{}\n\n{body}", text(schema)).trim()).unwrap();
    }
    page
}

fn fields(object: &Value) -> String {
    let mut table = "| field | value | |\n|---|---|---|\n".to_owned();
    let required: Vec<_> =
        object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, schema) in object["properties"].as_object().into_iter().flatten() {
        let must = if required.contains(&name.as_str()) { "**Required.** " } else { "" };
        let forms = values(schema);
        let forms = if forms.is_empty() { "`null`".to_owned() } else { forms.join(" or ") };
        writeln!(table, "| `{name}` | {forms} | {must}{} |", text(schema)).unwrap();
    }
    table
}

fn choices(schema: &Value) -> String {
    let choices = schema["oneOf"].as_array().unwrap();
    let lines: Vec<_> =
        choices.iter().map(|choice| format!("- {}: {}", values(choice).join(" or "), text(choice))).collect();
    lines.join("\n")
}

fn text(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}

/// The forms a value may have, in words; `null` and `${…}` go without saying.
fn values(schema: &Value) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let alternatives = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
    if let Some(alternatives) = alternatives {
        found.extend(alternatives.iter().flat_map(values));
    } else if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        found.push(format!("[{name}](#{})", name.to_lowercase()));
    } else if !schema["const"].is_null() || schema["enum"].is_array() {
        let one = std::slice::from_ref(&schema["const"]);
        let constants = schema["enum"].as_array().map_or(one, Vec::as_slice);
        found.extend(constants.iter().map(|value| format!("`{}`", value.to_string().trim_matches('"'))));
    } else {
        let types = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
        found.extend(types.iter().filter_map(|kind| of_type(kind.as_str().unwrap_or_default(), schema)));
    }
    let mut seen = Vec::new();
    found.retain(|form| {
        !seen.contains(form) && {
            seen.push(form.clone());
            true
        }
    });
    found
}

fn of_type(kind: &str, schema: &Value) -> Option<String> {
    let inner = |schema: &Value| values(schema).join(" or ");
    Some(match kind {
        "" | "null" => return None,
        "boolean" => "`true` or `false`".to_owned(),
        "integer" => "number".to_owned(),
        "array" => format!("list of {}", inner(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("map to {}", inner(&schema["additionalProperties"]))
        }
        "string" => match schema["pattern"].as_str() {
            Some(r"\$\{") => return None,
            Some(pattern) if pattern.contains("ms|s|m|h|d") => "duration".to_owned(),
            Some(pattern) if pattern.contains("KMGT") => "size".to_owned(),
            Some(pattern) if pattern.contains('`') => "header name".to_owned(),
            Some(pattern) => format!("text like `{}`", pattern.replace('|', "\\|")),
            None => "text".to_owned(),
        },
        other => other.to_owned(),
    })
}
