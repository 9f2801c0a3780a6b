//! The shipped configurations: that none forgets a header, that those which cannot be run here are at least well formed, and
//! that the guide shows them as they are.

use std::fs;
use std::path::Path;

use keygate::{
    assertion,
    gate::identity::IdentityHeaders,
    policy::origin,
    yaml::{Limits, Node, parse},
};

use super::front::deployed;

const FILES: [&str; 6] = [
    "nginx/keygate.conf",
    "caddy/Caddyfile",
    "traefik/keygate.yaml",
    "envoy/envoy-grpc.yaml",
    "envoy/envoy-http.yaml",
    "istio/keygate.yaml",
];

#[test]
fn every_identity_header_and_the_credential_are_overwritten() {
    let names = IdentityHeaders::default();
    let all: Vec<_> = names.names().chain([assertion::HEADER, "Authorization"]).collect();
    assert_eq!(all.len(), 11);
    let nginx = deployed("nginx/keygate.conf");
    for name in &all {
        let line = format!("proxy_set_header {name} ");
        assert!(nginx.contains(&line), "nginx: {name}");
        let variable = format!("$upstream_http_{};", name.to_lowercase().replace('-', "_"));
        assert!(nginx.contains(&variable), "nginx: {name}");
    }
    let caddy = deployed("caddy/Caddyfile");
    for name in &all {
        let line = format!("\t\trequest_header {name} {{http.reverse_proxy.header.{name}}}\n");
        assert!(caddy.contains(&line), "caddy: {name}");
    }
}

/// Caddy 2.10.0 to 2.11.1 copy no empty header (CVE-2026-30851): the client's own would go on as identity.
#[test]
fn caddy_sets_headers_without_any_condition() {
    let caddy = deployed("caddy/Caddyfile");
    let told: Vec<_> = caddy.lines().map(str::trim).filter(|line| !line.starts_with('#')).collect();
    assert!(!told.iter().any(|line| line.contains("copy_headers") || line.contains("forward_auth ")));
    // A matcher would be a word more.
    let set = told.iter().filter(|line| line.starts_with("request_header "));
    assert!(set.clone().all(|line| line.split_whitespace().count() == 3), "{set:?}");
    // The API is asked in the place of a yes alone.
    let permitted = caddy.split_once("handle_response @permitted {").unwrap().1;
    assert_eq!(
        (caddy.matches("127.0.0.1:9000").count(), permitted.matches("127.0.0.1:9000").count()),
        (1, 1)
    );
}

#[test]
fn what_says_where_a_request_came_from_is_removed() {
    let nginx = deployed("nginx/keygate.conf");
    let (location, _) = nginx.split_once("location = /_keygate").unwrap();
    for name in origin::REMOVED {
        assert!(location.contains(&format!(" proxy_set_header {name} \"\";\n")), "nginx: {name}");
    }
    for name in origin::WRITTEN {
        assert!(location.contains(&format!(" proxy_set_header {name} $")), "nginx: {name}");
    }
    let caddy = deployed("caddy/Caddyfile");
    let by_itself = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"];
    for name in origin::REMOVED.iter().chain(&origin::WRITTEN).filter(|name| !by_itself.contains(name)) {
        let told = [format!("header_up -{name}\n"), format!("header_up {name} {{remote_host}}\n")];
        assert!(told.iter().any(|line| caddy.contains(line)), "caddy: {name}");
    }
    let traefik = deployed("traefik/keygate.yaml");
    // What else is called X-Forwarded-…, and X-Real-Ip, it removes where it listens.
    let of_the_entry =
        ["For", "Method", "Port", "Prefix", "Server", "Tls-Client-Cert", "Tls-Client-Cert-Info", "Uri"];
    let of_the_entry = of_the_entry.map(|name| format!("X-Forwarded-{name}"));
    for name in origin::REMOVED.iter().filter(|name| !of_the_entry.contains(&(**name).to_owned())) {
        assert!(traefik.contains(&format!(" {name}: \"\"\n")), "traefik: {name}");
    }
}

/// Traefik cannot be installed here: what it is configured to do is what Caddy does, asked in the same family of headers.
#[test]
fn traefik_is_configured_as_the_door_expects() {
    let text = deployed("traefik/keygate.yaml");
    let document = parse(text.as_bytes(), &Limits::default()).unwrap();
    let at = |path: &str| {
        path.split('.').fold(document.root(), |node, key| node.get(key).unwrap_or_else(|| panic!("{path}")))
    };
    let forward_auth = at("http.middlewares.keygate.forwardAuth");
    let text = |node: Node<'_>, key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
    assert_eq!(text(forward_auth, "address").as_deref(), Some("http://127.0.0.1:8091/"));
    assert_eq!(text(forward_auth, "trustForwardHeader").as_deref(), Some("false"));
    let names = IdentityHeaders::default();
    let answered: Vec<_> =
        forward_auth.get("authResponseHeaders").unwrap().items().filter_map(Node::text).collect();
    assert!(
        names.names().chain([assertion::HEADER, "Authorization"]).all(|name| answered.contains(&name)),
        "{answered:?}"
    );
    assert_eq!(
        at("http.routers.api.middlewares").items().filter_map(Node::text).collect::<Vec<_>>(),
        ["keygate-origin", "keygate"]
    );
}

/// Nor can Istio: its documents are well formed, refuse when nobody answers, and name one provider.
#[test]
fn istio_is_configured_to_refuse_without_an_answer() {
    let text = deployed("istio/keygate.yaml");
    let documents: Vec<_> = text.split("\n---\n").collect();
    assert_eq!(documents.len(), 2);
    for document in &documents {
        parse(document.as_bytes(), &Limits::default()).unwrap_or_else(|problems| panic!("{problems:?}"));
    }
    assert!(documents[0].contains("failOpen: false") && documents[0].contains("- name: keygate\n"));
    assert!(documents[1].contains("action: CUSTOM") && documents[1].contains("provider: {name: keygate}"));
    for envoy in ["envoy/envoy-grpc.yaml", "envoy/envoy-http.yaml"] {
        let text = deployed(envoy);
        assert!(
            text.contains("failure_mode_allow: false") && text.contains("normalize_path: false"),
            "{envoy}"
        );
    }
}

#[test]
fn the_guide_shows_every_file_as_it_is() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doors.md");
    let guide = fs::read_to_string(guide).unwrap();
    for name in FILES {
        let file = deployed(name);
        assert!(guide.contains(&format!("\n{file}```\n")), "docs/doors.md lacks deploy/{name} as it is");
    }
}
