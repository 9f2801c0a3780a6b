//! A legacy API is adopted without a surprise: routes that observe, what a log and a description of the API tell before.

mod coverage;
mod guide;
mod import;
mod observe;
mod replay;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::harness::run::{Run, keygate};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A folder with a configuration of these routes, and what a command says there.
struct Folder(TempDir);

impl Folder {
    fn with_routes(routes: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("keygate.yaml", &format!(
            "version: 1\nlisten: {{address: '127.0.0.1:0'}}\nupstreams: {{api: {{url: 'http://127.0.0.1:9'}}}}\n\
             keys: {{file: keys.yaml}}\n{routes}"
        ));
        folder.write("keys.yaml", "version: 1\nkeys: []\n");
        folder
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn keygate(&self, arguments: &[&str], input: &str) -> Run {
        keygate(self.0.path(), arguments, input)
    }

    fn json(&self, arguments: &[&str], input: &str) -> serde_json::Value {
        let run = self.keygate(&[arguments, &["--output", "json"]].concat(), input);
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
    }
}
