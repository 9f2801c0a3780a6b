//! `keygate:manage`, the scope of the admin API, as keys get it from the command line.

use std::fs;

use keygate::keys::digest::KeyDigest;

use crate::{
    harness::{Client, Gateway, Upstream, run::keygate},
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

/// An IPv4-mapped network (RFC 4291 §2.5.5.2) is the IPv4 one, on every listener.
#[test]
fn a_key_of_a_mapped_network_is_used_from_it_on_every_listener() {
    const SECRET: &str = "manages-0123456789abcdefghijklmnopqrstuvwxyz";
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    for (network, status) in
        [("::ffff:127.0.0.0/104", 200), ("127.0.0.0/8", 200), ("::ffff:192.0.2.0/120", 403), ("::/0", 403)]
    {
        let config = format!(
            "version: 1\nlisten: {{address: '127.0.0.1:0'}}\nhealth: null\nadmin: {{address: '127.0.0.1:0'}}\n\
             upstreams: {{api: {{url: '{}'}}}}\nkeys: {{file: keys.yaml}}\n\
             routes: [{{path: '/{{*rest}}', methods: {{GET: read}}}}]\n",
            upstream.url()
        );
        let keys = format!(
            "version: 1\npeople: [{{id: ada, email: ada@example.com, role: owner, projects: all}}]\nkeys:\n  \
             - {{id: robot, hash: '{}', owner: ada, scopes: [read, 'keygate:manage'], projects: all, expires_at: never, \
             addresses: ['{network}']}}\n",
            KeyDigest::of(SECRET.as_bytes()).to_text()
        );
        let gate = Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &keys)]);
        for (listener, path) in [("data", "/x"), ("admin", "/api/v1/keys")] {
            let address = gate.address(listener);
            let answer = Client::connect(address).exchange(format!(
                "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {SECRET}\r\n\r\n"
            ));
            assert_eq!(answer.status(), status, "{network} {listener}: {answer:?}");
        }
    }
}
