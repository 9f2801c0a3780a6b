//! `keygate scan`: what is found where, what is told of it, and the rules for other scanners.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use keygate::keys::{
    digest::KeyDigest,
    secret::{Brand, Environment, KeySecret},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::run::{Run, keygate, run, test_tool};

fn secret(brand: &str) -> String {
    let brand = Brand::parse(brand).unwrap();
    KeySecret::generate(&brand, Environment::Live).unwrap().expose().to_owned()
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

/// Runs a scan, and sees that it tells no secret.
fn scan(folder: &Path, arguments: &[&str], input: &str, secrets: &[&String]) -> Run {
    let run = keygate(folder, &[&["scan"], arguments].concat(), input);
    for secret in secrets {
        let rest = secret.rsplit('_').next().unwrap();
        assert!(!format!("{}{}", run.stdout, run.stderr).contains(&rest[4..]), "{run:?}");
    }
    run
}

#[test]
fn every_file_of_a_folder_is_looked_at() {
    let (first, second, third) = (secret("kg"), secret("acme"), secret("kg"));
    let binary = [&[0, 159, 146, 150, b'\n'], third.as_bytes(), &[255; 9]].concat();
    let folder = folder(&[
        ("a/.env", format!("A=1\nKEY={first}\n").as_bytes()),
        (
            "a/notes.txt",
            b"nothing here, not even kg_live_ or kg_live_0123456789012345678901234567890123456789",
        ),
        ("b/bundle.js", format!("x=\"{second}\";y=\"{first}\"").as_bytes()),
        ("b/program", &binary),
        ("empty", b""),
        (".gitignore", b".env\n"),
    ]);
    symlink(folder.path(), folder.path().join("b/around")).unwrap();
    let secrets = [&first, &second, &third];
    let found = scan(folder.path(), &["."], "", &secrets);
    assert_eq!(found.code, Some(4), "{found:?}");
    let lines: Vec<Vec<_>> = found.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let prefix = |secret: &str| secret[..secret.rfind('_').unwrap() + 5].to_owned();
    assert_eq!(
        lines,
        [
            vec!["PLACE", "KEY"],
            vec!["./a/.env:2:5", &prefix(&first)],
            vec!["./b/bundle.js:1:4", &prefix(&second)],
            vec![&*format!("./b/bundle.js:1:{}", 4 + second.len() + 5), &prefix(&first)],
            vec!["./b/program:2:1", &prefix(&third)],
        ]
    );
    assert!(found.stderr.contains("4 keys found"), "{}", found.stderr);
    let acme = scan(folder.path(), &["--brand", "acme", ".", "--output", "json"], "", &secrets);
    let acme: Value = serde_json::from_str(&acme.stdout).unwrap();
    assert_eq!(
        (acme.as_array().unwrap().len(), &acme[0]["brand"], &acme[0]["key"]),
        (1, &"acme".into(), &Value::Null)
    );
    let nothing = scan(folder.path(), &["empty", "a/notes.txt"], "", &secrets);
    assert_eq!((nothing.code, &*nothing.stdout), (Some(0), ""));
}

#[test]
fn a_stream_is_looked_at_in_constant_memory() {
    let key = secret("kg");
    // The key lies across the pieces in which standard input is read.
    let text = format!("{}{key}{}\n{key}", "x".repeat((256 << 10) - 20), "y".repeat(1 << 20));
    let found = scan(Path::new("."), &["-", "--output", "json"], &text, &[&key]);
    let places: Value = serde_json::from_str(&found.stdout).unwrap();
    let place = |at: usize| (places[at]["line"].as_u64().unwrap(), places[at]["column"].as_u64().unwrap());
    assert_eq!((place(0), place(1)), ((1, (256 << 10) - 20 + 1), (2, 1)));
    assert_eq!(found.code, Some(4));
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_looked_at() {
    let key = secret("kg");
    let folder = folder(&[("found", key.as_bytes()), ("clean", b"")]);
    let clean = scan(folder.path(), &["absent", "clean"], "", &[&key]);
    assert_eq!(clean.code, Some(1));
    assert!(clean.stderr.contains("absent: it cannot be read"), "{}", clean.stderr);
    let found = scan(folder.path(), &["absent", "found"], "", &[&key]);
    assert_eq!(found.code, Some(4));
    for (arguments, code) in
        [(&[][..], 2), (&["--brand", "A B", "."], 2), (&["--config", "absent.yaml", "."], 2)]
    {
        assert_eq!(scan(folder.path(), arguments, "", &[&key]).code, Some(code), "{arguments:?}");
    }
}

#[test]
fn with_a_config_it_is_told_whose_key_it_is() {
    let (active, revoked, unknown, other) = (secret("acme"), secret("acme"), secret("acme"), secret("kg"));
    let folder =
        folder(&[("leak", format!("{active}\n{revoked}\n{unknown}\n{other}\n{active}\n").as_bytes())]);
    let setup = tempfile::tempdir().unwrap();
    let at = |name: &str| setup.path().join(name);
    fs::write(
        at("keygate.yaml"),
        "version: 1\nlisten: {address: '127.0.0.1:0'}\nupstreams: {api: {url: 'http://127.0.0.1:9'}}\n\
         keys: {file: keys.yaml}\nkey_format: {brand: acme}\nroutes: [{path: /, methods: {GET: read}}]\n",
    )
    .unwrap();
    let hash = |secret: &str| KeyDigest::of(secret.as_bytes()).to_text();
    fs::write(
        at("keys.yaml"),
        format!(
            "version: 1\nkeys:\n  - {{id: one, name: CI, hash: '{}', scopes: [read], projects: all, expires_at: never}}\n  \
             - {{id: two, hash: '{}', scopes: [read], projects: all, expires_at: never, revoked_at: 2026-01-01T00:00:00Z}}\n",
            hash(&active),
            hash(&revoked)
        ),
    )
    .unwrap();
    let config = at("keygate.yaml");
    let secrets = [&active, &revoked, &unknown, &other];
    let arguments = ["--config", config.to_str().unwrap(), "leak", "--output", "json"];
    let found = scan(folder.path(), &arguments, "", &secrets);
    let found: Value = serde_json::from_str(&found.stdout).unwrap();
    let keys: Vec<_> = found.as_array().unwrap().iter().map(|one| &one["key"]).collect();
    assert_eq!(keys.len(), 4, "only of the brand of the config");
    let known =
        |key: &Value| (key["id"].as_str().unwrap().to_owned(), key["status"].as_str().unwrap().to_owned());
    assert_eq!(known(keys[0]), ("one".to_owned(), "active".to_owned()));
    assert_eq!(known(keys[1]), ("two".to_owned(), "revoked".to_owned()));
    assert_eq!((keys[2], keys[3]), (&Value::Null, keys[0]));
    let table = scan(folder.path(), &arguments[..3], "", &secrets).stdout;
    for expected in ["active", "revoked", "unknown", "one", "CI"] {
        assert!(table.contains(expected), "{table}");
    }
}

#[test]
fn a_key_is_found_in_the_history_of_a_repository() {
    let key = secret("kg");
    let folder = folder(&[("config", key.as_bytes())]);
    let git = |arguments: &[&str]| {
        let identity =
            ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"];
        run(Command::new("git").current_dir(folder.path()).args(identity).args(arguments), "")
            .expect_success()
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "a key"]);
    fs::write(folder.path().join("config"), "").unwrap();
    git(&["commit", "-q", "-a", "-m", "no key"]);
    assert_eq!(scan(folder.path(), &["config"], "", &[&key]).code, Some(0));
    let history = git(&["log", "-p", "--all"]).stdout;
    assert_eq!(scan(folder.path(), &["-"], &history, &[&key]).code, Some(4));
}

/// The patterns for other scanners, tried by Python, whose expressions these are too.
#[test]
fn rules_for_other_scanners_find_keys_and_not_what_is_none() {
    let key = secret("acme");
    let rules = |format: &str, more: &[&str]| {
        let run = keygate(Path::new("."), &[&["scan", "rules", "--format", format], more].concat(), "");
        run.expect_success().stdout
    };
    let script = r#"
import json, math, re, sys, tomllib, yaml
rules, keys, misses = json.load(sys.stdin)
gitleaks = tomllib.loads(rules[0])["rules"]
trufflehog = yaml.safe_load(rules[1])["detectors"]
github = dict(line.split(": ", 1) for line in rules[2].splitlines() if line)
assert [rule["id"] for rule in gitleaks] == ["keygate-acme", "keygate-kg"], gitleaks
assert tomllib.loads(rules[0])["extend"]["useDefault"] is True

def entropy(text):
    return -sum(text.count(c) / len(text) * math.log2(text.count(c) / len(text)) for c in set(text))

def between(before, pattern, after):
    return re.compile(f"(?:{before})({pattern})(?:{after})".replace(r"\z", r"\Z"))

for name, pattern, keywords, least in [
    ("gitleaks", re.compile(gitleaks[0]["regex"]), gitleaks[0]["keywords"], gitleaks[0]["entropy"]),
    ("trufflehog", re.compile(trufflehog[0]["regex"]["key"]), trufflehog[0]["keywords"], trufflehog[0]["entropy"]),
    ("github", between(github["Before secret"], github["Secret format"], github["After secret"]), ["acme_"], 0),
]:
    for key in keys:
        for text in [key, f"KEY={key}", f'"{key}",', f"a {key}\n"]:
            found = pattern.search(text)
            assert found and found.group(1) == key, (name, text)
            assert any(word in text for word in keywords) and entropy(key) >= least, (name, text)
    for text in misses:
        assert not pattern.search(text), (name, text)
assert re.fullmatch(github["Secret format"], github["Test string"])
"#;
    let rules = [
        rules("gitleaks", &["--brand", "acme", "--brand", "kg"]),
        rules("trufflehog", &["--brand", "acme"]),
        rules("github", &["--brand", "acme"]),
    ];
    let misses = [
        key[..key.len() - 1].to_owned(),
        format!("{key}x"),
        key.replace("_live_", "_prod_"),
        key.replace("acme", "acm"),
        key.to_uppercase(),
        format!("{}-{}", &key[..20], &key[20..]),
    ];
    let input = serde_json::json!([rules, [&key, secret("acme")], misses]).to_string();
    let mut command = Command::new(test_tool("python"));
    run(command.args(["-c", script]), &input).expect_success();
    let specimen = rules[2].lines().find_map(|line| line.strip_prefix("Test string: ")).unwrap().to_owned();
    assert_eq!(keygate(Path::new("."), &["scan", "-"], &specimen).code, Some(4), "a whole key by its form");
    let many: Vec<_> = (0..50).map(|_| secret("kg")).collect();
    assert_eq!(scan(Path::new("."), &["-"], &many.join(","), &many.iter().collect::<Vec<_>>()).code, Some(4));
}
