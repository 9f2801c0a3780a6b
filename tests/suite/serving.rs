//! The gateway while the world around it changes: keys and certificates that are replaced, a stop under load, and the
//! other ways to reach it and its upstreams.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustix::process::Signal;

use crate::{
    fixture::{self, FULL, READER, request},
    harness::{Gateway, Upstream, run::curl},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn get(secret: &str) -> String {
    format!("GET /any/a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\r\n\r\n")
}

/// The key file with the key of `secret` revoked.
fn with_revoked(id: &str) -> String {
    fixture::keys()
        .replace(&format!("{{id: {id},"), &format!("{{id: {id}, revoked_at: 2026-01-01T00:00:00Z,"))
}

#[test]
fn after_the_audit_line_nothing_that_is_forbidden_is_admitted() {
    let upstream = Upstream::answering(OK);
    let config = fixture::config(&upstream.url(), "", "", "").replace("keys.yaml", "mount/keys.yaml");
    let folder = tempfile::tempdir().unwrap();
    let volume = |name: &str, keys: &str| {
        fs::create_dir_all(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("keys.yaml"), keys).unwrap();
    };
    let swap = |name: &str| {
        // As a kubelet does: a new link beside, renamed over the old one.
        let new = folder.path().join("..data_tmp");
        std::os::unix::fs::symlink(name, &new).unwrap();
        fs::rename(&new, folder.path().join("..data")).unwrap();
    };
    volume("..1", &fixture::keys());
    swap("..1");
    std::os::unix::fs::symlink("..data/keys.yaml", folder.path().join("keys.yaml")).unwrap();
    let config = config.replace("mount", &folder.path().display().to_string());
    let mut gate = Gateway::start(&[("keygate.yaml", &config)]);
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for secret in [FULL, READER] {
            let (gate, stop, served) = (&gate, &stop, &served);
            scope.spawn(move || {
                let mut client = gate.connect();
                while !stop.load(Ordering::Relaxed) {
                    let status = client.exchange(get(secret)).status();
                    // The reader is restricted and names no project here: authenticated, and then 404.
                    assert!(matches!(status, 200 | 401 | 404), "{status}");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while served.load(Ordering::Relaxed) < 200 {
            thread::yield_now();
        }
        volume("..2", &with_revoked("full"));
        swap("..2");
        gate.wait_for_line("\"revision\":2");
        let refused = gate.connect().exchange(get(FULL));
        assert_eq!(refused.json()["code"], "key_revoked");
        let enough = served.load(Ordering::Relaxed) + 200;
        while served.load(Ordering::Relaxed) < enough {
            thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
    });
    gate.signal(Signal::TERM);
    let (status, output) = gate.wait();
    assert!(status.success(), "{output}");
    let lines: Vec<serde_json::Value> =
        output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let forwarded = |line: &&serde_json::Value| line["outcome"] == "forwarded" && line["key_id"] == "full";
    assert!(lines.iter().filter(forwarded).count() > 50);
    let late: Vec<_> = lines.iter().filter(forwarded).filter(|line| line["revision"] != 1).collect();
    assert!(late.is_empty(), "admitted under the revision that revokes: {late:?}");
}

#[test]
fn a_wrong_key_file_leaves_the_last_good_one_in_force_but_for_its_revocations() {
    let upstream = Upstream::answering(OK);
    let gate = fixture::gateway(&upstream);
    let reader = |gate: &Gateway| {
        let text = format!(
            "GET /api/v1/projects/alpha HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {READER}\r\n\r\n"
        );
        gate.connect().exchange(text).status()
    };
    assert_eq!(reader(&gate), 200);
    gate.replace(
        "keys.yaml",
        &with_revoked("full").replace("{id: reader,", "{id: reader, unknown_field: 1,"),
    );
    gate.wait_for_line("unknown_field");
    gate.wait_for_line("\"revision\":2");
    assert_eq!(gate.connect().exchange(get(FULL)).json()["code"], "key_revoked");
    assert_eq!(reader(&gate), 200, "nothing else of a wrong file counts");
    // The mark is taken back: who was seen revoked stays so.
    gate.replace("keys.yaml", &fixture::keys());
    gate.wait_for_line("stay");
    assert_eq!(gate.connect().exchange(get(FULL)).json()["code"], "key_revoked");
}

/// The same command where only so many files may be open.
fn with_open_files(command: &mut Command, limit: u32) -> &mut Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]);
    shell.arg(command.get_program()).args(command.get_args()).current_dir(command.get_current_dir().unwrap());
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    *command = shell;
    command
}

#[test]
fn a_revocation_takes_effect_also_while_idle_clients_take_every_connection_there_is() {
    let upstream = Upstream::answering(OK);
    let config = fixture::config(&upstream.url(), "", "", "");
    let files = [("keygate.yaml", config.as_str()), ("keys.yaml", &fixture::keys())];
    let gate = Gateway::start_with(&files, |command| with_open_files(command, 256));
    assert!(gate.wait_for_line("open files are too few").contains("`ulimit -n`"));
    let mut client = gate.connect();
    assert_eq!(client.exchange(get(FULL)).status(), 200);
    let idle: Vec<_> = (0..400).map(|_| gate.connect()).collect();
    gate.replace("keys.yaml", &with_revoked("full"));
    gate.wait_for_line("revision 2 in force");
    assert_eq!(client.exchange(get(FULL)).status(), 401);
    drop(idle);
}

#[test]
fn a_stop_loses_no_request() {
    let upstream = Upstream::answering(OK);
    let mut gate = fixture::gateway(&upstream);
    let served = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            let (gate, served) = (&gate, &served);
            scope.spawn(move || {
                let mut client = gate.connect();
                loop {
                    let response = client.exchange(request("POST /any/a", &["Content-Length: 2"], "hi"));
                    assert_eq!(response.status(), 200);
                    served.fetch_add(1, Ordering::Relaxed);
                    if response.header("connection") == Some("close") {
                        return;
                    }
                }
            });
        }
        while served.load(Ordering::Relaxed) < 100 {
            thread::yield_now();
        }
        gate.signal(Signal::TERM);
    });
    let (status, output) = gate.wait();
    assert!(status.success(), "{output}");
}

#[test]
fn a_second_signal_stops_at_once() {
    let upstream = Upstream::start(|talk| {
        talk.request()?;
        talk.rest()?;
        Ok(())
    });
    let mut gate = fixture::gateway(&upstream);
    let mut client = gate.connect();
    client.send(get(FULL));
    upstream.wait_for_requests(1);
    gate.signal(Signal::TERM);
    gate.wait_for_line("stopping");
    gate.signal(Signal::TERM);
    let (status, _) = gate.wait();
    assert!(status.success());
    client.expect_close();
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "the authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key for `name`, as PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }
}

fn trusts(folder: &Path, port: u16, name: &str) -> bool {
    let ca = folder.join("ca.pem");
    let answer = curl(&[
        "--cacert",
        ca.to_str().unwrap(),
        "--resolve",
        &format!("{name}:{port}:127.0.0.1"),
        "-so",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        &format!("Authorization: Bearer {FULL}"),
        &format!("https://{name}:{port}/any/a"),
    ]);
    answer.stdout == "200"
}

#[test]
fn certificates_are_replaced_while_serving_and_wrong_ones_are_not() {
    let upstream = Upstream::answering(OK);
    let authority = Authority::new();
    let (first, second) = (authority.issue("one.example.com"), authority.issue("two.example.com"));
    let config =
        fixture::config(&upstream.url(), "tls: {certificate: cert.pem, private_key: key.pem}", "", "");
    let gate = Gateway::start(&[
        ("keygate.yaml", &config),
        ("keys.yaml", &fixture::keys()),
        ("ca.pem", &authority.pem()),
        ("cert.pem", &first.0),
        ("key.pem", &first.1),
    ]);
    let port = gate.address("data").port();
    assert!(
        trusts(gate.folder(), port, "one.example.com") && !trusts(gate.folder(), port, "two.example.com")
    );
    gate.replace("cert.pem", &second.0);
    gate.wait_for_line("does not belong to the certificate");
    assert!(trusts(gate.folder(), port, "one.example.com"), "the last good pair serves on");
    gate.replace("key.pem", &second.1);
    while !trusts(gate.folder(), port, "two.example.com") {
        thread::yield_now();
    }
}

#[test]
fn an_https_upstream_is_verified_by_the_given_authority() {
    let backend = Upstream::answering(OK);
    let authority = Authority::new();
    let (certificate, key) = authority.issue("backend.internal");
    // The backend's TLS is another gateway's, whose route is public.
    let listener = "tls: {certificate: cert.pem, private_key: key.pem}";
    let tls = Gateway::start(&[
        (
            "keygate.yaml",
            &fixture::config(&backend.url(), listener, "", "")
                .replace("methods: {'*': read}", "access: public"),
        ),
        ("keys.yaml", &fixture::keys()),
        ("cert.pem", &certificate),
        ("key.pem", &key),
    ]);
    let url = format!("https://{}", tls.address("data"));
    let status = |api: &str, ca: &str| {
        let config = fixture::config(&url, "", api, "");
        let gate =
            Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &fixture::keys()), ("ca.pem", ca)]);
        gate.connect().exchange(get(FULL)).status()
    };
    assert_eq!(status("tls: {ca: ca.pem, server_name: backend.internal}", &authority.pem()), 200);
    assert_eq!(status("tls: {ca: ca.pem}", &authority.pem()), 502, "another name");
    assert_eq!(
        status("tls: {ca: ca.pem, server_name: backend.internal}", &Authority::new().pem()),
        502,
        "another authority"
    );
    assert_eq!(status("tls: {server_name: backend.internal}", ""), 502, "the machine's authorities");
}

#[test]
fn unix_sockets_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let (front, back) = (folder.path().join("front.sock"), folder.path().join("back.sock"));
    let listener = UnixListener::bind(&back).unwrap();
    let backend = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            reader.read_line(&mut head).unwrap();
        }
        reader.get_mut().write_all(OK.as_bytes()).unwrap();
        head
    });
    let config = fixture::config(&format!("unix:{}", back.display()), "", "", "")
        .replace("'127.0.0.1:0'", &format!("'unix:{}'", front.display()));
    let gate =
        Gateway::spawn(&[("keygate.yaml", &config), ("keys.yaml", &fixture::keys())], |command| command);
    gate.wait_for_line("listening name=data");
    let mut client = UnixStream::connect(&front).unwrap();
    client.write_all(get(FULL).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let answer = std::io::read_to_string(client).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok"), "{answer}");
    let head = backend.join().unwrap();
    assert!(
        head.starts_with("GET /any/a HTTP/1.1\r\nHost: a\r\n") && head.contains("X-Auth-Key-Id: full"),
        "{head}"
    );
}

#[test]
fn a_port_in_use_and_files_that_are_wrong_stop_the_start_with_a_remedy() {
    let upstream = Upstream::answering(OK);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let good = fixture::config(&upstream.url(), "", "", "");
    let in_use = good.replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    let keys = fixture::keys();
    let wrong_keys = keys.replace("[admin]", "[amdin]");
    for (config, keys, code, expected) in [
        (in_use.as_str(), keys.as_str(), 1, "in use"),
        (&good.replace("upstreams:", "upstream:"), &keys, 2, "did you mean `upstreams`"),
        (&good, &wrong_keys, 2, "did you mean \"admin\""),
        (&good, "", 2, "keys.yaml"),
        ("", &keys, 2, "keygate.yaml"),
    ] {
        let mut gate = Gateway::spawn(&[("keygate.yaml", config), ("keys.yaml", keys)], |command| command);
        let (status, output) = gate.wait();
        assert_eq!(status.code(), Some(code), "{output}");
        assert!(output.contains(expected), "{expected:?} is not in {output}");
    }
}
