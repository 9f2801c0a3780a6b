//! `keygate:manage`, the scope of the admin API, as keys get it from the command line.

use std::fs;

use crate::{
    harness::run::keygate,
    key_edits::{COMMENTED, folder_with},
};

/// Who may carry the scope of the admin API, told before there is such a key.
#[test]
fn keys_that_manage_belong_to_owners_and_admins() {
    let folder = folder_with("keys.yaml", COMMENTED);
    let create = |owner: &[&str]| {
        let base = ["keys", "create", "--file", "keys.yaml", "--name", "Robot", "--scope", "keygate:manage"];
        keygate(folder.path(), &[&base[..], &["--project", "alpha"], owner].concat(), "")
    };
    let refused = [
        (&["--owner", "bob"][..], "is for keys of owners and admins: the owner bob is viewer"),
        (&[], "acts for its owner; name an owner or admin"),
    ];
    for (owner, words) in refused {
        let answer = create(owner);
        assert!(answer.code != Some(0) && answer.stderr.contains(words), "{answer:?}");
    }
    create(&["--owner", "ada"]).expect_success();
    let text = fs::read_to_string(folder.path().join("keys.yaml")).unwrap();
    assert_eq!(text.matches("scopes: [keygate:manage]").count(), 1, "{text}");
    let list = "name,secret,owner,scopes\nimported,a-secret-long-enough-to-be-kept-0123456789,OWNER,keygate:manage\n";
    for (owner, is_taken) in [("bob", false), ("ada", true)] {
        fs::write(folder.path().join("list.csv"), list.replace("OWNER", owner)).unwrap();
        let base = ["keys", "import", "list.csv", "--file", "keys.yaml", "--project", "alpha"];
        let answer = keygate(folder.path(), &[&base[..], &["--expires", "never"]].concat(), "");
        assert_eq!(answer.code == Some(0), is_taken, "{answer:?}");
        assert!(is_taken || answer.stderr.contains("owners and admins"), "{answer:?}");
    }
}
