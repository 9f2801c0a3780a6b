//! A folder whose `keygate` commands work on a store of one kind: key files with a configuration, SQLite, or PostgreSQL.

use std::{fs, process::Command};

use keygate::store::{database_url::DatabaseUrl, sql};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    Postgres,
    run::{Run, run},
};

const CONFIG: &str = "\
version: 1
listen: {address: 127.0.0.1:0}
upstreams: {api: {url: http://127.0.0.1:9}}
keys: {file: keys.yaml}
state: state
routes:
  - path: /
    methods: {GET: read}
";

/// See the module.
pub(crate) struct StorePlace {
    pub(crate) folder: TempDir,
    /// `None`: key files.
    pub(crate) url: Option<String>,
}

impl StorePlace {
    /// An empty key file with a `state:` folder.
    pub(crate) fn key_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("keygate.yaml"), CONFIG).unwrap();
        fs::write(folder.path().join("keys.yaml"), "version: 1\ncount: 0\nkeys: []\n").unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        Self { folder, url: None }
    }

    /// An empty SQLite database.
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("keys.db").display());
        Self { folder, url: Some(migrated(url)) }
    }

    /// An empty database of `server`.
    pub(crate) fn postgres(server: &Postgres) -> Self {
        let url = migrated(server.create_database());
        Self { folder: tempfile::tempdir().unwrap(), url: Some(url) }
    }

    /// `keygate ARGUMENTS…`, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        command.current_dir(self.folder.path()).args(arguments).env_remove("KEYGATE_DATABASE");
        command.envs(self.url.iter().map(|url| ("KEYGATE_DATABASE", url)));
        command
    }

    /// `keygate ARGUMENTS…`
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, "")
    }

    /// As [`StorePlace::run`], with `input` as standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Run {
        run(&mut self.command(arguments), input)
    }

    /// What `keygate ARGUMENTS… --output json` answers.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let done = self.run(&[arguments, &["--output", "json"]].concat()).expect_success();
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", done.stdout))
    }
}

/// Runs `test` on an empty store of each kind.
pub(crate) fn on_every_store(test: impl Fn(&StorePlace)) {
    test(&StorePlace::key_file());
    test(&StorePlace::sqlite());
    test(&StorePlace::postgres(&Postgres::start()));
}

fn migrated(url: String) -> String {
    let parsed = DatabaseUrl::parse(&url).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(sql::migrate(&parsed, false)).unwrap();
    url
}
