//! One suite for every way to the verdict: `tests/decisions.yaml` and the paths of `tests/decisions/paths.txt`, asked of
//! each door directly and through the real proxies, with the gate's own decision as the measure.
//!
//! What no proxy may do is let go on what the gateway refuses. Where one refuses more, refuses by itself, or repairs a
//! request before it asks, `tests/decisions/doors.yaml` says which cases these are, and why.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use keygate::{
    cli::cases::{self, Case},
    control::explain::{Asker, Decision},
};
use rcgen::{KeyPair, PKCS_ED25519};

use super::{
    asking::{self, Family},
    differences::{Difference, Kind, listed},
    front::{Between, Front},
    grpc::{self, Checked},
};
use crate::{
    decisions::{self, TABLES, Table, asks_at_another_time, bytes, is_identity},
    harness::{Client, Gateway, Message, Upstream},
};

/// A gateway with its doors, the proxies that ask there, and the API behind them all.
struct Site {
    gateway: Gateway,
    api: Upstream,
    nginx: Front,
    caddy: Front,
    envoy_grpc: Front,
    envoy_http: Front,
}

/// A way to the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// The forward-auth door, asked as nginx does.
    XOriginal,
    /// The forward-auth door, asked as Traefik and Caddy do.
    XForwarded,
    Nginx,
    Caddy,
    /// The door of external authorization, asked by gRPC.
    ExtAuthzGrpc,
    /// The same, by HTTP.
    ExtAuthzHttp,
    EnvoyGrpc,
    EnvoyHttp,
}

impl Way {
    pub(super) const ALL: [Self; 8] = [
        Self::XOriginal,
        Self::XForwarded,
        Self::Nginx,
        Self::Caddy,
        Self::ExtAuthzGrpc,
        Self::ExtAuthzHttp,
        Self::EnvoyGrpc,
        Self::EnvoyHttp,
    ];
}

/// What came of a request on one way.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    goes_on: bool,
    /// Of the answer that the client gets, where it is not the API's.
    status: Option<u16>,
    code: Option<String>,
    allow: Option<String>,
    /// What the API learns of who asks, names in lower case.
    identity: BTreeMap<String, String>,
}

const API_ANSWER: &str = "HTTP/1.1 200 OK\r\nX-From: api\r\nContent-Length: 0\r\n\r\n";

impl Site {
    fn start(table: &Table) -> Self {
        let api = Upstream::answering(API_ANSWER);
        let [config, keys] =
            [table.config, table.keys].map(|name| fs::read_to_string(decisions::tests().join(name)).unwrap());
        // Envoy tells of a peer on the loopback by another address of this machine.
        let doors = "doors:\n  forward_auth:\n    \
            - {address: 127.0.0.1:0, headers: x-original}\n    \
            - {address: 127.0.0.1:0, headers: x-forwarded}\n  ext_authz:\n    \
            - {address: 127.0.0.1:0, trusted_proxies: ['0.0.0.0/0', '::/0']}\n    \
            - {address: 127.0.0.1:0, protocol: http, trusted_proxies: ['0.0.0.0/0', '::/0']}\n";
        // Many of the cases are failed attempts, all of them of one address.
        let signed = "assertion: {issuer: 'https://keys.example.com', keys: signing.pem}\n";
        let config = format!("{config}{doors}limits: {{failed_attempts: null}}\n{signed}");
        let signing = KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem();
        let keys_name = Path::new(table.keys).file_name().unwrap().to_str().unwrap();
        let files = [("keygate.yaml", &*config), (keys_name, &keys), ("signing.pem", &signing)];
        let gateway = Gateway::start_with(&files, |command| {
            command.env("UPSTREAM", api.address().to_string()).env("KEYGATE_WORKERS", "1")
        });
        let between = |door| Between { door: gateway.address(door), api: api.address() };
        let nginx = Front::nginx(between("forward_auth:x-original"), |site| {
            // The gateways of the table take a second credential header.
            let authorization = "proxy_set_header Authorization $keygate_authorization;";
            let second = "auth_request_set $keygate_api_key $upstream_http_x_api_key; \
                          proxy_set_header X-Api-Key $keygate_api_key;";
            site.replace(authorization, &format!("{authorization} {second}"))
        });
        let caddy = Front::caddy(between("forward_auth:x-forwarded"), |site| {
            // The clients of the table say where they come from.
            let site = site.replace("\trewrite /\n", "\trewrite /\n\ttrusted_proxies 127.0.0.1/32\n");
            let second = "request_header X-Api-Key {http.reverse_proxy.header.X-Api-Key}\n";
            site.replace("request_header Authorization", &format!("{second}request_header Authorization"))
        });
        let envoy = |name, port, door| Front::envoy(name, port, between(door));
        let envoy_grpc = envoy("envoy-grpc", 8092, "ext_authz:grpc");
        let envoy_http = envoy("envoy-http", 8093, "ext_authz:http");
        Self { gateway, api, nginx, caddy, envoy_grpc, envoy_http }
    }

    /// The verdict about `case`; `None` where that way has no words for the request.
    fn ask(&self, way: Way, case: &Case) -> Option<Verdict> {
        match way {
            Way::XOriginal => self.ask_door(case, Family::XOriginal, "forward_auth:x-original"),
            Way::XForwarded => self.ask_door(case, Family::XForwarded, "forward_auth:x-forwarded"),
            Way::Nginx => Some(self.ask_through(&self.nginx, case)),
            Way::Caddy => Some(self.ask_through(&self.caddy, case)),
            Way::ExtAuthzGrpc => self.ask_by_grpc(case),
            Way::ExtAuthzHttp => self.ask_by_http(case),
            Way::EnvoyGrpc => Some(self.ask_through(&self.envoy_grpc, case)),
            Way::EnvoyHttp => Some(self.ask_through(&self.envoy_http, case)),
        }
    }

    fn ask_door(&self, case: &Case, family: Family, door: &str) -> Option<Verdict> {
        if !asking::can_describe(case, family) {
            return None;
        }
        let answer = connect(self.gateway.address(door)).exchange(asking::forward_auth(case, family));
        let header = |name: &str| answer.header(name).map(str::to_owned);
        let goes_on = (200..300).contains(&answer.status());
        let identity = if goes_on { identity_of(&answer) } else { BTreeMap::new() };
        let (status, code) = match family {
            Family::XOriginal => (header("X-Keygate-Status"), header("X-Keygate-Reason")),
            Family::XForwarded => (Some(answer.status().to_string()), code_of(&answer)),
        };
        let status = status.filter(|_| !goes_on).map(|status| status.parse().unwrap());
        Some(Verdict { goes_on, status, code: code.filter(|_| !goes_on), allow: header("Allow"), identity })
    }

    fn ask_by_http(&self, case: &Case) -> Option<Verdict> {
        let question = asking::http_check(case)?;
        let answer = connect(self.gateway.address("ext_authz:http")).exchange(question);
        let goes_on = answer.status() == 200;
        let identity = if goes_on { identity_of(&answer) } else { BTreeMap::new() };
        let (status, code) = (Some(answer.status()).filter(|_| !goes_on), code_of(&answer));
        let allow = answer.header("Allow").map(str::to_owned);
        Some(Verdict { goes_on, status, code: code.filter(|_| !goes_on), allow, identity })
    }

    fn ask_by_grpc(&self, case: &Case) -> Option<Verdict> {
        let check = asking::check(case)?;
        let Checked { goes_on, status, headers, body, .. } =
            grpc::ask(self.gateway.address("ext_authz:grpc"), &check);
        let header =
            |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let code = serde_json::from_str::<serde_json::Value>(&body).ok();
        let code = code.and_then(|problem| problem["code"].as_str().map(str::to_owned));
        let allow = header("allow");
        let identity = headers.into_iter().filter(|(name, _)| goes_on && is_identity(name));
        let identity = without_assertion(identity.collect());
        Some(Verdict { goes_on, status: (!goes_on).then_some(status), code, allow, identity })
    }

    fn ask_through(&self, front: &Front, case: &Case) -> Verdict {
        let before = self.api.requests().len();
        let mut client = front.connect();
        let answer = client.exchange(bytes(case));
        let requests = self.api.requests();
        let goes_on = requests.len() > before;
        assert_eq!(goes_on, answer.header("X-From").is_some(), "{}: {answer:?}", case.name);
        if goes_on {
            let request = &requests[before];
            let raw = String::from_utf8_lossy(&request.raw);
            let secret = asking::authorization(case).filter(|_| decided_with_key(request));
            assert!(secret.is_none_or(|secret| !raw.contains(&secret)), "{}: {request:?}", case.name);
            check_sent(case, request, front.rewrites());
            let identity = identity_of(request);
            return Verdict { goes_on, status: None, code: None, allow: None, identity };
        }
        let status = answer.status();
        let allow = answer.headers("Allow").first().map(|allow| (*allow).to_owned());
        Verdict { goes_on, status: Some(status), code: code_of(&answer), allow, identity: BTreeMap::new() }
    }
}

fn decided_with_key(request: &Message) -> bool {
    request.header("X-Auth-Key-Id").is_some_and(|id| !id.is_empty())
}

/// What was judged is what the API gets, byte for byte.
fn check_sent(case: &Case, request: &Message, rewrites: fn(&str) -> String) {
    let target = case.question.target.as_str();
    let sent = target.find("://").map_or(target, |at| {
        let rest = &target[at + 3..];
        &rest[rest.find('/').unwrap_or_default()..]
    });
    assert_eq!(request.method(), case.question.method, "{}", case.name);
    assert_eq!(request.target(), rewrites(sent), "{}", case.name);
}

fn connect(address: SocketAddr) -> Client {
    Client::connect(address)
}

/// Identity headers that say something.
fn identity_of(message: &Message) -> BTreeMap<String, String> {
    let said = message.fields.iter().filter(|(name, value)| is_identity(name) && !value.is_empty());
    without_assertion(said.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect())
}

/// `identity` without the assertion, which is there where a key is, and says of it what the other headers say.
fn without_assertion(mut identity: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let token = identity.remove("x-auth-assertion");
    let claims = token.map(|token| {
        let claims = token.split('.').nth(1).unwrap();
        serde_json::from_slice::<serde_json::Value>(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
    });
    let claims = claims.unwrap_or_default();
    for (claim, name) in
        [("key_id", "x-auth-key-id"), ("scope", "x-auth-scopes"), ("project", "x-auth-project")]
    {
        let told = identity.get(name).map(String::as_str);
        let said = claims[claim].as_str().filter(|said| !said.is_empty());
        // A header spells out what has no place in one.
        assert_eq!(
            said.map(|said| said.replace('#', "%23")).as_deref(),
            told,
            "{claims} beside {identity:?}"
        );
    }
    identity
}

fn code_of(answer: &Message) -> Option<String> {
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    Some(problem["code"].as_str()?.to_owned())
}

/// What the gate says, in the same words.
fn expected(decision: &Decision, way: Way) -> Verdict {
    let forwarded = decision.forwarded.as_ref();
    // What says nothing is answered as empty, and a proxy may leave it out.
    let said = forwarded
        .iter()
        .flat_map(|forwarded| &forwarded.identity)
        .filter(|(_, value)| !value.trim().is_empty());
    let identity = said.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    // No answer of a door that says 2xx reaches the client.
    let is_preflight = decision.code == "preflight" && matches!(way, Way::XForwarded | Way::Caddy);
    let goes_on = forwarded.is_some() || is_preflight;
    // What the gateway answers itself has no code, but for what nginx is told.
    let is_answered = ["preflight", "server_options"].contains(&decision.code);
    let code = (!goes_on && (!is_answered || way == Way::XOriginal)).then(|| decision.code.to_owned());
    let status = if goes_on { None } else { decision.status };
    let allow = if goes_on || decision.code == "server_options" { None } else { decision.allow.clone() };
    Verdict { goes_on, status, code, allow, identity }
}

/// How a way differs from the gate about one case.
fn kind(case: &Case, decision: &Decision, verdict: &Verdict, way: Way) -> Option<Kind> {
    let mut expected = expected(decision, way);
    let is_head = case.question.method == "HEAD";
    let tells_of_the_answer = matches!(way, Way::XOriginal | Way::XForwarded | Way::ExtAuthzGrpc);
    if is_head && !tells_of_the_answer {
        // The answer to HEAD has no body to read it from.
        expected.code = None;
    }
    if decision.code == "server_options" {
        expected.allow.clone_from(&verdict.allow);
    }
    match (expected.goes_on, verdict.goes_on) {
        (true, false) => Some(Kind::RefusedInstead),
        (false, true) => Some(Kind::GoesOnInstead),
        _ if expected == *verdict => None,
        (false, false) => Some(Kind::OtherRefusal),
        (true, true) => panic!("{way:?}: {}: {verdict:?} instead of {expected:?}", case.name),
    }
}

/// Also what was repaired goes on with the identity of its key; without one, to what is public or a preflight.
fn check_identity(case: &Case, decision: &Decision, verdict: &Verdict, way: Way) {
    if decision.forwarded.is_some() {
        return;
    }
    let name = format!("{way:?}: {}", case.name);
    let said = |name: &str| verdict.identity.get(name).map(String::as_str);
    match (&case.asker, said("x-auth-key-id")) {
        (Asker::Key(id), Some(said_id)) => {
            assert_eq!(id, said_id, "{name}");
            assert!(said("x-auth-user").is_some() && said("x-auth-scopes").is_some(), "{name}");
        }
        (Asker::Anonymous | Asker::Secret(_), Some(id)) => panic!("{name}: {id}"),
        (_, None) => {
            let target = &case.question.target;
            let is_public = target.starts_with("/public/") || target.starts_with("/healthz");
            assert!(verdict.identity.is_empty() && (is_public || decision.code == "preflight"), "{name}");
        }
    }
}

/// The differences of `cases`, by way and kind.
fn found(site: &Site, cases: &[(Case, Decision)]) -> BTreeSet<Difference> {
    let mut found = BTreeSet::new();
    for (case, decision) in cases {
        for way in Way::ALL {
            let Some(verdict) = site.ask(way, case) else { continue };
            if verdict.goes_on {
                check_identity(case, decision, &verdict, way);
            }
            if let Some(kind) = kind(case, decision, &verdict, way) {
                found.insert((way, kind, case.name.clone()));
            }
        }
    }
    found
}

/// That the differences found are those of the list, no more and no less.
fn assert_listed(found: &BTreeSet<Difference>, list: &str) {
    let listed = listed(list);
    let mut told = String::new();
    for (way, kind, case) in found.difference(&listed) {
        writeln!(told, "not listed: {way:?} {kind:?} {case:?}").unwrap();
    }
    for (way, kind, case) in listed.difference(found) {
        writeln!(told, "listed, but not so: {way:?} {kind:?} {case:?}").unwrap();
    }
    assert!(told.is_empty(), "\n{told}");
}

#[test]
fn every_door_decides_as_the_table_says() {
    let mut differences = BTreeSet::new();
    for table in &TABLES {
        let site = Site::start(table);
        let decided: Vec<_> =
            table.decided().into_iter().filter(|(case, _)| !asks_at_another_time(case, table)).collect();
        differences.extend(found(&site, &decided));
    }
    assert_listed(&differences, "decisions.yaml");
}

#[test]
fn every_door_reads_a_path_as_the_gate_does() {
    let table = &TABLES[0];
    let (config, keys) = table.deployment();
    let site = Site::start(table);
    let mut decided = Vec::new();
    for key in ["full", "reader"] {
        for case in path_cases(key) {
            let decision = case.decide(&config, &keys).unwrap();
            decided.push((case, decision));
        }
    }
    assert!(decided.len() > 300);
    assert_listed(&found(&site, &decided), "paths.txt");
}

fn path_cases(key: &str) -> Vec<Case> {
    let paths = fs::read_to_string(decisions::tests().join("decisions/paths.txt")).unwrap();
    let mut text = "version: 1\ncases:\n".to_owned();
    for path in paths.lines() {
        let path = path.replace('\'', "''");
        writeln!(text, "  - {{name: '{path}', request: {{target: '{path}'}}, key: {key}, expect: {{}}}}")
            .unwrap();
    }
    cases::parse(text.as_bytes(), Timestamp::now()).unwrap_or_else(|problems| panic!("{problems:?}"))
}
