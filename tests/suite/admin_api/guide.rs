//! `docs/admin-api.md`: its lines are run as they stand.

use std::{fs, path::Path, process::Command};

use super::{Who, World};
use crate::harness::run::run;

#[test]
fn the_lines_of_the_guide_do_what_it_says() {
    let world = World::sqlite();
    let Who::Key(secret) = world.manager("olga") else { panic!("no key") };
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/admin-api.md")).unwrap();
    let blocks: Vec<_> =
        page.split("\n```sh\n").skip(1).map(|block| block.split("\n```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 5);
    let mut shell = Command::new("bash");
    shell.args(["-euxo", "pipefail", "-c", &blocks.join("\necho\n")]).current_dir(world.place.folder.path());
    shell.env("KEYGATE_KEY", secret).env("NO_PROXY", "*");
    shell.env("ADMIN", format!("http://{}", world.gate.address("admin")));
    let done = run(&mut shell, "").expect_success();
    for expected in
        [r#""status":"revoked""#, "/invitation/", r#""disabled":true"#, r#""command":"keys rotate""#]
    {
        assert!(done.stdout.contains(expected), "no {expected} in\n{}", done.stdout);
    }
}
