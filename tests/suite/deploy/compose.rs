//! The compose file: valid, closed, and its scripts and config bring up what it promises, on a real PostgreSQL.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use serde_json::Value;

use super::{drained_within, parsed, psql_file, read, root};
use crate::harness::{Postgres, run};

const FOLDER: &str = "deploy/compose";

/// compose.yaml as JSON.
fn compose() -> Value {
    let read = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let file = root().join(FOLDER).join("compose.yaml");
    serde_json::from_str(&run::python(["-c", read, file.to_str().unwrap()]).expect_success().stdout).unwrap()
}

fn services(compose: &Value) -> impl Iterator<Item = (&String, &Value)> {
    compose["services"].as_object().unwrap().iter()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(text).collect()
}

#[test]
fn it_is_valid_by_the_compose_specification() {
    let file = root().join(FOLDER).join("compose.yaml");
    let check = |file: &Path| {
        let arguments =
            ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file.to_str().unwrap()];
        run::python(arguments)
    };
    check(&file).expect_success();
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("compose.yaml");
    fs::write(&wrong, fs::read_to_string(&file).unwrap().replace("read_only:", "readonly:")).unwrap();
    assert_eq!(check(&wrong).code, Some(1));
}

#[test]
fn every_container_is_closed_and_none_is_root() {
    let compose = compose();
    for (name, service) in services(&compose) {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(list(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(list(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert!(!text(&service["user"]).starts_with("0:"), "{name}");
        assert!(service["privileged"].is_null() && service["cap_add"].is_null(), "{name}");
        // What ends by itself is waited for by its end; the rest by its health.
        let is_waited_for_by_its_end = ["migrate", "rights", "admin"].contains(&name.as_str());
        assert_eq!(service["healthcheck"].is_null(), is_waited_for_by_its_end, "{name}");
    }
}

#[test]
fn secrets_are_files_and_each_service_has_its_own_alone() {
    let compose = compose();
    for (name, service) in services(&compose) {
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            let is_place = variable.ends_with("_FILE");
            assert!(is_place || !text(value).contains("password"), "{name} {variable}");
        }
        for secret in service["secrets"].as_array().into_iter().flatten() {
            let source = secret.as_str().unwrap_or_else(|| text(&secret["source"]));
            assert!(compose["secrets"][source]["file"].is_string(), "{name} {source}");
        }
    }
    let source = |service: &str| compose["services"][service]["secrets"][0]["source"].as_str().unwrap();
    for (service, role) in
        [("gateway", "gateway"), ("admin", "admin"), ("migrate", "owner"), ("rights", "owner")]
    {
        assert_eq!(source(service), format!("{role}-password"));
        let named = compose["services"][service]["environment"]["DATABASE_ROLE"].as_str();
        assert!(named.is_none_or(|named| named == format!("keygate_{role}")), "{service}");
    }
}

#[test]
fn only_the_gateway_is_reached_from_outside_and_only_from_this_machine() {
    let compose = compose();
    for (name, service) in services(&compose) {
        let ports = list(&service["ports"]);
        if name == "gateway" {
            assert_eq!(ports, ["127.0.0.1:8080:8080"]);
        } else {
            assert!(ports.is_empty(), "{name}");
            assert_eq!(list(&service["networks"]), ["back"], "{name}");
        }
    }
    assert_eq!(compose["networks"]["back"]["internal"], true);
}

#[test]
fn the_gateway_is_given_time_to_drain_and_commands_that_there_are() {
    let compose = compose();
    let config = parsed(Path::new("/etc/keygate"), &read(&format!("{FOLDER}/config/keygate.yaml")));
    let grace = text(&compose["services"]["gateway"]["stop_grace_period"]);
    assert!(grace.trim_end_matches('s').parse::<u64>().unwrap() > drained_within(&config).as_secs());
    let health = list(&compose["services"]["gateway"]["healthcheck"]["test"]);
    assert_eq!(health[..2], ["CMD", "/keygate"]);
    assert_eq!(config.health.unwrap().to_string(), "127.0.0.1:8082", "where `healthcheck` asks by itself");
    let commands = ["gateway", "admin", "migrate"].map(|name| list(&compose["services"][name]["command"]));
    for mut line in commands.into_iter().chain([health[2..].to_vec()]) {
        line.push("--help");
        run::keygate(root(), &line, "").expect_success();
    }
    for (name, service) in services(&compose) {
        for volume in list(&service["volumes"]).iter().filter(|volume| volume.starts_with('.')) {
            let file = root().join(FOLDER).join(volume.split(':').next().unwrap());
            assert!(file.exists(), "{name} mounts {}", file.display());
        }
    }
}

/// What the containers do one after the other, each with the script, config and secret that it mounts.
#[test]
fn its_parts_bring_up_a_database_in_which_each_role_may_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["prepare", "passwords.sh", "rights.sh"] {
        fs::copy(root().join(FOLDER).join(name), at(name)).unwrap();
    }
    run::run(&mut Command::new(at("prepare")), "").expect_success();
    let first = fs::read(at("secrets/owner-password")).unwrap();
    run::run(&mut Command::new(at("prepare")), "").expect_success();
    assert_eq!(fs::read(at("secrets/owner-password")).unwrap(), first, "a password is made once");
    assert_eq!(fs::metadata(at("secrets")).unwrap().permissions().mode() & 0o777, 0o700);

    let server = Postgres::start();
    server.psql("postgres", "CREATE DATABASE keygate");
    let roles = root().join("deploy/postgres/roles.sql");
    psql_file(&server, "postgres", "keygate", &roles).expect_success();
    let on_server = |command: &mut Command| {
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", server.port().to_string())
            .env("PGSSLMODE", "disable");
        run::run(command, "")
    };
    let mut passwords = Command::new(at("passwords.sh"));
    passwords.env("SECRETS", at("secrets")).env("POSTGRES_USER", "postgres").env("POSTGRES_DB", "keygate");
    on_server(&mut passwords).expect_success();
    let with_password =
        "SELECT count(*) FROM pg_authid WHERE rolname LIKE 'keygate%' AND rolpassword LIKE 'SCRAM%'";
    assert_eq!(server.psql("keygate", with_password), "3");

    let config = read(&format!("{FOLDER}/config/keygate.yaml"))
        .replace("@database/", &format!("@127.0.0.1:{}/", server.port()))
        .replace("/run/secrets/database-password", at("database-password").to_str().unwrap());
    fs::write(at("keygate.yaml"), config).unwrap();
    let keygate = |role: &str, arguments: &[&str]| {
        fs::copy(at(&format!("secrets/{role}-password")), at("of-role")).unwrap();
        fs::rename(at("of-role"), at("database-password")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        command.args(arguments).env("DATABASE_ROLE", format!("keygate_{role}")).current_dir(folder.path());
        run::run(&mut command, "")
    };
    keygate("owner", &["migrate", "--config", "keygate.yaml"]).expect_success();
    let mut rights = Command::new(at("rights.sh"));
    rights.env("SECRETS", folder.path()).env("DATABASE_HOST", "127.0.0.1").env("ROLES", &roles);
    assert_eq!(on_server(&mut rights).expect_success().stderr, "");
    let checked = keygate("gateway", &["check", "--config", "keygate.yaml"]).expect_success();
    assert!(checked.stdout.contains("ok: 1 route"), "{checked:?}");
    let create = ["keys", "create", "--name", "My first key", "--scope", "read", "--all-projects"];
    assert!(keygate("gateway", &create).stderr.contains("this role may not do that"));
    let made = keygate("admin", &create).expect_success();
    assert!(made.stdout.starts_with("kg_live_"), "{made:?}");
}
