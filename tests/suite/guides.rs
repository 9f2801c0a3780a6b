//! The guides: their commands are run as they stand, and do what the pages say.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::harness::{
    Upstream,
    run::{Run, run, test_tool},
};

/// The shell blocks of `page`, of the part under `heading`.
fn blocks(page: &str, heading: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = fs::read_to_string(page).unwrap();
    let part = text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}")).1;
    let part = part.split("\n## ").next().unwrap();
    let blocks = part.split("\n```sh\n").skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap().to_owned()).collect()
}

fn only_block(page: &str, heading: &str) -> String {
    let mut blocks = blocks(page, heading);
    assert_eq!(blocks.len(), 1, "{page} {heading}");
    blocks.remove(0)
}

fn shell(script: &str, folder: &Path) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_keygate"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", script]).current_dir(folder).env("PATH", path);
    shell.env_remove("KEYGATE_DATABASE").env("KEYGATE", program);
    shell
}

fn told(run: &Run) -> String {
    format!("{}{}", run.stdout, run.stderr)
}

/// A fleet of `deploy/fleet/try`, ended at the latest when this is dropped.
struct Fleet {
    home: PathBuf,
    // Dropped after what runs in it has ended.
    _folder: TempDir,
}

impl Fleet {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // PostgreSQL runs as another user where this one is root, and comes through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        Self { home: folder.path().join("fleet"), _folder: folder }
    }

    fn run(&self, line: &str) -> Run {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        run(shell(line, root).env("KEYGATE_FLEET", &self.home), "")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if self.home.exists() {
            self.run("deploy/fleet/try down");
        }
    }
}

#[test]
fn one_command_brings_up_three_replicas_and_one_shows_their_receipt() {
    let fleet = Fleet::new();
    let script = only_block("fleet.md", "## Try it");
    let lines: Vec<_> = script.lines().collect();
    assert_eq!(lines.len(), 3);
    let up = fleet.run(lines[0]).expect_success();
    assert!(up.stdout.starts_with("three replicas serve the keys of one PostgreSQL:"), "{}", told(&up));
    let again = fleet.run(lines[0]);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("is a fleet up already?"), "{}", again.stderr);
    let revoke = told(&fleet.run(lines[1]).expect_success());
    assert!(revoke.contains(" in force on 3/3 replicas, slowest "), "{revoke}");
    for replica in 1..=3 {
        for expected in [
            format!("before: replica {replica} answers 200"),
            format!("after: replica {replica} answers 401 key_revoked"),
        ] {
            assert!(revoke.contains(&expected), "no {expected:?} in\n{revoke}");
        }
    }
    fleet.run(lines[2]).expect_success();
    assert!(!fleet.home.exists());
}

#[test]
fn a_folder_that_is_no_fleet_is_left_alone() {
    let fleet = Fleet::new();
    fs::create_dir(&fleet.home).unwrap();
    let run = fleet.run("deploy/fleet/try down");
    assert_eq!(run.code, Some(1));
    assert!(fleet.home.exists());
    fs::remove_dir(&fleet.home).unwrap();
}

#[test]
fn the_page_about_limits_shows_one_plan_that_ends_and_one_that_goes_on() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let folder = tempfile::tempdir().unwrap();
    let block = only_block("limits.md", "## Try it");
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let script = format!("trap 'jobs -p | xargs -r kill; wait' EXIT\n{block}");
    let mut shell = shell(&script, folder.path());
    shell.env("API", upstream.url()).env("GATE", free()).env("HEALTH", free());
    let shown = told(&run(&mut shell, "").expect_success());
    assert_eq!(shown.matches("on trial: 200").count(), 3, "{shown}");
    for expected in [
        "on trial: 429",
        "\"code\":\"rate_limited\"",
        "a customer: 200",
        "\"pro\";q=300;w=1",
        "\"pro\";r=299;t=1",
    ] {
        assert!(shown.contains(expected), "no {expected} in {shown}");
    }
}

/// The set-up of the page about stores: its folder, and the id of its key.
fn sqlite() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let block = only_block("choosing-a-store.md", "## Try SQLite");
    let made = run(&mut shell(&block, folder.path()), "").expect_success();
    assert!(made.stdout.contains("My first key"), "{}", told(&made));
    let id = key_ids(folder.path()).remove(0);
    (folder, id)
}

fn key_ids(folder: &Path) -> Vec<String> {
    let listed = run(&mut shell("keygate keys list --output json", folder), "").expect_success();
    let keys: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    keys.as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_page_about_grpc_runs_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let python = test_tool("python");
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut guide = shell(&only_block("grpc.md", "## Try it"), folder.path());
    let path =
        guide.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path).unwrap().to_owned();
    guide.env("PATH", format!("{}:{}", python.parent().unwrap().display(), path.to_str().unwrap()));
    for name in ["GATE", "HEALTH", "SERVER"] {
        guide.env(name, free());
    }
    let said = run(&mut guide, "").expect_success();
    for expected in [
        "Hello Ada, says the server to first\n",
        "Hello Grace, says the server to first\n",
        "UNAUTHENTICATED ",
    ] {
        assert!(said.stdout.contains(expected), "no {expected:?} in\n{}", told(&said));
    }
    assert!(!said.stderr.contains("WARN"), "{}", said.stderr);
}

#[test]
fn a_leaked_key_is_found_revoked_and_replaced() {
    let (folder, id) = sqlite();
    let run_block =
        |block: &str, id: &str| run(&mut shell(&block.replace("ID", id), folder.path()), "").expect_success();
    let find = blocks("leaked-key.md", "## 1. Whose is it?");
    assert!(told(&run_block(&find[0], &id)).contains(&id));
    let secret = fs::read_to_string(folder.path().join("secret")).unwrap();
    let prefix: String = secret.chars().take("kg_live_7Qd3".len()).collect();
    assert!(run_block(&find[1].replace("acme_live_7Qd3", &prefix), &id).stdout.contains("My first key"));

    let stop = blocks("leaked-key.md", "## 2. Revoke it");
    assert!(told(&run_block(&stop[1], &id)).contains("kg_live_"), "rotated");
    assert!(told(&run_block(&stop[0], &id)).contains("was revoked"));
    let look = blocks("leaked-key.md", "## 4. What was done with it?");
    let seen = told(&run_block(&look[0], &id));
    for expected in ["in a public repository", "keys rotate", "keys create"] {
        assert!(seen.contains(expected), "no {expected:?} in\n{seen}");
    }
    run_block(&only_block("leaked-key.md", "## 5. A new one"), "");
    run_block(&look[1], "");
    assert_eq!(key_ids(folder.path()).len(), 2);
}

#[test]
fn a_backup_of_sqlite_is_whole_and_takes_a_revocation_back() {
    let (folder, id) = sqlite();
    let shown = |what: &str| {
        let run = run(&mut shell(&format!("keygate keys show {id}"), folder.path()), "").expect_success();
        assert!(told(&run).contains(what), "no {what:?} in\n{}", told(&run));
    };
    let parts = blocks("backup.md", "## SQLite");
    let backup = run(&mut shell(&parts[0], folder.path()), "").expect_success();
    assert_eq!(backup.stdout, "ok\n");
    run(&mut shell(&format!("keygate keys revoke {id}"), folder.path()), "").expect_success();
    shown("revoked");
    let restored = run(&mut shell(&parts[1], folder.path()), "").expect_success();
    assert!(restored.stdout.contains("active"), "{}", told(&restored));
    let again = blocks("backup.md", "## What a restore does to revocations").remove(0);
    run(&mut shell(&again.replace("ID", &id), folder.path()), "").expect_success();
    shown("revoked before the restore");
}

#[test]
fn keys_that_sign_are_set_up() {
    let (folder, _) = sqlite();
    let block = only_block("signed-identity.md", "## Set it up");
    let checked = run(&mut shell(&block, folder.path()), "").expect_success();
    assert!(checked.stdout.starts_with("ok: "), "{}", told(&checked));
    let mode = fs::metadata(folder.path().join("assertion-1.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "nobody else reads the key");
}

#[test]
fn keys_are_found_where_none_should_be() {
    let (setup, id) = sqlite();
    let secret = fs::read_to_string(setup.path().join("secret")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let scan = |block: &str| {
        let block = block.replace("--config ", &format!("--config {}/", setup.path().display()));
        run(&mut shell(&block, folder.path()), "")
    };
    run(
        &mut shell("git init -q && git config user.name a && git config user.email a@b.c", folder.path()),
        "",
    )
    .expect_success();
    let commit = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        run(&mut shell(&format!("git add {name} && git commit -q -m {name}"), folder.path()), "")
            .expect_success();
    };
    commit("clean", "nothing");
    let everywhere = blocks("finding-keys.md", "## Scan");
    for block in &everywhere {
        assert_eq!(scan(block).code, Some(0), "{block}");
    }
    commit("found", &secret);
    let scanned = scan(everywhere[0].lines().next().unwrap());
    assert_eq!(scanned.code, Some(4), "{}", told(&scanned));
    assert_eq!(scan(everywhere[0].lines().nth(1).unwrap()).code, Some(4));
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/finding-keys.md")).unwrap();
    let committed = page.split('`').find(|line| line.contains("git checkout-index")).unwrap();
    assert_eq!(scan(committed).code, Some(4), "{committed}");
    let known = scan(&everywhere[1]);
    assert!(
        known.code == Some(4) && known.stdout.contains(&id) && known.stdout.contains("active"),
        "{}",
        told(&known)
    );
    fs::write(folder.path().join("staged"), &secret).unwrap();
    run(&mut shell("git add staged", folder.path()), "").expect_success();
    scan(&only_block("finding-keys.md", "## In every commit")).expect_success();
    let stopped = run(&mut shell("git commit -q -m staged", folder.path()), "");
    assert!(stopped.code == Some(1) && told(&stopped).contains("1 key found"), "{}", told(&stopped));
    scan(&only_block("finding-keys.md", "## With the scanner that you have")).expect_success();
    assert!(fs::read_to_string(folder.path().join(".gitleaks.toml")).unwrap().contains("acme_live_"));
}
