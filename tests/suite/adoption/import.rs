//! `keygate routes import`: routes proposed by a description, which the gateway then takes.

use std::fs;

use proptest::prelude::*;

use super::{Folder, fixture};
use crate::harness::run::Run;

fn import(name: &str, more: &[&str]) -> Run {
    let file = fixture("openapi").join(name).display().to_string();
    let arguments = [&["routes", "import"], more, &[file.as_str()]].concat();
    Folder::with_routes("").keygate(&arguments, "")
}

/// The entry of the route, with the comments above it.
fn entry<'t>(fragment: &'t str, path: &str) -> &'t str {
    let mark = format!("- path: {path}\n");
    let at = fragment.find(&mark).unwrap_or_else(|| panic!("no {mark:?} in\n{fragment}"));
    let start = fragment[..at].rfind("\n    ").map_or(0, |end| end + 1);
    let rest = &fragment[at + mark.len()..];
    let end = ["\n  # ", "\n  - path"].iter().filter_map(|next| rest.find(next)).min().unwrap_or(rest.len());
    &fragment[start..at + mark.len() + end]
}

fn assert_holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

/// What `check` says of a configuration with these routes.
fn checked(fragment: &str) -> Run {
    Folder::with_routes(fragment).keygate(&["check"], "").expect_success()
}

#[test]
fn the_pet_shop_gets_routes_that_check_accepts() {
    let run = import("petstore.yaml", &[]).expect_success();
    let fragment = &run.stdout;
    checked(fragment);
    assert_holds(
        entry(fragment, "/v3/pet"),
        &["PUT: write", "POST: write", "# PUT updatePet: it needs the OAuth scope write:pets and read:pets"],
    );
    assert_holds(
        entry(fragment, "/v3/pet/findByStatus"),
        &["methods: {GET: read}", "the OAuth scope read:pets"],
    );
    assert_holds(
        entry(fragment, "'/v3/pet/{petId}'"),
        &["{GET: read, POST: write, DELETE: write}", "# GET getPetById: GET reads"],
    );
    assert_holds(
        entry(fragment, "/v3/user/login"),
        &["access: public", "methods: [GET]", "it is declared public"],
    );
    assert_holds(&run.stderr, &["no parameter looks like a project"]);
    assert!(fragment.starts_with("# Proposed by `keygate routes import` from petstore.yaml, Petstore (OpenAPI 3.0.3): 9 routes for 13 operations."));
}

#[test]
fn an_api_that_has_grown_gets_routes_too_and_is_told_what_is_unclear() {
    let run = import("forge.yaml", &[]).expect_success();
    let fragment = &run.stdout;
    let check = checked(fragment);
    assert!(!check.stderr.contains("is wrong"), "{}", check.stderr);
    assert_holds(
        entry(fragment, "/api/v1/projects"),
        &["{GET: read, POST: admin}", "# restricted_keys: [GET]"],
    );
    assert_holds(
        entry(fragment, "'/api/v1/projects/{projectId}'"),
        &["project: 'path:projectId'", "{GET: read, PATCH: write, DELETE: admin}"],
    );
    assert_holds(
        entry(fragment, "'/api/v1/projects/{projectId}/issues'"),
        &["{GET: read, POST: write, PUT: write}", "trailing_slash: either", "project: 'path:projectId'"],
    );
    assert_holds(
        entry(fragment, "'/api/v1/projects/{projectId}/compare/{base}'"),
        &["GET: read", "# Look: this serves more than /api/v1/projects/{projectId}/compare/{base}...{head}"],
    );
    assert_holds(entry(fragment, "'/api/v1/projects/{projectId}/raw/{*path}'"), &["GET: read"]);
    assert_holds(entry(fragment, "/api/v1/search/Users"), &["{GET: read, POST: read}", "case: ignore"]);
    assert_holds(
        entry(fragment, "'/api/v1/admin/users/{user_id}'"),
        &["{GET: admin}", "its path says admin"],
    );
    assert_holds(entry(fragment, "/api/v1/settings"), &["{GET: admin}", "its tag is Site Administration"]);
    assert_holds(entry(fragment, "'/api/v1/v$$metadata'"), &["GET: read"]);
    assert_holds(entry(fragment, "'/api/v1/hooks/{hook}'"), &["access: public"]);
    let login = fragment.matches("- path: /api/v1/login\n").count();
    assert_eq!(login, 2, "one public, one guarded:\n{fragment}");
    assert!(!fragment.contains('\u{200b}') && !fragment.contains("TRACE"));
    let file = fixture("openapi/forge.yaml").display().to_string();
    for (place, part) in [
        ("7:3", "the servers have different paths, \"/api/v1\" and \"/\""),
        ("", "leads out of the document"),
        ("", "matches more than the path /api/v1/projects/{projectId}/compare/{base}...{head}"),
        ("", "stands in several spellings"),
        ("", "may be called without a credential"),
        ("", "TRACE is never served"),
    ] {
        let start = format!("note: {file}:{place}");
        let told = run.stderr.lines().any(|line| line.starts_with(&start) && line.contains(part));
        assert!(told, "no {part:?} at {place} in\n{}", run.stderr);
    }
}

#[test]
fn options_say_what_the_description_cannot() {
    let run = import(
        "petstore.yaml",
        &[
            "--project-parameter",
            "petId",
            "--base-path",
            "/",
            "--upstream",
            "api",
            "--observe-until",
            "2099-01-01",
        ],
    )
    .expect_success();
    assert_holds(
        entry(&run.stdout, "'/pet/{petId}'"),
        &["project: 'path:petId'", "observe: {until: 2099-01-01}", "upstream: api"],
    );
    assert!(!entry(&run.stdout, "/user/login").contains("observe"));
    let check = checked(&run.stdout);
    assert_holds(&check.stderr, &["forwards what it would refuse"]);
    for wrong in [["--observe-until", "soon"], ["--observe-until", "2020-01-01"], ["--base-path", "v1"]] {
        assert_eq!(import("petstore.yaml", &wrong).code, Some(2));
    }
}

#[test]
fn everything_wrong_with_a_description_is_told_in_one_run() {
    let run = import("broken.yaml", &[]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    let file = fixture("openapi/broken.yaml").display().to_string();
    for (place, part) in [
        ("3:11", "the url of the server cannot be read"),
        ("4:13", "the security scheme is not defined"),
        ("6:3", "this is no path"),
        ("8:3", "the braces of the path do not match"),
        ("11:5", "this is no method of a path"),
        ("12:10", "an operation is no mapping"),
        ("14:20", "a parameter lacks name or in"),
        ("14:45", "a parameter stands in none of path, query, header and cookie"),
        ("14:59", "the $ref leads to nothing"),
        ("15:24", "x-keygate-scope names no scope"),
        ("16:13", "tags is no list"),
        ("17:3", "the path stands in another document"),
        ("18:", "the $ref leads in a circle"),
    ] {
        let start = format!("{file}:{place}");
        let told = run
            .stderr
            .lines()
            .any(|line| line.starts_with(&start) && line.contains(part) && line.contains("; "));
        assert!(told, "no {part:?} at {place} in\n{}", run.stderr);
    }
}

#[test]
fn what_is_no_description_is_told() {
    let folder = Folder::with_routes("");
    for (text, part) in [
        ("swagger: '2.0'\npaths: {}\n", "this is Swagger 2"),
        ("openapi: 4.0.0\n", "this version of OpenAPI is not known"),
        ("- a list\n", "this is no OpenAPI description"),
        ("openapi: 3.0.0\n", "there are no paths"),
        ("openapi: 3.0.0\npaths: {/a: {pots: {}}}\n", "did you mean `post`?"),
        ("openapi: 3.0.0\npaths: {/a: {GET: {}}}\n", "did you mean `get`?"),
        ("openapi: 3.0.0\npaths: {/a: {connect: {}}}\n", "write a method in lower case"),
        ("openapi: 3.0.0\npaths: [\n", "-:"),
        ("", "-:"),
    ] {
        let run = folder.keygate(&["routes", "import", "-"], text);
        assert_eq!(run.code, Some(2), "{text}");
        assert!(run.stderr.contains(part), "{text}: {}", run.stderr);
    }
    assert_eq!(folder.keygate(&["routes", "import", "gone.yaml"], "").code, Some(2));
    let elsewhere = "openapi: 3.0.0\npaths: {/a: {get: {$ref: 'other.yaml#/get'}}}\n";
    let run = folder.keygate(&["routes", "import", "-"], elsewhere).expect_success();
    assert!(run.stderr.contains("note: -:2:") && run.stderr.contains("is not followed"), "{}", run.stderr);
    let json =
        r#"{"openapi": "3.1.0", "paths": {"/a": {"get": {"responses": {"200": {"description": "é"}}}}}}"#;
    let run = folder.keygate(&["routes", "import", "-"], json).expect_success();
    assert!(run.stdout.contains("- path: /a\n"), "{}", run.stdout);
}

proptest! {
    #[test]
    fn whatever_a_description_holds_the_gateway_takes_what_is_proposed(
        paths in proptest::collection::vec("(/[a-zA-Z0-9.{}_%;:$+*-]{0,6}){1,3}/?", 1..8),
        methods in proptest::collection::vec("get|put|post|head|trace", 1..3),
    ) {
        let methods: std::collections::BTreeSet<_> = methods.into_iter().collect();
        let paths: std::collections::BTreeSet<_> = paths.into_iter().collect();
        let operations: Vec<_> = methods.iter().map(|method| format!("{method}: {{}}")).collect();
        let lines: Vec<_> = paths.iter().map(|path| format!("  '{path}': {{{}}}\n", operations.join(", "))).collect();
        let text = format!("openapi: 3.1.0\npaths:\n{}", lines.concat());
        if let Ok(api) = keygate::openapi::parse(text.as_bytes(), None) {
            let proposal = keygate::openapi::propose(&api, &keygate::openapi::ProposalOptions::default());
            let fragment = keygate::openapi::write_fragment(&api, &proposal, &keygate::openapi::FragmentOptions::default());
            if !proposal.routes.is_empty() {
                let config = format!(
                    "version: 1\nlisten: {{address: '127.0.0.1:0'}}\nupstreams: {{api: {{url: 'http://127.0.0.1:9'}}}}\n\
                     keys: {{file: keys.yaml}}\n{fragment}"
                );
                let surroundings = keygate::config::Surroundings::of_process("keygate");
                let loaded = keygate::config::parse(std::path::Path::new("keygate.yaml"), config.as_bytes(), &surroundings);
                prop_assert!(loaded.result.is_ok(), "{:?}\n{fragment}", loaded.result.err());
            }
        }
    }

    #[test]
    fn noise_in_a_description_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..40), at in any::<prop::sample::Index>()) {
        let whole = fs::read(fixture("openapi/forge.yaml")).unwrap();
        let (head, tail) = whole.split_at(at.index(whole.len()));
        for text in [[head, &noise, tail].concat(), [head, &noise].concat(), noise.clone()] {
            match keygate::openapi::parse(&text, None) {
                Ok(api) => drop(keygate::openapi::propose(&api, &keygate::openapi::ProposalOptions::default())),
                Err(problems) => prop_assert!(!problems.is_empty()),
            }
        }
    }
}
