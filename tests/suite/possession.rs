//! Revocation by possession: whoever shows a whole key ends it, and learns nothing.

use std::{fmt::Write as _, fs, path::Path, thread, time::Instant};

use keygate::keys::{
    digest::KeyDigest,
    secret::{Brand, Environment, KeySecret},
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    doors::front::Front,
    harness::{
        Client, GUARD, Gateway, Message, Postgres, TableLock, Upstream,
        run::{curl, keygate, run},
        store_place::StorePlace,
    },
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn secret(id: &str) -> String {
    format!("{id}-0123456789abcdefghijklmnopqrstuvwxyz")
}

/// `ci`, `other`, `revoked`; and `rotated`, whose old secret `stale` works no more and whose `recent` one still does.
fn keys() -> String {
    let mut file = "version: 1\nkeys:\n".to_owned();
    let hash = |id: &str| KeyDigest::of(secret(id).as_bytes()).to_text();
    let before = |id: &str, until: &str| format!(", previous_hash: '{}', previous_until: {until}", hash(id));
    for (id, more) in [
        ("ci", String::new()),
        ("other", String::new()),
        ("revoked", ", revoked_at: 2026-01-01T00:00:00Z".to_owned()),
        ("renewed", before("stale", "2026-01-01T00:00:00Z")),
        ("rotated", before("recent", "2099-01-01T00:00:00Z")),
    ] {
        let hash = hash(id);
        let _ = writeln!(
            file,
            "  - {{id: {id}, hash: '{hash}', scopes: [read], projects: all, expires_at: never{more}}}"
        );
    }
    file
}

fn config(upstream: &str, keys: &str, more: &str) -> String {
    format!(
        "version: 1\nlisten: {{address: '127.0.0.1:0'}}\nhealth: null\nadmin: null\nupstreams: {{api: {{url: '{upstream}'}}}}\n\
         keys: {keys}\nrevocation_by_possession: {{address: '127.0.0.1:0', trusted_proxies: ['127.0.0.1/32']}}\n{more}\n\
         routes: [{{path: '/{{*rest}}', methods: {{'*': read}}}}]\n"
    )
}

fn gateway(upstream: &Upstream) -> Gateway {
    let config = config(&upstream.url(), "{file: keys.yaml}", "state: state");
    Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &keys())])
}

/// Shows keys, as a client at `from` behind a proxy would.
fn show_from(gate: &Gateway, from: &str, head: &str, body: &str) -> Message {
    Client::connect(gate.address("revocation")).exchange(format!(
        "POST /.well-known/keygate/revoke HTTP/1.1\r\nHost: keys.example.com\r\nX-Forwarded-For: {from}\r\n{head}Content-Length: \
         {}\r\n\r\n{body}",
        body.len()
    ))
}

fn show(gate: &Gateway, body: &str) -> Message {
    show_from(gate, "192.0.2.1", "Content-Type: text/plain\r\n", body)
}

/// What the data path says to a secret.
fn verdict(gate: &Gateway, secret: &str) -> String {
    let request = format!("GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\r\n\r\n");
    let answer = gate.connect().exchange(request);
    if answer.status() == 200 { "ok".to_owned() } else { answer.json()["code"].as_str().unwrap().to_owned() }
}

fn until_revoked(gate: &Gateway, secret: &str) {
    let started = Instant::now();
    while verdict(gate, secret) != "key_revoked" {
        assert!(started.elapsed() < GUARD, "not revoked:\n{}", gate.output());
        thread::yield_now();
    }
}

/// An answer without its date.
fn undated(answer: &Message) -> String {
    let text = String::from_utf8_lossy(&answer.raw).into_owned();
    text.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_key_that_is_shown_ends_and_nobody_learns_whether_there_was_one() {
    let upstream = Upstream::answering(OK);
    let gate = gateway(&upstream);
    let answers: Vec<_> = ["nobody", "revoked", "stale", "ci", "ci"]
        .map(|id| {
            let answer = show(&gate, &secret(id));
            assert_eq!((answer.status(), answer.json()), (202, json!({"status": "accepted"})), "{id}");
            undated(&answer)
        })
        .into();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    until_revoked(&gate, &secret("ci"));
    for id in ["other", "renewed", "rotated", "recent"] {
        assert_eq!(verdict(&gate, &secret(id)), "ok", "{id}");
    }
    // A secret that still works ends its key, with both secrets.
    assert_eq!(show(&gate, &secret("recent")).status(), 202);
    until_revoked(&gate, &secret("recent"));
    assert_eq!(verdict(&gate, &secret("rotated")), "key_revoked");
    // What was shown long after its end ended nothing.
    assert_eq!(verdict(&gate, &secret("renewed")), "ok");

    // What is in force is told a moment later.
    gate.wait_for_line("somebody has shown it key=rotated");
    let log = fs::read_to_string(gate.folder().join("state/audit.log")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let revoked: Vec<_> = lines.iter().filter(|line| line["command"] == "keys revoke").collect();
    assert_eq!(revoked.len(), 2, "{log}");
    for (member, expected) in [
        ("acting_as", "by possession"),
        ("address", "192.0.2.1"),
        ("id", "ci"),
        ("what", "revoked here: somebody has shown the key"),
    ] {
        assert_eq!(revoked[0][member], expected, "{log}");
    }
    let told = format!("{log}{}", gate.output());
    assert!(!told.contains(&secret("ci")) && !told.contains(&secret("nobody")), "{told}");
}

#[test]
fn keys_are_taken_in_the_ways_that_finders_send_them() {
    let upstream = Upstream::answering(OK);
    let gate = gateway(&upstream);
    let json = "Content-Type: application/json\r\n";
    let credential = format!("Authorization: Bearer {}\r\n", secret("rotated"));
    let found = json!([{"token": secret("other"), "type": "acme", "url": "https://example.com/x", "source": "commit"}]);
    for (head, body, id) in [
        (json, json!({"key": secret("ci")}).to_string(), "ci"),
        (json, found.to_string(), "other"),
        (&*credential, String::new(), "rotated"),
    ] {
        assert_eq!(show_from(&gate, "192.0.2.1", head, &body).status(), 202, "{id}");
        until_revoked(&gate, &secret(id));
    }
    for (head, body, status) in [
        (json, "{}".to_owned(), 400),
        (json, "[".to_owned(), 400),
        ("", String::new(), 400),
        ("", "not a key".to_owned(), 400),
        ("", "x\n".repeat(21), 400),
        ("", "x".repeat((64 << 10) + 1), 413),
        ("Authorization: Basic eDp5\r\n", String::new(), 400),
    ] {
        let answer = show_from(&gate, "192.0.2.2", head, &body);
        assert_eq!(answer.status(), status, "{head}{}", answer.text());
        assert!(
            answer.json()["detail"].as_str().is_some_and(|detail| !detail.contains("1048576")),
            "{answer:?}"
        );
    }
    let address = gate.address("revocation");
    for (start, status) in [
        ("GET /.well-known/keygate/revoke", 405),
        ("GET /", 404),
        ("GET /api/v1/keys", 404),
        ("GET /metrics", 404),
    ] {
        let request = format!("{start} HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n");
        assert_eq!(Client::connect(address).exchange(request).status(), status, "{start}");
    }
}

#[test]
fn who_reports_too_much_waits_and_others_do_not() {
    let upstream = Upstream::answering(OK);
    let gate = gateway(&upstream);
    let statuses: Vec<_> = (0..40).map(|_| show(&gate, &secret("nobody"))).collect();
    let late: Vec<_> = statuses.iter().filter(|answer| answer.status() == 429).collect();
    assert!(!late.is_empty() && statuses[0].status() == 202);
    assert!(
        late.iter()
            .all(|answer| answer.header("Retry-After").is_some() && answer.json()["code"] == "rate_limited")
    );
    assert_eq!(show_from(&gate, "192.0.2.9", "", &secret("ci")).status(), 202);
    until_revoked(&gate, &secret("ci"));
}

#[test]
fn a_key_of_a_database_ends_on_every_replica() {
    let place = StorePlace::sqlite();
    let url = place.url.clone().unwrap();
    a_key_ends_on_every_replica(&place, &url);
}

/// As the guide tells: each command by the role that it is for, and gateways that are asked by `keygate_console`.
#[test]
fn a_key_of_postgresql_ends_on_every_replica_by_the_role_that_may() {
    let server = Postgres::start();
    let (place, database) = with_roles(&server);
    a_key_ends_on_every_replica(&place, &server.url_as("keygate_console", &database));
    // A gateway whose role may only read tells nobody yes.
    let secret = create(&place);
    let upstream = Upstream::answering(OK);
    let keys = format!("{{database: '{}'}}", server.url_as("keygate_gateway", &database));
    let gate = Gateway::start(&[("keygate.yaml", &config(&upstream.url(), &keys, ""))]);
    assert_eq!(show(&gate, &secret).status(), 503);
    assert_eq!(verdict(&gate, &secret), "ok");
}

/// An empty database with the roles of the guide, and commands that run as `keygate_admin`.
fn with_roles(server: &Postgres) -> (StorePlace, String) {
    const ROLES: &str = include_str!("../../deploy/postgres/roles.sql");
    let database = server.create_named_database();
    let by = |role: &str| StorePlace {
        folder: tempfile::tempdir().unwrap(),
        url: Some(server.url_as(role, &database)),
    };
    server.psql(&database, ROLES);
    by("keygate_owner").run(&["migrate"]).expect_success();
    server.psql(&database, ROLES);
    (by("keygate_admin"), database)
}

/// The secret of a new key; nobody waits for gateways, of which none may run.
fn create(place: &StorePlace) -> String {
    let what = ["--name", "CI", "--scope", "read", "--all-projects", "--expires", "never"];
    let create = [&["keys", "create", "--wait", "0"][..], &what].concat();
    place.run(&create).expect_success().stdout.trim().to_owned()
}

fn a_key_ends_on_every_replica(place: &StorePlace, url: &str) {
    let secret = create(place);
    let upstream = Upstream::answering(OK);
    let keys = format!("{{database: '{url}'}}");
    let start = || Gateway::start(&[("keygate.yaml", &config(&upstream.url(), &keys, ""))]);
    let (first, second) = (start(), start());
    assert_eq!((&*verdict(&first, &secret), &*verdict(&second, &secret)), ("ok", "ok"));
    assert_eq!(show_from(&first, "2001:db8::1", "", &secret).status(), 202);
    until_revoked(&first, &secret);
    until_revoked(&second, &secret);
    let told = place.run(&["audit", "export"]).expect_success().stdout;
    for expected in ["\"by possession\"", "2001:db8::1", "somebody has shown the key"] {
        assert!(told.contains(expected), "{told}");
    }
    assert!(!told.contains(&secret));
}

/// A gateway on a PostgreSQL in which nobody can write, and a key that it serves.
fn locked(shutdown: &str) -> (Gateway, TableLock, String, StorePlace, (Upstream, Postgres)) {
    let server = Postgres::start();
    let (place, database) = with_roles(&server);
    let secret = create(&place);
    let upstream = Upstream::answering(OK);
    let keys = format!("{{database: '{}'}}", server.url_as("keygate_console", &database));
    let gate = Gateway::start(&[("keygate.yaml", &config(&upstream.url(), &keys, shutdown))]);
    assert_eq!(verdict(&gate, &secret), "ok");
    let lock = server.lock(&database, "keys");
    (gate, lock, secret, place, (upstream, server))
}

#[test]
fn what_was_accepted_is_done_before_the_end_once_the_database_takes_it() {
    let (mut gate, lock, secret, place, _running) = locked("shutdown: {delay: 0s, deadline: 1h}");
    assert_eq!(show(&gate, &secret).status(), 202);
    gate.signal(Signal::TERM);
    gate.wait_for_line("stopping: not ready any more");
    drop(lock);
    let (status, output) = gate.wait();
    assert!(status.success(), "{output}");
    let listed = place.run(&["keys", "list", "--status", "revoked"]).expect_success().stdout;
    assert_eq!(listed.lines().count(), 2, "{listed}\n{output}");
}

#[test]
fn what_is_not_done_at_the_deadline_is_told() {
    let (mut gate, lock, secret, place, _running) = locked("shutdown: {delay: 0s, deadline: 1s}");
    assert_eq!(show(&gate, &secret).status(), 202);
    assert_eq!(show_from(&gate, "192.0.2.2", "", &secret).status(), 202);
    gate.signal(Signal::TERM);
    let (_, output) = gate.wait();
    for client in ["client=192.0.2.1", "client=192.0.2.2"] {
        let told = output.lines().find(|line| line.contains("was not revoked") && line.contains(client));
        assert!(told.is_some_and(|line| line.contains("keys=1")), "{output}");
    }
    assert!(!output.contains(&secret), "{output}");
    drop(lock);
    let listed = place.run(&["keys", "list", "--status", "active"]).expect_success().stdout;
    assert_eq!(listed.lines().count(), 2, "{listed}");
}

#[test]
fn it_has_an_address_of_its_own_or_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keys.yaml"), keys()).unwrap();
    for (address, code, expected) in [
        ("127.0.0.1:8083", 0, "ok: "),
        ("0.0.0.0:8083", 0, "keys cross the network in clear"),
        ("127.0.0.1:8080", 2, "is for revocation and for something else"),
    ] {
        let config = config("http://127.0.0.1:9", "{file: keys.yaml}", "state: state")
            .replacen("127.0.0.1:0", "127.0.0.1:8080", 1)
            .replace("127.0.0.1:0", address);
        fs::write(folder.path().join("keygate.yaml"), config).unwrap();
        let checked = keygate(folder.path(), &["check"], "");
        let told = format!("{}{}", checked.stdout, checked.stderr);
        assert!(checked.code == Some(code) && told.contains(expected), "{address}: {told}");
    }
}

#[test]
fn what_a_finder_shows_is_remembered_by_the_next_start() {
    let upstream = Upstream::answering(OK);
    let mut gate = gateway(&upstream);
    assert_eq!(show(&gate, &secret("ci")).status(), 202);
    until_revoked(&gate, &secret("ci"));
    gate.restart();
    assert_eq!(verdict(&gate, &secret("ci")), "key_revoked");

    // Where nothing would be remembered, there is nothing to show keys to.
    let forgetful = config(&upstream.url(), "{file: keys.yaml}", "");
    gate.replace("keygate.yaml", &forgetful);
    let checked = keygate(gate.folder(), &["check"], "");
    assert_eq!(checked.code, Some(2));
    let place = "keygate.yaml:7:37: ";
    for expected in [place, "would work again after the next start", "; add state: PATH"] {
        assert!(checked.stderr.contains(expected), "no {expected} in {}", checked.stderr);
    }
    let (status, told) =
        Gateway::spawn(&[("keygate.yaml", &forgetful), ("keys.yaml", &keys())], |command| command).wait();
    assert!(status.code() == Some(2) && told.contains("; add state: PATH"), "{told}");
}

/// A key as Keygate makes it, of which nobody has the file.
fn made() -> String {
    KeySecret::generate(&Brand::default(), Environment::Live).unwrap().expose().to_owned()
}

#[test]
fn a_key_is_found_in_whatever_a_finder_sends() {
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
    type Write = fn(&str) -> String;
    let bodies: [(&str, Write); 7] = [
        // `curl -d "key=$KEY"`, `curl -d "\"$KEY\""`, and JSON without its Content-Type.
        (FORM, |key| format!("key={key}")),
        (FORM, |key| format!("\"{key}\"")),
        ("", |key| json!({ "key": key }).to_string()),
        (FORM, |key| json!({"leak": {"in": "a gist", "secret": key}}).to_string()),
        ("", |key| format!("2026-11-22 GET /?api_key={key} HTTP/1.1")),
        ("", |key| format!("I found this on GitHub:\n\n> {key}\n\nBest, Eve\n")),
        ("Content-Type: multipart/form-data; boundary=x\r\n", |key| {
            format!("--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\n{key}\r\n--x--\r\n")
        }),
    ];
    let secrets: Vec<String> = bodies.iter().map(|_| made()).collect();
    let mut file = keys();
    for (at, secret) in secrets.iter().enumerate() {
        let hash = KeyDigest::of(secret.as_bytes()).to_text();
        let _ = writeln!(
            file,
            "  - {{id: made-{at}, hash: '{hash}', scopes: [read], projects: all, expires_at: never}}"
        );
    }
    let upstream = Upstream::answering(OK);
    let config = config(&upstream.url(), "{file: keys.yaml}", "state: state");
    let gate = Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &file)]);
    for ((head, body), secret) in bodies.iter().zip(&secrets) {
        assert_eq!(verdict(&gate, secret), "ok");
        let (known, unknown) = (body(secret), body(&made()));
        let answers = [unknown, known.clone()].map(|body| show_from(&gate, "192.0.2.1", head, &body));
        assert_eq!(answers[1].status(), 202, "{known}: {}", answers[1].text());
        assert_eq!(undated(&answers[0]), undated(&answers[1]), "{known}");
        until_revoked(&gate, secret);
    }
    // Keys of another form, where nothing stands around them.
    for (body, id) in
        [(format!("key={}&note=a+log", secret("ci")), "ci"), (format!("\"{}\"", secret("other")), "other")]
    {
        assert_eq!(show_from(&gate, "192.0.2.2", FORM, &body).status(), 202);
        until_revoked(&gate, &secret(id));
    }
    for body in ["I have found your key", "{\"secret\": 5}", ""] {
        let answer = show_from(&gate, "192.0.2.2", FORM, body);
        assert!(answer.status() == 400 && answer.text().contains("key=…"), "{}", answer.text());
    }
}

#[test]
fn no_finder_is_told_yes_while_the_role_cannot_revoke() {
    let server = Postgres::start();
    let name = server.create_named_database();
    let roles = include_str!("../../deploy/postgres/roles.sql");
    server.psql(&name, roles);
    let mut place = StorePlace { folder: tempfile::tempdir().unwrap(), url: None };
    place.url = Some(server.url_as("keygate_owner", &name));
    place.run(&["migrate"]).expect_success();
    server.psql(&name, roles);
    place.url = Some(server.url_as("keygate_admin", &name));
    let create =
        ["keys", "create", "--name", "CI", "--scope", "read", "--all-projects", "--expires", "never"];
    let secret = place.run(&create).expect_success().stdout.trim().to_owned();

    let upstream = Upstream::answering(OK);
    let with_role = |role: &str| {
        let keys = format!("{{database: '{}'}}", server.url_as(role, &name));
        config(&upstream.url(), &keys, "")
    };
    for (role, admin, warnings) in [
        (
            "keygate_gateway",
            "admin: {address: '127.0.0.1:8081'}",
            &[
                ":4:8: admin: ",
                "the role keygate_gateway cannot serve admin, as it lacks UPDATE on head and ",
                "or turn it off: admin: null",
                ":7:27: revocation_by_possession: ",
                "the role keygate_gateway cannot revoke keys, as it lacks UPDATE on head and 6 more; use keygate_console, see \
                 deploy/postgres/roles.sql\n",
                "2 warnings",
            ][..],
        ),
        ("keygate_gateway", "admin: null", &["cannot revoke keys", "1 warning"]),
        ("keygate_admin", "admin: {address: '127.0.0.1:8081'}", &["0 warnings"]),
        ("keygate_console", "admin: {address: '127.0.0.1:8081'}", &["0 warnings"]),
        ("postgres", "admin: {address: '127.0.0.1:8081'}", &["0 warnings"]),
    ] {
        let config =
            with_role(role).replace("admin: null", admin).replacen("127.0.0.1:0", "127.0.0.1:8080", 1);
        fs::write(place.folder.path().join("keygate.yaml"), config).unwrap();
        let checked = keygate(place.folder.path(), &["check"], "").expect_success();
        let told = format!("{}{}", checked.stderr, checked.stdout);
        for expected in warnings {
            assert!(told.contains(expected), "{role}: no {expected} in\n{told}");
        }
    }

    let gate = Gateway::start(&[("keygate.yaml", &with_role("keygate_gateway"))]);
    gate.wait_for_line("the role keygate_gateway cannot revoke keys");
    let answers = [&*secret, "nobodys"].map(|shown| show(&gate, shown));
    assert_eq!((answers[0].status(), &answers[0].json()["code"]), (503, &json!("key_store_unavailable")));
    assert!(answers[0].header("Retry-After").is_some());
    assert_eq!(undated(&answers[0]), undated(&answers[1]));
    assert_eq!(verdict(&gate, &secret), "ok");

    server.psql(&name, "GRANT keygate_admin TO keygate_gateway");
    gate.wait_for_line("keys can be revoked by whoever shows them again");
    assert_eq!(show(&gate, &secret).status(), 202);
    until_revoked(&gate, &secret);
}

/// The blocks of this language in the part of the guide about it.
fn guide(language: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/leaked-key.md");
    let text = fs::read_to_string(page).unwrap();
    let part = text.split_once("\n## Let whoever finds a key end it\n").unwrap().1;
    let fence = format!("\n```{language}\n");
    let blocks = part.split(&fence).skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap().to_owned()).collect()
}

/// A gateway with a part of the guide in its config.
fn gateway_of_guide(upstream: &Upstream, written: &str, address: &str, files: &[(&str, &str)]) -> Gateway {
    assert!(written.contains(address), "{written}");
    let written = written.replace(address, "127.0.0.1:0");
    let config = config(&upstream.url(), "{file: keys.yaml}", &written);
    let kept = |line: &&str| !line.starts_with("revocation_by_possession: {");
    let config = config.lines().filter(kept).collect::<Vec<_>>().join("\n") + "\n";
    Gateway::start(&[&[("keygate.yaml", &*config), ("keys.yaml", &keys())], files].concat())
}

/// Runs a line of the guide, with the key `id`, against `url` in place of the one that is written.
fn run_line(gate: &Gateway, line: &str, written: &str, url: &str, id: &str) {
    fs::write(gate.folder().join("secret"), secret(id)).unwrap();
    assert!(line.contains(written), "{line}");
    let line = line.replace(written, url).replace("curl ", "curl -sSk ");
    let mut shell = std::process::Command::new("bash");
    let done = run(shell.args(["-euc", &line]).current_dir(gate.folder()), "").expect_success();
    assert_eq!(done.stdout, r#"{"status":"accepted"}"#);
    until_revoked(gate, &secret(id));
}

#[test]
fn the_guide_for_finders_runs_as_it_stands() {
    let upstream = Upstream::answering(OK);
    let (configs, lines, nginx) = (guide("yaml"), guide("sh"), guide("nginx"));
    assert_eq!((configs.len(), lines.len(), nginx.len()), (2, 2, 1));
    let gate = gateway_of_guide(&upstream, &configs[0], "127.0.0.1:8083", &[]);
    let front = Front::nginx_with(&nginx[0], "127.0.0.1:8083", gate.address("revocation"));
    run_line(&gate, &lines[0], "https://api.example.com", &front.url(), "ci");

    let tls = rcgen::generate_simple_self_signed(["keys.example.com".to_owned()]).unwrap();
    let files = [("tls/cert.pem", &*tls.cert.pem()), ("tls/key.pem", &*tls.signing_key.serialize_pem())];
    let gate = gateway_of_guide(&upstream, &configs[1], "0.0.0.0:8443", &files);
    let address = gate.address("revocation");
    run_line(&gate, &lines[1], "https://keys.example.com:8443", &format!("https://{address}"), "ci");
    // In clear it is no TLS, and the log names the listener that is meant.
    let clear = curl(&["-sS", "-d", "x", &format!("http://{address}/")]);
    assert_ne!(clear.code, Some(0));
    gate.wait_for_line("no TLS connection with a client of the revocation listener");
}

#[test]
fn commands_on_the_file_tell_what_the_gateway_keeps_as_revoked() {
    let upstream = Upstream::answering(OK);
    let gate = gateway(&upstream);
    assert_eq!(show(&gate, &secret("ci")).status(), 202);
    until_revoked(&gate, &secret("ci"));
    gate.wait_for_line("somebody has shown it key=ci");
    let folder = gate.folder();
    let keys_of = |arguments: &[&str]| -> Value {
        let done = keygate(folder, &[&["keys", "list", "--output", "json"], arguments].concat(), "");
        serde_json::from_str(&done.expect_success().stdout).unwrap()
    };
    let all = keys_of(&[]);
    assert_eq!((&all[0]["id"], &all[0]["status"]), (&json!("ci"), &json!("revoked")));
    assert_eq!((&all[1]["id"], &all[1]["status"]), (&json!("other"), &json!("active")));
    let kept_in = all[0]["revocation_kept_in"].as_str().unwrap();
    assert!(kept_in.ends_with("state/revocations-seen.jsonl") && all[1]["revocation_kept_in"].is_null());
    assert_eq!(all[0]["effective"]["scopes"], json!([]));
    let active = keys_of(&["--status", "active"]);
    assert!(active.as_array().unwrap().iter().all(|key| key["id"] != "ci"), "{active}");
    let unwritten = "state/revocations-seen.jsonl, not yet by the key file: ci; write it there by";
    let listed = keygate(folder, &["keys", "list"], "").expect_success();
    assert!(listed.stderr.contains(unwritten), "{}", listed.stderr);
    for (arguments, input) in [(&["keys", "show", "ci"][..], ""), (&["keys", "whoami"], &secret("ci"))] {
        let told = keygate(folder, arguments, input).expect_success().stdout;
        for expected in ["revoked\n", "state/revocations-seen.jsonl, not yet the key file"] {
            assert!(told.contains(expected), "no {expected} in {told}");
        }
    }

    // What is decided is what the gateway decides.
    let explained = keygate(folder, &["explain", "--key-id", "ci", "GET", "/a"], "").expect_success();
    assert!(explained.stdout.contains("401 key_revoked"), "{}", explained.stdout);
    let cases =
        "version: 1\ncases:\n  - {request: GET /a, key: ci, expect: {status: 401, code: key_revoked}}\n";
    fs::write(folder.join("cases.yaml"), cases).unwrap();
    keygate(folder, &["test", "cases.yaml"], "").expect_success();
    let seen = folder.join("state/revocations-seen.jsonl");
    let kept = fs::read(&seen).unwrap();
    fs::write(&seen, "nonsense\n").unwrap();
    for arguments in [&["explain", "--key-id", "ci", "GET", "/a"][..], &["test", "cases.yaml"]] {
        let told = keygate(folder, arguments, "");
        assert!(told.code == Some(2) && told.stderr.contains("line 1 is no revocation"), "{}", told.stderr);
    }
    fs::write(&seen, kept).unwrap();

    // A new secret would bring it back.
    let rotated = keygate(folder, &["keys", "rotate", "ci"], "");
    assert!(rotated.code == Some(2) && rotated.stderr.contains("is revoked"), "{}", rotated.stderr);
    let revoked = keygate(folder, &["keys", "revoke", "ci", "--reason", "in a log"], "").expect_success();
    assert!(!revoked.stderr.contains("already"), "{}", revoked.stderr);
    let file = fs::read_to_string(folder.join("keys.yaml")).unwrap();
    let at = all[0]["revoked_at"].as_str().unwrap();
    assert!(file.contains(&format!("revoked_at: {at}")) && file.contains("in a log"), "{file}");
    let listed = keygate(folder, &["keys", "list"], "").expect_success();
    assert!(!listed.stderr.contains("not yet"), "{}", listed.stderr);
    assert!(keys_of(&[])[0]["revocation_kept_in"].is_null());
}
