//! `keygate replay`: what access logs tell of the day on which the gateway would stand in front of the API.

use serde_json::Value;

use super::{Folder, fixture};

const ROUTES: &str = "routes:
  - {path: /healthz, access: public}
  - path: /api/v1/projects/{project}/{*rest}
    project: path:project
    methods: {GET: read, POST: write}
  - {path: /api/v1/admin, methods: {'*': admin}}
";

fn with_code<'v>(groups: &'v Value, code: &str) -> Vec<&'v Value> {
    groups.as_array().unwrap().iter().filter(|group| group["code"] == code).collect()
}

#[test]
fn a_combined_log_is_summed_up() {
    let folder = Folder::with_routes(ROUTES);
    let log = fixture("logs/combined.log").display().to_string();
    let report = folder.json(&["replay", &log], "");
    assert_eq!(report["requests"], 12);
    assert_eq!((&report["keyless"], &report["unreadable_lines"]), (&1.into(), &1.into()));
    assert_eq!(report["first_unreadable"], format!("{log}:9"));
    let refused = &report["refused"];
    let [not_found] = with_code(refused, "not_found")[..] else { panic!("{refused:#}") };
    assert_eq!(not_found["path"], "/api/v2/users/{id}");
    assert_eq!((&not_found["requests"], &not_found["answered"]), (&3.into(), &2.into()));
    assert_eq!(not_found["clients"].as_array().unwrap().len(), 2);
    assert_eq!(not_found["first"], format!("{log}:4"));
    let [not_mapped] = with_code(refused, "method_not_allowed")[..] else { panic!("{refused:#}") };
    assert_eq!((&not_mapped["method"], &not_mapped["status"]), (&"DELETE".into(), &405.into()));
    assert_eq!(not_mapped["path"], "/api/v1/projects/{project}/{*rest}");
    let [ambiguous] = with_code(refused, "path_ambiguous")[..] else { panic!("{refused:#}") };
    assert_eq!(ambiguous["status"], 400);
    assert_eq!(
        with_code(refused, "bad_request").len(),
        2,
        "a key in the query, and a line without a request: {refused:#}"
    );
    let needed = report["needed"].as_array().unwrap();
    let scopes: Vec<_> = needed.iter().map(|group| (&group["method"], &group["scopes"][0])).collect();
    assert!(
        scopes.contains(&(&"GET".into(), &"read".into()))
            && scopes.contains(&(&"POST".into(), &"write".into()))
    );
    let clients = report["clients"].as_array().unwrap();
    let writer = clients.iter().find(|client| client["client"] == "192.0.2.7").unwrap();
    assert_eq!((&writer["requests"], &writer["scopes"]), (&3.into(), &serde_json::json!(["write"])));
}

#[test]
fn people_read_tables_and_programs_exit_codes() {
    let folder = Folder::with_routes(ROUTES);
    let log = fixture("logs/combined.log").display().to_string();
    let run = folder.keygate(&["replay", &log], "");
    assert_eq!(run.code, Some(1));
    for expected in [
        "Refused to every key:",
        "A key is needed for:",
        "What each client needs:",
        "404 not_found",
        "/api/v2/users/{id}",
    ] {
        assert!(run.stdout.contains(expected), "no {expected} in\n{}", run.stdout);
    }
    let fine = "192.0.2.7 - - [t] \"GET /api/v1/projects/alpha/x HTTP/1.1\" 200 0\n\
                192.0.2.7 - - [t] \"GET /favicon.ico HTTP/1.1\" 404 0\n";
    assert_eq!(folder.keygate(&["replay", "-"], fine).code, Some(0), "the API had refused it itself");
    for (arguments, input, told) in [
        (&["replay", "-"][..], "\n\nno log\n", "the first is -:3; --format says how they are written"),
        (&["replay", "--format", "json", "-"], "no log\n", "-:1; they are not as --format json says"),
        (&["replay", "-"], "", "what was given is empty"),
        (&["replay", "gone.log"], "", "gone.log: the log cannot be read"),
    ] {
        let run = folder.keygate(arguments, input);
        assert_eq!(run.code, Some(2), "{arguments:?}");
        assert!(run.stderr.contains(told), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn json_logs_of_other_proxies_are_read_line_by_line() {
    let folder = Folder::with_routes(ROUTES);
    let report = folder.json(&["replay", &fixture("logs/mixed.jsonl").display().to_string()], "");
    assert_eq!((&report["requests"], &report["unreadable_lines"]), (&5.into(), &0.into()), "{report:#}");
    let [observed] = report["observed"].as_array().unwrap().as_slice() else { panic!("{report:#}") };
    assert_eq!((&observed["code"], &observed["key_ids"][0]), (&"key_revoked".into(), &"ci".into()));
    assert_eq!(observed["clients"][0], "192.0.2.9");
}

#[test]
fn routes_that_observe_are_asked_as_if_they_refused() {
    let folder = Folder::with_routes(
        "routes:\n  - {path: '/a/{*rest}', methods: {GET: read}, observe: {until: 2099-01-01}}\n",
    );
    let log = "192.0.2.7 - - [t] \"POST /a/b HTTP/1.1\" 200 0\n";
    let report = folder.json(&["replay", "-"], log);
    assert_eq!(report["refused"][0]["code"], "method_not_allowed");
}

#[test]
fn hosts_come_from_the_log_or_the_command_line() {
    let folder = Folder::with_routes(
        "routes:\n  - {path: '/{*rest}', hosts: [api.example.com], methods: {GET: read}}\n",
    );
    let with_host = "api.example.com:443 192.0.2.7 - - [t] \"GET /a HTTP/1.1\" 200 0\n";
    let without = "192.0.2.7 - - [t] \"GET /a HTTP/1.1\" 200 0\n";
    assert_eq!(folder.keygate(&["replay", "-"], with_host).code, Some(0));
    let lost = folder.keygate(&["replay", "-"], without);
    assert_eq!(lost.code, Some(1));
    assert!(lost.stderr.contains("--host"), "{}", lost.stderr);
    assert_eq!(folder.keygate(&["replay", "--host", "api.example.com", "-"], without).code, Some(0));
}

#[test]
fn hostile_lines_are_counted_and_nothing_of_a_query_is_shown() {
    let folder = Folder::with_routes(ROUTES);
    let endless = "x".repeat(100_000);
    let log = format!(
        "192.0.2.7 - - [t] \"GET /nowhere?password=hunter2secret HTTP/1.1\" 200 0\n\
         {endless}\n\
         192.0.2.7 - - [t] \"GET /in/kg_live_4eC39HqLyjWDarjtT1zdp7dc/x HTTP/1.1\" 200 0\n\
         192.0.2.7 - - [t] \"GET /x HTTP/1.1\\r\\nX-Evil: 1 HTTP/1.1\" 200 0\n\
         \u{1b}[31m192.0.2.8 - - [t] \"GET /\\x1b[2J HTTP/1.1\" 200 0\n\
         {{\"method\":\"GET\",\"path\":\"/a\\u0000b\",\"client\":\"\\u202e\",\"status\":99999}}\n"
    );
    for output in ["table", "json"] {
        let run = folder.keygate(&["replay", "--output", output, "-"], &log);
        assert_eq!(run.code, Some(1), "{run:?}");
        let told = format!("{}{}", run.stdout, run.stderr);
        for hidden in ["hunter2", "4eC39Hq", "\u{1b}", "\u{202e}", "X-Evil"] {
            assert!(!told.contains(hidden), "{hidden:?} in\n{told}");
        }
    }
}
