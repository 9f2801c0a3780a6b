//! `keygate keys`, `people` and `projects` on key files: what they change to the byte, and what they leave alone.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    path::Path,
    process::Command,
    thread,
};

use keygate::{store::file::parse_key_file, yaml::Limits};
use regex_lite::Regex;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    Gateway, Upstream,
    run::{Run, keygate, run},
};

pub(crate) const COMMENTED: &str = "\
# Keys of the team.
version: 1
count: 1   # kept by the CLI

people:
  - {id: ada, email: ada@example.com, role: owner}   # the boss
  - {id: bob, email: bob@example.com, role: viewer, projects: [alpha]}

keys:
  # The first one.
  - id: ci
    name: CI
    owner: ada
    hash: sha256:5bccbd4ffdaf9968bc0bc193f07b91735b0e82d7d0cc34804e51870149a5fe75   # do not touch
    scopes: [write]
    projects: [alpha]
    expires_at: 2999-01-01T00:00:00Z
  # end of keys
";

pub(crate) fn folder_with(name: &str, text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join(name), text);
    folder
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// `keygate ARGUMENTS… --file keys.yaml`
fn on_file(folder: &TempDir, arguments: &[&str]) -> Run {
    let arguments = [arguments, &["--file", "keys.yaml"]].concat();
    keygate(folder.path(), &arguments, "")
}

pub(crate) fn text(folder: &TempDir) -> String {
    fs::read_to_string(folder.path().join("keys.yaml")).unwrap()
}

/// What differs from run to run, masked.
fn masked(text: &str) -> String {
    let masks = [
        (r"key_[0-9a-z]{26}", "ID"),
        (r"kg_(live|test)_[0-9A-Za-z]{40}", "SECRET"),
        (r"kg_(live|test)_[0-9A-Za-z]{4}\b", "PREFIX"),
        (r"sha256:[0-9a-f]{64}", "DIGEST"),
        (r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z", "NOW"),
        (r"revoked_by: .*", "revoked_by: USER"),
    ];
    masks.iter().fold(text.to_owned(), |text, (pattern, mask)| {
        Regex::new(pattern).unwrap().replace_all(&text, *mask).into_owned()
    })
}

fn create(folder: &TempDir, more: &[&str]) -> Run {
    on_file(folder, &[&["keys", "create", "--name", "New", "--scope", "read"], more].concat())
}

#[test]
fn a_new_key_changes_nothing_else() {
    const NEW: &str = "  - id: ID
    name: New
    labels: {team: platform}
    owner: bob
    hash: DIGEST
    prefix: PREFIX
    scopes: [read]
    projects: [alpha]
    addresses: [10.0.0.0/8]
    created_at: NOW
    expires_at: never
";
    let folder = folder_with("keys.yaml", COMMENTED);
    let arguments = [
        "--owner",
        "bob",
        "--project",
        "alpha",
        "--expires",
        "never",
        "--label",
        "team=platform",
        "--address",
        "10.0.0.0/8",
    ];
    let made = create(&folder, &arguments).expect_success();
    assert_eq!(masked(&made.stdout), "SECRET\n");
    let expected =
        masked(COMMENTED).replace("count: 1 ", "count: 2 ").replace("  # end", &format!("{NEW}  # end"));
    assert_eq!(masked(&text(&folder)), expected);
}

#[test]
fn every_style_of_file_is_kept() {
    let new = |indent: &str| {
        let fields = [
            "- id: ID",
            "  name: New",
            "  hash: DIGEST",
            "  prefix: PREFIX",
            "  scopes: [read]",
            "  projects: all",
            "  created_at: NOW",
            "  expires_at: NOW",
        ];
        fields.map(|field| format!("{indent}{field}\n")).concat()
    };
    let old = "hash: sha256:5bccbd4ffdaf9968bc0bc193f07b91735b0e82d7d0cc34804e51870149a5fe75";
    let table = [
        ("version: 1\nkeys: []\n".to_owned(), format!("version: 1\nkeys:\n{}", new("  "))),
        ("version: 1\r\nkeys: []\r\n".to_owned(), format!("version: 1\nkeys:\n{}", new("  ")).replace('\n', "\r\n")),
        (
            format!("version: 1\nkeys:\n- id: a\n  {old}\n  scopes: []\n  projects: all\n  expires_at: never\n"),
            format!(
                "version: 1\nkeys:\n- id: a\n  hash: DIGEST\n  scopes: []\n  projects: all\n  expires_at: never\n{}",
                new("")
            ),
        ),
        (
            format!("{{version: 1, keys: [{{id: a, {old}, scopes: [], projects: all, expires_at: never}}]}}\n"),
            "{version: 1, keys: [{id: a, hash: DIGEST, scopes: [], projects: all, expires_at: never}, {id: ID, name: New, \
             hash: DIGEST, prefix: PREFIX, scopes: [read], projects: all, created_at: NOW, expires_at: NOW}]}\n"
                .to_owned(),
        ),
    ];
    for (before, after) in table {
        let folder = folder_with("keys.yaml", &before);
        create(&folder, &["--all-projects"]).expect_success();
        assert_eq!(masked(&text(&folder)), after, "{before:?}");
    }
}

#[test]
fn a_revocation_is_irreversible_and_idempotent() {
    let folder = folder_with("keys.yaml", COMMENTED);
    on_file(&folder, &["keys", "revoke", "ci", "--reason", "leaked: again"]).expect_success();
    let expected = masked(COMMENTED).replace(
        "    expires_at: 2999-01-01T00:00:00Z\n",
        "    revoked_at: NOW\n    revoked_by: USER\n    revoked_reason: \"leaked: again\"\n    expires_at: 2999-01-01T00:00:00Z\n",
    );
    let revoked = text(&folder);
    assert_eq!(masked(&revoked), expected);
    let again = on_file(&folder, &["keys", "revoke", "ci", "--reason", "other"]).expect_success();
    assert!(again.stderr.contains("was revoked already"), "{}", again.stderr);
    assert_eq!(text(&folder), revoked);
    assert_eq!(on_file(&folder, &["keys", "rotate", "ci"]).code, Some(2));
    assert_eq!(on_file(&folder, &["keys", "revoke", "cj"]).code, Some(2));
}

#[test]
fn a_file_that_the_commands_write_shows_wherever_it_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    create(&folder, &["--all-projects"]).expect_success();
    assert!(text(&folder).starts_with("version: 1\ncount: 1\n"), "{}", text(&folder));
    let ada = ["people", "create", "ada", "--email", "ada@example.com", "--role", "admin"];
    on_file(&folder, &ada).expect_success();
    let made = create(&folder, &["--project", "alpha", "--output", "json"]).expect_success();
    let made: Value = serde_json::from_str(&made.stdout).unwrap();
    on_file(&folder, &["keys", "rotate", made["id"].as_str().unwrap(), "--overlap", "7d"]).expect_success();
    on_file(&folder, &["keys", "revoke", made["id"].as_str().unwrap(), "--reason", "gone"]).expect_success();
    let text = text(&folder);
    let read = |length: usize| parse_key_file(Path::new("k"), &text.as_bytes()[..length], &Limits::default());
    assert_eq!(read(text.len()).unwrap().keys.len(), 2);
    for length in 0..text.len() {
        assert!(read(length).is_err(), "{}", &text[..length]);
    }
}

#[test]
fn a_revocation_does_not_wait_until_a_wrong_file_is_mended() {
    let wrong = COMMENTED.replace("count: 1 ", "count: 7 ");
    let folder = folder_with("keys.yaml", &wrong);
    assert_eq!(create(&folder, &["--all-projects"]).code, Some(2));
    assert_eq!(text(&folder), wrong);
    let revoked = on_file(&folder, &["keys", "revoke", "ci"]).expect_success();
    assert!(revoked.stderr.contains("wrong otherwise") && text(&folder).contains("revoked_at: "));
}

#[test]
fn a_rotation_keeps_the_old_secret_for_the_overlap_but_never_past_the_expiry() {
    let folder = folder_with("keys.yaml", COMMENTED);
    let rotated = on_file(&folder, &["keys", "rotate", "ci", "--overlap", "7d"]).expect_success();
    assert_eq!(masked(&rotated.stdout), "SECRET\n");
    let expected = masked(COMMENTED).replace(
        "    expires_at: 2999-01-01T00:00:00Z\n",
        "    previous_hash: DIGEST\n    previous_until: NOW\n    prefix: PREFIX\n    expires_at: 2999-01-01T00:00:00Z\n",
    );
    assert_eq!(masked(&text(&folder)), expected);
    let old = "5bccbd4ffdaf9968bc0bc193f07b91735b0e82d7d0cc34804e51870149a5fe75";
    assert!(text(&folder).contains(&format!("previous_hash: sha256:{old}")));
    assert!(!text(&folder).contains(&format!("    hash: sha256:{old}")));

    on_file(&folder, &["keys", "rotate", "ci", "--overlap", "36500d"]).expect_success();
    create(&folder, &["--all-projects", "--expires", "1h"]).expect_success();
    let keys: Value =
        serde_json::from_str(&on_file(&folder, &["keys", "list", "--output", "json"]).stdout).unwrap();
    let short = &keys[1];
    on_file(&folder, &["keys", "rotate", short["id"].as_str().unwrap(), "--overlap", "30d"]).expect_success();
    let shown = on_file(&folder, &["keys", "show", short["id"].as_str().unwrap(), "--output", "json"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["previous_secret_until"], short["expires_at"]);
}

#[test]
fn twenty_at_once_lose_nothing() {
    let folder = folder_with("keys.yaml", COMMENTED);
    let secrets: Vec<String> = thread::scope(|scope| {
        let runs: Vec<_> = (0..20).map(|_| scope.spawn(|| create(&folder, &["--all-projects"]))).collect();
        runs.into_iter().map(|run| run.join().unwrap().expect_success().stdout).collect()
    });
    let text = text(&folder);
    assert!(text.contains("count: 21 "));
    for secret in secrets {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        command.current_dir(folder.path()).args(["keys", "whoami", "--file", "keys.yaml"]);
        let who = run(command.env("KEYGATE_KEY", secret.trim_end()), "").expect_success();
        assert!(who.stdout.contains("active"), "{}", who.stdout);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was left beside the file");
}

#[test]
fn what_would_be_wrong_is_refused_before_anything_is_written() {
    let folder = folder_with("keys.yaml", COMMENTED);
    let table: &[(&[&str], &str)] = &[
        (&["keys", "create", "--name", "x", "--scope", "wriet", "--all-projects"], "did you mean \"write\"?"),
        (&["keys", "create", "--name", "x", "--all-projects"], "--scope"),
        (&["keys", "create", "--name", "x", "--scope", "read"], "--project"),
        (
            &["keys", "create", "--name", "x", "--scope", "read", "--all-projects", "--owner", "adda"],
            "did you mean \"ada\"?",
        ),
        (
            &["keys", "create", "--name", "x", "--scope", "write", "--project", "alpha", "--owner", "bob"],
            "bob is viewer, whose keys have at most read",
        ),
        (
            &["keys", "create", "--name", "x", "--scope", "read", "--all-projects", "--owner", "bob"],
            "bob has alpha",
        ),
        (
            &["keys", "create", "--name", "x", "--scope", "read", "--project", "beta", "--owner", "bob"],
            "bob has alpha",
        ),
        (
            &[
                "keys",
                "create",
                "--name",
                "x",
                "--scope",
                "read",
                "--all-projects",
                "--expires",
                "2020-01-01",
            ],
            "in the past",
        ),
        (&["keys", "create", "--name", "x\u{202e}y", "--scope", "read", "--all-projects"], "--name must be"),
        (&["people", "create", "bob", "--email", "b@b", "--role", "member"], "taken already"),
        (&["people", "update", "eve", "--role", "member"], "no person has the id eve"),
        (&["projects", "create", "gamma"], "--first"),
        (&["projects", "remove", "gamma"], "no organization declares"),
    ];
    for (arguments, expected) in table {
        let refused = on_file(&folder, arguments);
        assert_eq!(refused.code, Some(2), "{arguments:?}: {}", refused.stderr);
        assert!(
            refused.stderr.contains(expected) && refused.stdout.is_empty(),
            "{arguments:?}: {}",
            refused.stderr
        );
        assert_eq!(text(&folder), COMMENTED, "{arguments:?}");
    }
}

#[test]
fn owner_mode_and_links_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("real").join("team.yaml");
    fs::create_dir(target.parent().unwrap()).unwrap();
    write(&target, COMMENTED);
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    let is_root = fs::metadata(&target).unwrap().uid() == 0;
    if is_root {
        chown(&target, Some(65534), Some(65534)).unwrap();
    }
    let before = fs::metadata(&target).unwrap();
    symlink("real/team.yaml", folder.path().join("keys.yaml")).unwrap();
    create(&folder, &["--all-projects"]).expect_success();
    let after = fs::metadata(&target).unwrap();
    assert_eq!((after.uid(), after.gid(), after.mode()), (before.uid(), before.gid(), before.mode()));
    assert!(folder.path().join("keys.yaml").is_symlink() && text(&folder).contains("name: New"));
}

/// Runs `keygate` as somebody who is not root.
fn as_nobody(folder: &TempDir, arguments: &[&str]) -> Run {
    let binary = folder.path().join("keygate");
    fs::copy(env!("CARGO_BIN_EXE_keygate"), &binary).unwrap();
    let mut command = Command::new(binary);
    command.current_dir(folder.path()).args(arguments);
    if fs::metadata(folder.path()).unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    }
    run(&mut command, "")
}

#[test]
fn where_the_file_cannot_be_replaced_the_lines_to_commit_are_told() {
    let folder = folder_with("keys.yaml", COMMENTED);
    fs::set_permissions(folder.path().join("keys.yaml"), fs::Permissions::from_mode(0o444)).unwrap();
    fs::create_dir(folder.path().join("sealed")).unwrap();
    fs::rename(folder.path().join("keys.yaml"), folder.path().join("sealed/keys.yaml")).unwrap();
    fs::set_permissions(folder.path().join("sealed"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let arguments = [
        "keys",
        "create",
        "--name",
        "New",
        "--scope",
        "read",
        "--all-projects",
        "--file",
        "sealed/keys.yaml",
    ];
    let told = as_nobody(&folder, &arguments);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    assert_eq!(masked(&told.stdout), "SECRET\n");
    assert!(
        told.stderr.contains("nothing was changed") && told.stderr.contains("+    name: New\n"),
        "{}",
        told.stderr
    );
    assert_eq!(fs::read_to_string(folder.path().join("sealed/keys.yaml")).unwrap(), COMMENTED);
    fs::set_permissions(folder.path().join("sealed"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_mounted_config_map_is_recognised_and_the_patch_applies() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("..2026_11_21")).unwrap();
    write(&at("..2026_11_21/keys.yaml"), COMMENTED);
    symlink("..2026_11_21", at("..data")).unwrap();
    symlink("..data/keys.yaml", at("keys.yaml")).unwrap();
    let told = on_file(&folder, &["keys", "revoke", "ci", "--patch", "change.diff"]);
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("ConfigMap"), "{}", told.stderr);
    assert_eq!(text(&folder), COMMENTED);

    let source = folder_with("keys.yaml", COMMENTED);
    fs::copy(at("change.diff"), source.path().join("change.diff")).unwrap();
    let mut git = Command::new("git");
    run(git.current_dir(source.path()).args(["apply", "change.diff"]), "").expect_success();
    assert!(text(&source).contains("    revoked_at: "));
}

#[test]
fn a_full_disk_leaves_the_old_file_whole() {
    let folder = folder_with("keys.yaml", COMMENTED);
    let large = format!("{COMMENTED}# {}\n", "x".repeat(2000));
    write(&folder.path().join("keys.yaml"), &large);
    // No file may grow beyond 1 KiB: a write fails half-way, as on a full disk.
    let script = "trap '' XFSZ; ulimit -f 2; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.current_dir(folder.path()).args(["-c", script, env!("CARGO_BIN_EXE_keygate")]);
    command.args(["keys", "revoke", "ci", "--file", "keys.yaml"]);
    let failed = run(&mut command, "");
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(failed.stderr.contains("left as it is"), "{}", failed.stderr);
    assert_eq!(text(&folder), large);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was left beside the file");
}

const CONFIG: &str = "\
version: 1
listen: {address: 127.0.0.1:0}
health: null
admin: null
upstreams: {api: {url: http://UPSTREAM}}
keys: KEYS
state: state
scopes: {read: {}, write: {implies: [read]}, admin: {implies: [write]}, deploy: {}}
key_format: {brand: acme}
routes:
  - {path: '/{*rest}', methods: {GET: read, '*': write}}
";

#[test]
fn a_config_says_scopes_brand_directory_and_audit_log() {
    let folder = folder_with(
        "keygate.yaml",
        &CONFIG.replace("UPSTREAM", "127.0.0.1:9").replace("KEYS", "{directory: keys.d}"),
    );
    fs::create_dir(folder.path().join("keys.d")).unwrap();
    fs::create_dir(folder.path().join("state")).unwrap();
    write(&folder.path().join("keys.d/a.yaml"), COMMENTED);
    let run = |arguments: &[&str]| keygate(folder.path(), arguments, "");
    let base = ["keys", "create", "--name", "New", "--scope", "deploy", "--all-projects"];
    let made = run(&base).expect_success();
    assert!(made.stdout.starts_with("acme_live_"), "{}", made.stdout);
    assert!(fs::read_to_string(folder.path().join("keys.d/a.yaml")).unwrap().contains("scopes: [deploy]"));
    run(&[&base[..], &["--config", "keygate.yaml", "--file", "b.yaml", "--env", "test"]].concat())
        .expect_success();
    let new = fs::read_to_string(folder.path().join("keys.d/b.yaml")).unwrap();
    assert!(
        new.starts_with("version: 1\ncount: 1\nkeys:\n  - id: key_") && new.contains("prefix: acme_test_"),
        "{new}"
    );
    assert_eq!(fs::metadata(folder.path().join("keys.d/b.yaml")).unwrap().mode() & 0o777, 0o600);
    run(&["keys", "revoke", "ci", "--reason", "leaked"]).expect_success();
    run(&["people", "update", "bob", "--role", "member"]).expect_success();

    let log = fs::read_to_string(folder.path().join("state/audit.log")).unwrap();
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = events
        .iter()
        .map(|event| (event["command"].as_str().unwrap(), event["what"].as_str().unwrap()))
        .collect();
    assert_eq!(told[2..], [("keys revoke", "revoked: leaked"), ("people update", "role viewer -> member")]);
    assert!(told[0].1.contains("scopes=deploy") && events[0]["uid"].is_u64(), "{log}");
    assert!(!log.contains("sha256") && !log.contains(made.stdout.trim_end()));
    run(&["check", "--config", "keygate.yaml"]).expect_success();
}

#[test]
fn secrets_go_to_standard_output_alone_and_listings_show_none() {
    let folder = folder_with("keys.yaml", COMMENTED);
    let made = create(&folder, &["--all-projects", "--output", "json"]).expect_success();
    let made: Value = serde_json::from_str(&made.stdout).unwrap();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let random = &secret[12..];
    for arguments in [
        &["keys", "list"][..],
        &["keys", "list", "--output", "json"],
        &["keys", "show", id],
        &["keys", "show", id, "--output", "json"],
        &["keys", "revoke", secret],
        &["keys", "create", "--name", secret, "--scope", "read", "--all-projects"],
    ] {
        let Run { stdout, stderr, .. } = on_file(&folder, arguments);
        let shown = format!("{stdout}{stderr}");
        assert!(!shown.contains(random) && !shown.contains("sha256:"), "{arguments:?}: {shown}");
    }
    let who = keygate(folder.path(), &["keys", "whoami", "--file", "keys.yaml", "--output", "json"], secret);
    let who: Value = serde_json::from_str(&who.expect_success().stdout).unwrap();
    assert_eq!(
        (&who["id"], &who["status"], &who["is_previous_secret"]),
        (&made["id"], &"active".into(), &false.into())
    );
    assert_eq!(who["effective"]["scopes"], serde_json::json!(["read"]));
    let unknown = keygate(folder.path(), &["keys", "whoami", "--file", "keys.yaml"], &secret[..30]);
    assert_eq!(unknown.code, Some(1));
    assert!(
        unknown.stderr.contains("truncated") && !unknown.stderr.contains(&random[..8]),
        "{}",
        unknown.stderr
    );
}

#[test]
fn a_secret_that_nobody_could_read_is_told() {
    let folder = folder_with("keys.yaml", COMMENTED);
    let mut command = Command::new("sh");
    let script = "exec \"$0\" \"$@\" > /dev/full";
    command.current_dir(folder.path()).args(["-c", script, env!("CARGO_BIN_EXE_keygate")]);
    let failed = run(command.args(["keys", "rotate", "ci", "--file", "keys.yaml"]), "");
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("could not be printed"), "{}", failed.stderr);
    assert_eq!(masked(&failed.stderr).matches("SECRET").count(), 0);
}

#[test]
fn listings_are_filtered_and_show_what_is_effective() {
    let text = COMMENTED.replace("owner: ada", "owner: bob");
    let folder = folder_with("keys.yaml", &text);
    let ids = |arguments: &[&str]| {
        let arguments = [&["keys", "list", "--output", "json"], arguments].concat();
        let keys: Value =
            serde_json::from_str(&on_file(&folder, &arguments).expect_success().stdout).unwrap();
        keys.as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["--owner", "bob"]), ["ci"]);
    assert_eq!(ids(&["--project", "alpha", "--status", "active"]), ["ci"]);
    assert!(ids(&["--owner", "ada"]).is_empty() && ids(&["--status", "revoked"]).is_empty());
    let shown = on_file(&folder, &["keys", "show", "ci", "--output", "json"]).expect_success();
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["effective"], serde_json::json!({"scopes": ["read"], "projects": ["alpha"]}));
    on_file(&folder, &["people", "disable", "bob"]).expect_success();
    assert_eq!(ids(&["--status", "owner-disabled"]), ["ci"]);
    let people = on_file(&folder, &["people", "list"]).expect_success().stdout;
    assert!(people.contains("bob@example.com") && people.contains("disabled"), "{people}");
    on_file(&folder, &["people", "enable", "bob"]).expect_success();
    assert_eq!(ids(&["--status", "active"]), ["ci"]);
}

#[test]
fn last_use_and_counts_come_from_the_state_folder() {
    let folder = folder_with(
        "keygate.yaml",
        &CONFIG.replace("UPSTREAM", "127.0.0.1:9").replace("KEYS", "{file: keys.yaml}"),
    );
    write(&folder.path().join("keys.yaml"), COMMENTED);
    let list = |more: &[&str]| {
        keygate(folder.path(), &[&["keys", "list"], more].concat(), "").expect_success().stdout
    };
    assert!(list(&[]).lines().nth(1).unwrap().ends_with("-          active  -"), "{}", list(&[]));
    fs::create_dir(folder.path().join("state")).unwrap();
    let usage = r#"{"since": "2026-11-01T00:00:00Z", "keys": {"ci": {
        "current": {"last_used": {"at": "2026-11-20T08:00:00Z", "client": "192.0.2.7"}, "total": {"ok": 40, "refused": 2}},
        "previous": {"last_used": {"at": "2026-11-21T08:00:00Z", "client": "192.0.2.8"}, "total": {"ok": 3}}}}}"#;
    write(&folder.path().join("state/usage.json"), usage);
    let listed = list(&[]);
    assert!(listed.contains("2026-11-21T08:00:00Z  active  45"), "{listed}");
    let json: Value = serde_json::from_str(&list(&["--output", "json"])).unwrap();
    assert_eq!(json[0]["uses"]["previous_secret"]["ok"], 3);
    let state = folder.path().join("state");
    assert_eq!(fs::read_dir(state).unwrap().count(), 1, "a listing left something in the state folder");
}

#[test]
fn people_and_projects_are_edited() {
    let folder = folder_with("keys.yaml", "version: 1\nkeys: []\n");
    on_file(&folder, &["people", "create", "ada", "--email", "ada@example.com", "--role", "admin"])
        .expect_success();
    on_file(&folder, &["projects", "create", "alpha", "--first"]).expect_success();
    on_file(&folder, &["projects", "create", "beta"]).expect_success();
    on_file(&folder, &["people", "update", "ada", "--project", "beta", "--name", "Ada"]).expect_success();
    assert_eq!(on_file(&folder, &["projects", "remove", "beta"]).code, Some(2));
    on_file(&folder, &["projects", "remove", "alpha"]).expect_success();
    assert_eq!(
        text(&folder),
        "version: 1\npeople:\n  - id: ada\n    email: ada@example.com\n    role: admin\n    projects: [beta]\n    \
         name: Ada\norganizations:\n  - id: default\n    projects: [beta]\nkeys: []\n"
    );
    let listed = on_file(&folder, &["projects", "list", "--output", "json"]).expect_success().stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        listed,
        serde_json::json!([{"id": "beta", "organization": "default", "keys": 0, "people": 1}])
    );
}

#[test]
fn a_running_gateway_takes_created_and_revoked_keys() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let config =
        CONFIG.replace("UPSTREAM", &upstream.address().to_string()).replace("KEYS", "{file: keys.yaml}");
    let gate = Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", COMMENTED)]);
    let run = |arguments: &[&str]| keygate(gate.folder(), arguments, "").expect_success();
    let made =
        run(&["keys", "create", "--name", "New", "--scope", "read", "--all-projects", "--output", "json"]);
    let made: Value = serde_json::from_str(&made.stdout).unwrap();
    let secret = made["secret"].as_str().unwrap();
    let request = format!("GET /a HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {secret}\r\n\r\n");
    gate.wait_for_line("revision 2 in force");
    assert_eq!(gate.connect().exchange(&request).status(), 200);
    run(&["keys", "revoke", made["id"].as_str().unwrap()]);
    gate.wait_for_line("revision 3 in force");
    assert_eq!(gate.connect().exchange(&request).status(), 401);
}
