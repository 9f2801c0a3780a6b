//! Keys from elsewhere into every store, from store to store, and what is refused on the way: all of a list or none.

use std::{fmt::Write as _, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use keygate::{
    keys::secret::{Brand, Environment, KeySecret},
    store::file::{KeyFile, parse_key_file},
    yaml::Limits,
};
use serde_json::{Value, json};

use crate::harness::{
    Postgres,
    run::{Run, run},
    store_place::{StorePlace, on_every_store},
};

/// Everything that a key file may hold, with names that YAML would read otherwise without quotes.
const RICH: &str = r#"version: 1
count: 6
organizations:
- {id: acme, name: "ACME: 'quoted' # \"and\" [more]", projects: [alpha, beta]}
- {id: zeta, projects: []}
people:
- {id: "auth0|5f7c", email: ada@example.com, name: "null", organization: acme, role: owner, projects: all}
- {id: bob, email: bob@example.com, name: "Ünïcode – 名前 🔑", organization: acme, role: viewer, projects: [alpha]}
- {id: eve, email: eve@example.com, organization: zeta, role: member, projects: all, disabled: true}
keys:
- {id: a.plain, organization: zeta, hash: "sha256:0000000000000000000000000000000000000000000000000000000000000001", scopes: [read], projects: all, expires_at: never}
- id: b-rotated
  name: "- 007"
  labels: {"yes": "1e3", "team:x": "a, b"}
  owner: "auth0|5f7c"
  organization: acme
  hash: sha256:0000000000000000000000000000000000000000000000000000000000000002
  previous_hash: sha256:0000000000000000000000000000000000000000000000000000000000000003
  previous_until: 2999-01-01T00:00:00.123456Z
  prefix: acme_live_7Qd3
  scopes: [write, read]
  projects: [alpha, beta]
  addresses: [10.0.0.0/8, "2001:db8::/32"]
  created_at: 2026-11-21T10:00:00Z
  not_before: 2026-12-01T00:00:00Z
  expires_at: 2999-01-01T00:00:00Z
- {id: c_tombstone, owner: bob, organization: acme, hash: "sha256:0000000000000000000000000000000000000000000000000000000000000004", scopes: [read], projects: [alpha], revoked_at: 2026-11-21T10:00:00Z, revoked_by: "true", revoked_reason: "off: printed #1", expires_at: never}
- {id: d-exceeds-its-owner, owner: bob, organization: acme, hash: "sha256:0000000000000000000000000000000000000000000000000000000000000005", scopes: [admin], projects: all, expires_at: never}
- {id: e-of-disabled, owner: eve, organization: zeta, hash: "sha256:0000000000000000000000000000000000000000000000000000000000000006", scopes: [], projects: [], expires_at: never}
- {id: f-expired, name: "~", organization: zeta, hash: "sha256:0000000000000000000000000000000000000000000000000000000000000007", scopes: [read], projects: all, expires_at: 2020-01-01T00:00:00Z}
"#;

fn parsed(text: &str) -> KeyFile {
    let mut file = parse_key_file(Path::new("keys.yaml"), text.as_bytes(), &Limits::default()).unwrap();
    file.organizations.sort_by(|a, b| a.id.cmp(&b.id));
    file.people.sort_by(|a, b| a.id.cmp(&b.id));
    file.keys.sort_by_key(|key| key.id);
    file
}

fn assert_same(found: &str, expected: &str) {
    let (found, expected) = (parsed(found), parsed(expected));
    assert_eq!(found.organizations, expected.organizations);
    assert_eq!(found.people, expected.people);
    assert_eq!(found.keys, expected.keys);
}

fn import(place: &StorePlace, list: &str, more: &[&str]) -> Run {
    place.run_with(&[&["keys", "import", "-"], more].concat(), list)
}

fn count(place: &StorePlace) -> usize {
    place.json(&["keys", "list"]).as_array().unwrap().len()
}

const DEFAULTS: [&str; 5] = ["--scope", "read", "--all-projects", "--expires", "never"];

/// A list of `count` digests, none of which is in a list with another `seed`.
fn digests(seed: u32, count: usize) -> String {
    let row = |number: usize| format!("k{number:06},sha256:{seed:08x}{number:056x}\n");
    (0..count).fold("id,hash\n".to_owned(), |list, number| list + &row(number))
}

#[test]
fn a_key_file_goes_into_every_store_and_comes_back() {
    on_every_store(|place| {
        let tried = import(place, RICH, &["--format", "yaml", "--dry-run"]).expect_success();
        assert!(
            tried.stderr.contains("2 organizations, 3 people, 6 keys would be imported"),
            "{}",
            tried.stderr
        );
        assert_eq!(count(place), 0);
        import(place, RICH, &["--format", "yaml"]).expect_success();
        let exported = place.run(&["keys", "export"]).expect_success().stdout;
        assert_same(&exported, RICH);
        assert!(exported.starts_with("version: 1\ncount: 6\n"));

        let again = import(place, RICH, &["--format", "yaml"]);
        assert!(again.code == Some(2) && again.stderr.contains("line 11: "), "{}", again.stderr);
        let skipped = import(place, RICH, &["--format", "yaml", "--skip-existing"]).expect_success();
        assert!(skipped.stderr.contains("6 keys were there already"), "{}", skipped.stderr);
        assert_eq!(place.run(&["keys", "export"]).stdout, exported);

        let file = StorePlace::key_file();
        fs::write(file.folder.path().join("keys.yaml"), &exported).unwrap();
        let check = file.run(&["check"]);
        assert!(check.code == Some(0), "{}{}", check.stdout, check.stderr);
    });
}

#[test]
fn an_export_to_a_file_is_private_and_replaces_nothing() {
    let place = StorePlace::sqlite();
    import(&place, RICH, &["--format", "yaml"]).expect_success();
    let path = place.folder.path().join("out.yaml");
    let export = |more: &[&str]| place.run(&[&["keys", "export", "--to", "out.yaml"], more].concat());
    export(&[]).expect_success();
    assert_same(&fs::read_to_string(&path).unwrap(), RICH);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&path, "mine").unwrap();
    let refused = export(&[]);
    assert!(refused.code == Some(2) && refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    export(&["--force"]).expect_success();
    assert_same(&fs::read_to_string(&path).unwrap(), RICH);

    let lines = place.run(&["keys", "export", "--output", "json"]).expect_success().stdout;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["record"].as_str().unwrap()).collect();
    assert_eq!(kinds, [&["organization"; 2][..], &["person"; 3], &["key"; 6]].concat());
    assert_eq!(lines[6]["labels"], json!({"yes": "1e3", "team:x": "a, b"}));
    for on_behalf in [&["keys", "export", "--as", "bob"][..], &["keys", "import", "out.yaml", "--as", "bob"]]
    {
        let refused = place.run(on_behalf);
        assert!(refused.code == Some(2) && refused.stderr.contains("operators may"), "{}", refused.stderr);
    }
}

#[test]
fn what_differs_is_refused_and_what_is_revoked_stays_so() {
    on_every_store(|place| {
        import(place, RICH, &["--format", "yaml"]).expect_success();
        let other = RICH
            .replace("role: viewer", "role: admin")
            .replace("projects: [alpha, beta]}", "projects: [alpha]}");
        let refused = import(place, &other, &["--format", "yaml", "--skip-existing"]);
        assert_eq!(refused.code, Some(2));
        for expected in
            ["organization acme is there already and differs", "person bob is there already and differs"]
        {
            assert!(refused.stderr.contains(expected), "{}", refused.stderr);
        }
        let revoked = RICH.replace("id: a.plain,", "id: a.plain, revoked_at: 2026-11-20T00:00:00Z, ");
        let taken = import(place, &revoked, &["--format", "yaml", "--skip-existing"]).expect_success();
        assert!(taken.stderr.contains("key a.plain was there and is revoked now"), "{}", taken.stderr);
        assert_eq!(place.json(&["keys", "show", "a.plain"])["status"], "revoked");
        import(place, RICH, &["--format", "yaml", "--skip-existing"]).expect_success();
        assert_eq!(place.json(&["keys", "show", "a.plain"])["status"], "revoked");
    });
}

#[test]
fn a_list_may_be_imported_again() {
    on_every_store(|place| {
        let list =
            "name,secret\none,Zq3xK9mPq2Rs8Tv5Wy1Zb4Nc6Mf0Gh3J\ntwo,Aq3xK9mPq2Rs8Tv5Wy1Zb4Nc6Mf0Gh3J\n";
        let csv = [&["--format", "csv", "--output", "json"], &DEFAULTS[..]].concat();
        let report = |run: Run| serde_json::from_str::<Value>(&run.expect_success().stdout).unwrap();
        let first = report(import(place, list, &csv));
        assert_eq!(first["imported"][1]["name"], "two");
        assert_eq!(first["revision"].is_u64(), place.url.is_some());
        let longer = format!("{list}three,Bq3xK9mPq2Rs8Tv5Wy1Zb4Nc6Mf0Gh3J\n");
        let second = report(import(place, &longer, &[&csv[..], &["--skip-existing"]].concat()));
        assert_eq!(second["imported"].as_array().unwrap().len(), 1);
        assert_eq!(second["skipped"][0]["id"], first["imported"][0]["id"]);
        assert_eq!(count(place), 3);
    });
}

/// Rows that are wrong, each with a part of the reason.
fn wrong_rows() -> Vec<(Value, &'static str)> {
    let hash = "sha256:00000000000000000000000000000000000000000000000000000000000000ff";
    let secret = "HUSHk9mPq2Rs8Tv5Wy1Zb4Nc6Mf0Gh3J";
    let with = |field: &str, value: Value| {
        let mut row = json!({"secret": "correct-horse-battery-staple"});
        row[field] = value;
        row
    };
    let long = "x".repeat(200);
    let ours = KeySecret::generate(&Brand::default(), Environment::Live).unwrap();
    vec![
        (json!({}), "neither secret nor hash"),
        (json!({"secret": secret, "hash": hash}), "both secret and hash"),
        (json!({"secret": ""}), "no request could present this secret"),
        (json!({"secret": "HUSH HUSH"}), "no request could present"),
        (json!({"secret": "HUSH,HUSH"}), "no request could present"),
        (json!({"secret": "HUSH\u{0}"}), "no request could present"),
        (json!({"secret": "HÜSH"}), "no request could present"),
        (json!({"secret": "x".repeat(513)}), "no request could present"),
        (json!({"secret": 7}), "secret is neither text"),
        (json!({"secret": [secret]}), "secret: this must be a text"),
        (json!({"secret": {"a": secret}}), "secret: this must be a text"),
        (json!({"hash": secret}), "a plaintext goes under secret"),
        (json!({"hash": "sha256:00"}), "hash: "),
        (json!({"hash": hash.to_uppercase()}), "hash: "),
        (json!({"hash": hash.replace("sha256", "md5")}), "hash: "),
        (json!({"hash": format!("{hash}00")}), "hash: "),
        (json!({"secret": secret, "id": secret}), "id: it holds a secret"),
        (json!({"secret": secret, "name": format!("CI {secret}")}), "name: it holds a secret"),
        (json!({"secret": secret, "labels": {"was": secret}}), "labels: it holds a secret"),
        (json!({"secret": secret, "scopes": ["read", secret]}), "scopes: it holds a secret"),
        (with("id", json!(ours.expose())), "id: it holds a secret"),
        (with("name", json!(hash)), "name: it holds a secret or digest"),
        (with("owner", json!(secret)), "no person"),
        (with("scopes", json!([secret])), "no scope"),
        (with("organization", json!(secret)), "no organization"),
        (with("id", json!("a b")), "id: must be"),
        (with("id", json!("")), "id: must be"),
        (with("id", json!(long)), "id: must be"),
        (with("id", json!("é")), "id: must be"),
        (with("id", json!(["a"])), "id: this must be a text"),
        (with("name", json!("\u{202e}x")), "name: must be"),
        (with("name", json!("a\nb")), "name: must be"),
        (with("name", json!(long)), "name: must be"),
        (with("labels", json!("team")), "labels: write them as"),
        (with("labels", json!({"": "x"})), "labels: write them as"),
        (with("labels", json!({"a": 1})), "labels is neither"),
        (with("owner", json!("nobody")), "nobody"),
        (with("owner", json!("a b")), "owner: must be"),
        (with("organization", json!("a/b")), "organization: must be"),
        (with("prefix", json!("\u{7}")), "prefix: must be"),
        (with("scopes", json!(["reed"])), "did you mean \"read\"?"),
        (with("scopes", json!([["read"]])), "scopes is neither"),
        (with("projects", json!(["../x"])), "../x"),
        (with("projects", json!({"a": "b"})), "projects: this must be a text"),
        (with("created_at", json!("yesterday")), "created_at: "),
        (with("not_before", json!("2026-13-01")), "not_before: "),
        (with("expires_at", json!("soon")), "expires_at: "),
        (with("expires_at", json!("2020-01-01")), "expires_at: this expiry is in the past"),
        (with("addresses", json!("10.0.0.1/8")), "addresses: "),
        (with("addresses", json!(["localhost"])), "addresses: "),
        (with("revoked_at", json!("2026-01-01")), "the key is revoked"),
        (with("silence", json!("HUSH")), "a column has a name"),
        (with("nmae", json!("x")), "did you mean \"name\"?"),
        (json!("HUSH"), "this is no object"),
        (json!(null), "this is no object"),
    ]
}

#[test]
fn every_wrong_row_is_reported_and_none_is_imported() {
    let rows = wrong_rows();
    assert!(rows.len() >= 50);
    on_every_store(|place| {
        let good = json!({"id": "good", "secret": "Zq3xK9mPq2Rs8Tv5Wy1Zb4Nc6Mf0Gh3J"});
        let list = Value::from([vec![good], rows.iter().map(|(row, _)| row.clone()).collect()].concat());
        let more = [&["--format", "json", "--output", "json"], &DEFAULTS[..]].concat();
        let refused = import(place, &list.to_string(), &more);
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        let report: Value = serde_json::from_str(&refused.stdout).unwrap();
        assert_eq!(report["imported"], json!([]));
        let reasons = report["refused"].as_array().unwrap();
        for (number, (row, expected)) in (2..).zip(&rows) {
            let at = format!("item {number}");
            let mut of_row = reasons.iter().filter(|reason| reason["row"] == at);
            assert!(
                of_row.any(|reason| reason["reason"].as_str().unwrap().contains(expected)),
                "{row}: {expected}: {report}"
            );
        }
        for text in [&refused.stdout, &refused.stderr] {
            assert!(
                !text.contains("HUSH")
                    && !text.contains("kg_live_")
                    && !text.contains("00ff")
                    && !text.contains("correct-horse"),
                "{text}"
            );
        }
        assert!(refused.stderr.contains("no key was imported"));
        assert_eq!(count(place), 0);
    });
}

#[test]
fn what_is_no_list_is_refused_as_a_whole() {
    let place = StorePlace::sqlite();
    let path = place.folder.path().join("list.csv");
    fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let list = |text: &[u8]| fs::write(&path, text).unwrap();
    let refused = |expected: &str| {
        let run = place.run(&[&["keys", "import", "list.csv"], &DEFAULTS[..]].concat());
        assert!(run.code == Some(2) && run.stderr.contains(expected), "{expected}: {}", run.stderr);
    };
    refused("the list is larger than 64 MiB; import it in parts");
    list(b"name,secret\nx,\xff\xfe\n");
    refused("line 2: the list is not UTF-8");
    list(b"name,secret,name\n");
    refused("the column name stands twice");
    list(b"name,secret\na,\"HUSH");
    refused("line 2: a quote is not closed");
    list(b"");
    refused("first line names the columns");
    list(RICH.as_bytes());
    let key_file = place.run(&["keys", "import", "list.csv", "--format", "yaml", "--scope", "read"]);
    assert!(key_file.stderr.contains("a key file says scopes"), "{}", key_file.stderr);
    let cut = RICH.split("- {id: f-expired").next().unwrap();
    let cut = import(&place, cut, &["--format", "yaml"]);
    assert!(cut.code == Some(2) && cut.stderr.contains("count is 6"), "{}", cut.stderr);
    assert_eq!(count(&place), 0);
}

#[test]
fn a_database_that_goes_away_leaves_nothing_behind() {
    let server = Postgres::start();
    let place = StorePlace::postgres(&server);
    let name = place.url.as_ref().unwrap().rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    server.psql(
        &name,
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF (SELECT count(*) FROM keys) > 5500 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; \
         RETURN NULL; END $$; \
         CREATE TRIGGER die AFTER INSERT ON keys FOR EACH STATEMENT EXECUTE FUNCTION die()",
    );
    let more = [&["--format", "csv"], &DEFAULTS[..]].concat();
    let failed = import(&place, &digests(1, 8000), &more);
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(failed.stderr.contains("no key was imported"), "{}", failed.stderr);
    assert_eq!(server.psql(&name, "SELECT (SELECT count(*) FROM keys), revision FROM head"), "0|0");
    server.psql(&name, "DROP TRIGGER die ON keys");
    import(&place, &digests(1, 8000), &more).expect_success();
    assert_eq!(server.psql(&name, "SELECT (SELECT count(*) FROM keys), revision FROM head"), "8000|1");
}

#[test]
fn of_two_imports_at_once_one_wins_whole() {
    let server = Postgres::start();
    for place in [StorePlace::sqlite(), StorePlace::postgres(&server)] {
        for seed in 1..=2 {
            fs::write(place.folder.path().join(format!("{seed}.csv")), digests(seed, 1500)).unwrap();
        }
        let lists = ["1.csv", "2.csv"];
        let done = std::thread::scope(|scope| {
            let start = |list| {
                let place = &place;
                scope.spawn(move || place.run(&[&["keys", "import", list], &DEFAULTS[..]].concat()))
            };
            lists.map(start).map(|thread| thread.join().unwrap())
        });
        let mut codes = done.each_ref().map(|run| run.code);
        codes.sort_unstable();
        assert_eq!(codes, [Some(0), Some(2)], "{}{}", done[0].stderr, done[1].stderr);
        let winner = done.iter().position(|run| run.code == Some(0)).unwrap() + 1;
        let exported = place.run(&["keys", "export"]).expect_success().stdout;
        let own = format!("hash: sha256:{winner:08x}");
        assert_eq!((exported.matches("hash: ").count(), exported.matches(&own).count()), (1500, 1500));
    }
}

/// The blocks of the guide that are written in `language`, in their order.
fn blocks(language: &str) -> Vec<String> {
    let guide =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/moving-keys.md")).unwrap();
    let opening = format!("\n```{language}\n");
    let parts =
        guide.split(&opening).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned() + "\n");
    parts.collect()
}

#[test]
fn the_guide_works_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("clients.map", &blocks("nginx")[0]);
    write("keyauths.json", &blocks("json")[0]);
    write("keys.csv", &blocks("csv")[0]);
    write("keys.yaml", RICH);
    let script = blocks("sh").concat();
    let binary = Path::new(env!("CARGO_BIN_EXE_keygate")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-eux", "-c", &script]).current_dir(folder.path()).env("PATH", path);
    command.env_remove("KEYGATE_DATABASE");
    let done = run(&mut command, "").expect_success();
    let mut told = String::new();
    write!(told, "{}{}", done.stdout, done.stderr).unwrap();
    for expected in ["billing", "kong-reports", "Nightly job", "imported 2 organizations, 3 people, 6 keys"] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    assert_same(&fs::read_to_string(folder.path().join("back.yaml")).unwrap(), RICH);
}
