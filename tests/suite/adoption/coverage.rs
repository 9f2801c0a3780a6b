//! `keygate check --openapi`: which route each operation of a description leads to.

use std::fs;

use super::{Folder, fixture};

const ROUTES: &str = "routes:
  - {path: /v3/pet, methods: {POST: write}}
  - {path: '/v3/pet/{id}', methods: {'*': write}}
  - {path: '/v3/pet/{id}/uploadImage', methods: {POST: write}}
  - {path: /v3/user/login, access: public}
  - {path: '/v3/store/{*rest}', methods: {GET: read, POST: write, DELETE: admin}}
  - {path: /metrics, methods: {GET: admin}}
";

#[test]
fn operations_and_routes_are_held_against_each_other() {
    let folder = Folder::with_routes(ROUTES);
    let file = fixture("openapi/petstore.yaml").display().to_string();
    let run = folder.keygate(&["check", "--openapi", &file], "");
    assert_eq!(run.code, Some(1), "{run:?}");
    for told in [
        format!(
            "{file}:9:5: PUT /v3/pet leads to the route \"/v3/pet\", which does not map its method: 405; "
        ),
        format!("{file}:39:5: no route has GET /v3/user/{{username}}: 404; "),
        format!("warning: keygate.yaml:11:5: no operation of {file} leads to the route \"/metrics\"; "),
    ] {
        assert!(run.stderr.lines().any(|line| line.starts_with(&told)), "no {told} in\n{}", run.stderr);
    }
    let lines: Vec<Vec<&str>> = run.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    for expected in [
        ["GET", "/v3/user/login", "/v3/user/login", "public"],
        ["DELETE", "/v3/store/order/{orderId}", "/v3/store/{*rest}", "admin"],
        ["GET", "/v3/pet/findByStatus", "/v3/pet/{id}", "write"],
        ["PUT", "/v3/pet", "/v3/pet", "-"],
        ["GET", "/v3/user/{username}", "-", "-"],
    ] {
        assert!(lines.iter().any(|line| *line == expected), "no {expected:?} in\n{}", run.stdout);
    }
    let report = folder.json(&["check", "--openapi", &file], "");
    assert_eq!(report["operations"].as_array().unwrap().len(), 13);
    assert_eq!(report["ok"], false);
    let problems = report["problems"].as_array().unwrap();
    assert!(problems.iter().all(|one| one["file"] == *file), "{problems:#?}");
    assert_eq!(folder.json(&["check"], "")["operations"], serde_json::Value::Null);
}

#[test]
fn only_operations_that_are_not_served_make_the_check_fail() {
    let described = "openapi: 3.1.0\ninfo: {title: a, version: '1'}\npaths:\n  /a: {get: {responses: {}}}\n";
    let unmapped = format!("{described}  /b: {{put: {{responses: {{}}}}}}\n");
    let missing = format!("{described}  /c: {{get: {{responses: {{}}}}}}\n");
    let never = described.replace("get:", "trace:");
    let routes = "routes:\n  - {path: /a, methods: {GET: read}}\n  - {path: /b, methods: {GET: read}}\n";
    let folder = Folder::with_routes(routes);
    for (description, code) in [(described, 0), (&unmapped, 1), (&missing, 1), (&never, 1), ("openapi: 4", 2)]
    {
        folder.write("openapi.yaml", description);
        let run = folder.keygate(&["check", "--openapi", "openapi.yaml"], "");
        assert_eq!(run.code, Some(code), "{description}\n{run:?}");
    }
}

#[test]
fn what_was_imported_covers_what_was_described() {
    let file = fixture("openapi/forge.yaml").display().to_string();
    let fragment = Folder::with_routes("").keygate(&["routes", "import", &file], "").expect_success().stdout;
    let report = Folder::with_routes(&fragment).json(&["check", "--openapi", &file], "");
    let operations = report["operations"].as_array().unwrap();
    let left: Vec<_> = operations.iter().filter(|operation| operation["needs"].is_null()).collect();
    let methods: Vec<_> = left.iter().map(|operation| operation["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["TRACE"], "{left:?}");
    let warnings = report["warnings"].as_array().unwrap();
    let unreached =
        warnings.iter().filter(|one| one["message"].as_str().unwrap().contains("leads to the route"));
    assert_eq!(unreached.count(), 0, "{warnings:#?}");
}

#[test]
fn a_broken_description_is_wrong_input() {
    let folder = Folder::with_routes(ROUTES);
    let broken = fixture("openapi/broken.yaml").display().to_string();
    let run = folder.keygate(&["check", "--openapi", &broken], "");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains(&format!("{broken}:6:3: this is no path; ")), "{}", run.stderr);
    // What is wrong with the config is told in the same run.
    folder.write(
        "keygate.yaml",
        &fs::read_to_string(folder.0.path().join("keygate.yaml"))
            .unwrap()
            .replace("version: 1", "version: 2"),
    );
    let run = folder.keygate(&["check", "--openapi", &broken], "");
    assert!(
        run.stderr.contains("keygate.yaml:1:10: ") && run.stderr.contains("this is no path"),
        "{}",
        run.stderr
    );
    assert_eq!(folder.keygate(&["check", "--base-path", "/v1"], "").code, Some(2), "of no use alone");
}

#[test]
fn a_description_that_begins_otherwise_is_told_of_its_base_path() {
    let folder = Folder::with_routes("routes: [{path: /a, methods: {GET: read}}]\n");
    let text = "openapi: 3.0.0\nservers: [{url: 'https://api.example/v1'}]\npaths: {/a: {get: {}}}\n";
    let hint = "say how by --base-path (/ for none)";
    let told = folder.keygate(&["check", "--openapi", "-"], text);
    assert!(told.stderr.contains(hint), "{}", told.stderr);
    let told = folder.keygate(&["check", "--openapi", "-", "--base-path", "/"], text);
    assert!(!told.stderr.contains(hint) && told.stdout.contains("/a"), "{told:?}");
}
