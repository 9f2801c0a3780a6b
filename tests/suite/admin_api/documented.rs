//! Every answer is one that the description of the API has: schemathesis asks what it can think of.

use std::{fs, path::Path};

use super::{Who, World};
use crate::harness::run::python;

#[test]
fn generated_requests_get_documented_answers() {
    let world = World::sqlite();
    let Who::Key(secret) = world.manager("olga") else { panic!("no key") };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}", world.gate.address("admin"));
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/openapi.json");
    let report = folder.path().join("report.txt");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/admin_api/schemathesis.py");
    let run =
        python([script.as_os_str(), document.as_os_str(), url.as_ref(), secret.as_ref(), report.as_os_str()]);
    let told = fs::read_to_string(&report).unwrap_or_default();
    assert_eq!(run.code, Some(0), "{}\n{}\n{told}", run.stdout, run.stderr);
    assert!(!world.gate.output().contains("panicked"));
}
