//! The rules of the house that a test can keep: who may import whom, what the pure modules must not know, how long a
//! file may be, and what things must not be called. Every complaint names file and line and says what to do.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::rust_text::{RustText, Word};

const MAX_LINES: usize = 600;

/// Each module of the library with those it may import. A module may always import itself.
#[rustfmt::skip]
const LAYERS: &[(&str, &[&str])] = &[
    ("clock",     &[]),
    ("message",   &[]),
    ("yaml",      &[]),
    ("http1",     &["message"]),
    ("policy",    &["message"]),
    ("keys",      &["policy", "message"]),
    // What routes an API might have, by its description.
    ("openapi",   &["yaml", "policy"]),
    ("gate",      &["keys", "policy", "http1", "message"]),
    ("limit",     &["gate", "keys", "policy", "clock"]),
    ("assertion", &["policy"]),
    ("config",    &["assertion", "store::contract", "store::database_url", "yaml", "gate", "policy", "keys", "http1", "message"]),
    ("live",      &["config", "limit", "keys", "policy"]),
    ("telemetry", &["policy", "keys", "clock", "message"]),
    ("store",     &["telemetry", "yaml", "limit::share", "policy", "keys", "clock"]),
    ("net",       &["config", "telemetry", "clock", "message", "http1"]),
    ("control",   &["store", "live", "limit", "gate", "telemetry", "config", "keys", "policy", "http1", "message", "yaml", "clock"]),
    ("doors",     &["gate", "config", "policy", "http1", "message"]),
    ("proxy",     &["doors", "assertion", "net", "gate", "live", "limit", "telemetry", "config", "keys", "policy", "http1", "message", "clock"]),
    ("admin",     &["control", "store::contract", "store::accounts", "net", "gate", "live", "telemetry", "config", "keys", "policy", "message", "clock"]),
    ("console",   &["admin", "control", "store::contract", "store::accounts", "live", "telemetry", "config", "keys", "policy", "clock"]),
    ("app",       &["*"]),
    ("demo",      &["*"]),
    ("cli",       &["*"]),
];

/// What nothing below may import.
const TOP: &[&str] = &["app", "demo", "cli"];

/// The core has no clock, dice or disk: the same input always gives the same verdict.
const PURE: &[&str] = &["policy", "keys", "gate", "http1", "message", "yaml", "doors", "openapi"];

const IMPURE_WORDS: &[&str] =
    &["async", "await", "tokio", "hyper", "tracing", "println", "eprintln", "SystemTime", "Instant"];
const IMPURE_STD: &[&str] = &["fs", "env", "process", "thread"];
const ADDRESS_TYPES: &[&str] =
    &["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6", "AddrParseError"];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"];

#[test]
fn modules_import_only_what_their_layer_allows() {
    let mut wrong = Complaints::default();
    for file in library() {
        let Some((_, allowed)) = LAYERS.iter().find(|(module, _)| *module == file.module) else {
            if !["lib", "main"].contains(&file.module.as_str()) {
                wrong.add(
                    &file,
                    1,
                    &format!("module `{}` has no row in LAYERS of tests/suite/tidy.rs: add one", file.module),
                );
            }
            continue;
        };
        for (line, target) in file.text.imports(file.depth) {
            let module = target.split("::").next().unwrap_or_default();
            let known = LAYERS.iter().any(|(name, _)| *name == module);
            let leads_to = |name: &str| name.strip_prefix(&target).is_some_and(|rest| rest.starts_with("::"));
            let may =
                |name: &&str| *name == "*" || *name == module || target.starts_with(*name) || leads_to(name);
            if known && module != file.module && !allowed.iter().any(may) {
                let advice = "move the code to the layer that owns it, or pass the value in";
                wrong.add(&file, line, &format!("`{}` may not import `{target}`: {advice}", file.module));
            }
            if TOP.contains(&module) && !TOP.contains(&file.module.as_str()) && file.module != "main" {
                wrong.add(&file, line, &format!("nobody imports `{module}`: it stands on top"));
            }
        }
    }
    wrong.assert_none();
}

#[test]
fn pure_modules_know_no_clock_disk_network_or_log() {
    let mut wrong = Complaints::default();
    for file in library().iter().filter(|file| PURE.contains(&file.module.as_str())) {
        for word in file.text.words() {
            if let Some(name) = impurity(&word) {
                let advice = "take what it would give as an argument, or move this to an outer layer";
                wrong.add(
                    file,
                    word.line,
                    &format!("`{name}` in the pure module `{}`: {advice}", file.module),
                );
            }
        }
    }
    wrong.assert_none();
}

fn impurity(word: &Word) -> Option<String> {
    if IMPURE_WORDS.contains(&word.text.as_str()) {
        return Some(word.text.clone());
    }
    if word.text == "now" && word.after.ends_with("Timestamp::") {
        return Some("Timestamp::now".to_owned());
    }
    let module = word.after.strip_suffix("::")?.rsplit("::").next()?;
    match (module, word.text.as_str()) {
        ("std" | "core", name) if IMPURE_STD.contains(&name) => Some(format!("std::{name}")),
        ("net", name) if word.after == "std::net::" && !ADDRESS_TYPES.contains(&name) => {
            Some(format!("std::net::{name}"))
        }
        _ => None,
    }
}

#[test]
fn every_file_opens_with_a_module_doc() {
    let mut wrong = Complaints::default();
    for file in rust_files(&["src", "tests/suite", "benches"]) {
        if !file.text.source().starts_with("//!") {
            wrong.add(&file, 1, "open with `//!` and say in a line what this module is");
        }
    }
    wrong.assert_none();
}

#[test]
fn files_are_short_and_end_with_their_tests() {
    let mut wrong = Complaints::default();
    for file in rust_files(&["src", "tests/suite", "benches"]) {
        let lines = file.text.lines_without_tests();
        if lines > MAX_LINES {
            wrong.add(
                &file,
                MAX_LINES,
                &format!("{lines} lines without tests: split it by subject, at most {MAX_LINES}"),
            );
        }
        if let Some(line) = file.text.code_after_tests() {
            wrong.add(&file, line, "`mod tests` stands last in a file: move this above it");
        }
    }
    wrong.assert_none();
}

#[test]
fn names_say_what_is_inside() {
    let mut wrong = Complaints::default();
    for file in rust_files(&["src", "tests", "benches"]) {
        for part in file.path.with_extension("").iter().filter_map(|part| part.to_str()) {
            if EMPTY_NAMES.contains(&part) {
                wrong.add(&file, 1, &format!("`{part}` names nothing: name the file after what it holds"));
            }
        }
        for word in file
            .text
            .words()
            .filter(|word| ["struct", "enum", "trait", "mod", "type"].contains(&word.before.as_str()))
        {
            let last = last_term(&word.text);
            if EMPTY_NAMES.contains(&last.as_str()) {
                wrong.add(
                    &file,
                    word.line,
                    &format!("`{}` names nothing: use the field's term for what it does", word.text),
                );
            }
        }
    }
    wrong.assert_none();
}

/// `KeyManager` and `key_manager` both end in `manager`.
fn last_term(name: &str) -> String {
    let start = name.rfind(|letter: char| letter.is_uppercase() || letter == '_').unwrap_or(0);
    name[start..].trim_start_matches('_').to_lowercase()
}

#[test]
fn no_test_is_ignored() {
    let mut wrong = Complaints::default();
    for file in rust_files(&["src", "tests", "benches"]) {
        for word in file.text.words().filter(|word| word.text == "ignore" && word.before == "#[") {
            wrong.add(&file, word.line, "a test that is not run is no test: make it pass, or remove it");
        }
    }
    wrong.assert_none();
}

#[test]
fn metric_names_stand_in_one_file() {
    let mut wrong = Complaints::default();
    for file in library().iter().filter(|file| file.path != Path::new("src/telemetry/names.rs")) {
        for (line, literal) in file.text.strings() {
            let is_name =
                |rest: &str| rest.contains('_') && rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            if literal.strip_prefix("keygate_").is_some_and(is_name) {
                wrong.add(
                    file,
                    line,
                    &format!("`{literal}` looks like a metric: name it in src/telemetry/names.rs"),
                );
            }
        }
    }
    wrong.assert_none();
}

#[test]
fn every_file_is_built() {
    let mut wrong = Complaints::default();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let roots = ["src/lib.rs", "src/main.rs", "tests/suite/main.rs"];
    let is_root = |path: &Path| roots.iter().any(|root| path == *root);
    for file in rust_files(&["src", "tests/suite"]).iter().filter(|file| !is_root(&file.path)) {
        let (parent, name) = declared_in(&file.path);
        if !parent.iter().any(|parent| declares(parent, &name)) {
            wrong.add(
                file,
                1,
                &format!("no `mod {name};` in {}: nothing builds this file", parent[0].display()),
            );
        }
    }
    for file in rust_files(&["benches"]).iter().filter(|file| file.path.components().count() == 2) {
        let name = file.path.file_stem().and_then(|stem| stem.to_str()).unwrap();
        if !manifest.contains(&format!("[[bench]]\nname = \"{name}\"\n")) {
            wrong.add(file, 1, &format!("add to Cargo.toml: [[bench]] name = \"{name}\" harness = false"));
        }
    }
    for target in fs::read_dir(root().join("tests")).unwrap().map(|entry| entry.unwrap().path()) {
        assert!(
            target.extension() != Some("rs".as_ref()),
            "{}: tests are modules of tests/suite",
            target.display()
        );
    }
    wrong.assert_none();
}

fn declares(parent: &Path, name: &str) -> bool {
    let is_declaration = |word: &Word| word.text == name && word.before == "mod";
    fs::read_to_string(root().join(parent))
        .is_ok_and(|source| RustText::new(source).words().any(|word| is_declaration(&word)))
}

/// The files that may declare the module in `path`, and its name.
fn declared_in(path: &Path) -> (Vec<PathBuf>, String) {
    let stem = |path: &Path| path.file_stem().and_then(|stem| stem.to_str()).unwrap().to_owned();
    let folder = path.parent().unwrap();
    let (folder, name) = match stem(path).as_str() {
        "mod" => (folder.parent().unwrap(), stem(folder)),
        other => (folder, other.to_owned()),
    };
    let parents = ["mod.rs", "lib.rs", "main.rs"].map(|file| folder.join(file)).into_iter();
    (
        parents.chain([folder.with_extension("rs")]).filter(|parent| root().join(parent).exists()).collect(),
        name,
    )
}

/// One Rust file of the repository.
struct SourceFile {
    /// Relative to the repository.
    path: PathBuf,
    /// The top-level module of the library it belongs to (`lib` and `main` for the roots).
    module: String,
    /// How many `super` lead from it to the crate.
    depth: usize,
    text: RustText,
}

/// The files of `src`, without those that hold nothing but tests.
fn library() -> Vec<SourceFile> {
    let is_tests = |path: &Path| path.iter().any(|part| part == "tests") || path.ends_with("tests.rs");
    rust_files(&["src"]).into_iter().filter(|file| !is_tests(&file.path)).collect()
}

fn rust_files(folders: &[&str]) -> Vec<SourceFile> {
    let mut paths = BTreeSet::new();
    for folder in folders {
        collect(&root().join(folder), &mut paths);
    }
    paths.into_iter().map(|path| SourceFile::read(&path)).collect()
}

fn collect(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension() == Some("rs".as_ref()) {
            found.insert(path);
        }
    }
}

impl SourceFile {
    fn read(path: &Path) -> Self {
        let text = RustText::new(fs::read_to_string(path).unwrap());
        let path = path.strip_prefix(root()).unwrap().to_owned();
        let inside: Vec<_> =
            path.with_extension("").iter().skip(1).map(|part| part.to_str().unwrap().to_owned()).collect();
        let depth = inside.iter().filter(|part| !["mod", "lib", "main"].contains(&part.as_str())).count();
        Self { module: inside.first().cloned().unwrap_or_default(), path, depth, text }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[derive(Default)]
struct Complaints(String);

impl Complaints {
    fn add(&mut self, file: &SourceFile, line: usize, what: &str) {
        writeln!(self.0, "{}:{line}: {what}", file.path.display()).unwrap();
    }

    fn assert_none(&self) {
        assert!(self.0.is_empty(), "\n{}", self.0);
    }
}
