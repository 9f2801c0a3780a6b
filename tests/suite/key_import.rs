//! `keygate keys import`: keys that exist already, all of a list or none.

use crate::harness::run::keygate;
use crate::key_edits::{COMMENTED, folder_with, text};

#[test]
fn an_import_takes_all_rows_or_none() {
    let folder = folder_with("keys.yaml", COMMENTED);
    let import = |list: &str, more: &[&str]| {
        let base = ["keys", "import", "-", "--file", "keys.yaml"];
        keygate(folder.path(), &[&base[..], more].concat(), list)
    };
    let csv = "name,secret,hash,scopes,projects,expires_at,owner\n\
        good,Zq3xK9mPq2Rs8Tv5Wy1Zb4Nc6Mf0Gh3J,,read,alpha beta,never,\n\
        both,HUSH-HUSH,sha256:00,read,all,never,\n\
        owned,Aq3xK9mPq2Rs8Tv5Wy1Zb4Nc6Mf0Gh3J,,write,alpha,never,bob\n\
        same,Zq3xK9mPq2Rs8Tv5Wy1Zb4Nc6Mf0Gh3J,,read,all,never,\n\
        known,,sha256:5bccbd4ffdaf9968bc0bc193f07b91735b0e82d7d0cc34804e51870149a5fe75,reed,all,never,\n";
    let refused = import(csv, &["--format", "csv"]);
    assert_eq!(refused.code, Some(2));
    for expected in [
        "line 3: it has both secret and hash",
        "line 4: the scope write exceeds the owner",
        "line 5: it has the same secret as line 2",
        "line 6: the key ci has the same digest",
        "line 6: no scope is called \"reed\"; did you mean \"read\"?",
    ] {
        assert!(refused.stderr.contains(expected), "{expected}: {}", refused.stderr);
    }
    assert!(!refused.stderr.contains("HUSH") && !refused.stderr.contains("K9mPq2"));
    assert_eq!(text(&folder), COMMENTED);

    let list = r#"[{"id": "old-1", "name": "one", "secret": "correct-horse", "projects": ["alpha"]},
        {"id": "old-2", "hash": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}]"#;
    let more = ["--format", "json", "--scope", "read", "--all-projects", "--expires", "never"];
    let tried = import(list, &[&more[..], &["--dry-run"]].concat()).expect_success();
    assert!(tried.stderr.contains("item 1: the secret has an estimated"), "{}", tried.stderr);
    assert_eq!(text(&folder), COMMENTED);
    import(list, &more).expect_success();
    let after = text(&folder);
    assert!(after.contains("count: 3 ") && after.contains("- id: old-1") && !after.contains("correct-horse"));
    let who = keygate(folder.path(), &["keys", "whoami", "--file", "keys.yaml"], "abc").expect_success();
    assert!(who.stdout.contains("old-2"), "{}", who.stdout);
}
