//! When a content is taken, and that no bytes make it panic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::{
    keys::{caps::RoleCaps, secret::Brand},
    policy::{plan::Plans, scope::Scopes},
    store::file::parse_key_file,
};

const KEY: &str = "hash: sha256:abababababababababababababababababababababababababababababababab, scopes: [], projects: all, \
                   expires_at: never";

fn resolve(files: &KeyFiles) -> Resolution {
    let scopes = Scopes::default();
    let role_caps = RoleCaps::defaults(&scopes).unwrap();
    let brand = Brand::default();
    files
        .resolve(&KeyPolicy {
            scopes: &scopes,
            role_caps: &role_caps,
            brand: &brand,
            plans: &Plans::default(),
        })
        .unwrap()
}

fn keys(files: &mut KeyFiles) -> Option<usize> {
    let resolution = resolve(files);
    files.accept(&resolution);
    resolution.snapshot.map(|snapshot| snapshot.table().len())
}

/// A file that was written just now, and moments after.
struct Scene {
    _folder: tempfile::TempDir,
    path: PathBuf,
    files: KeyFiles,
    start: Moment,
}

impl Scene {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.yaml");
        fs::write(&path, text).unwrap();
        let files = KeyFiles::new(Location::File(path.clone()), ReadOptions::default());
        let written = Stamp::at(&path).unwrap().modified_ms();
        let wall = Timestamp::from_millisecond(written).unwrap();
        let start = Moment { monotonic: crate::clock::monotonic(), wall };
        Self { _folder: folder, path, files, start }
    }

    fn look(&mut self, after_ms: u64) -> Look {
        let after = Duration::from_millis(after_ms);
        let moment = Moment { monotonic: self.start.monotonic + after, wall: self.start.wall + after };
        self.files.look(moment)
    }
}

#[test]
fn without_a_count_a_content_is_taken_once_it_stood_still() {
    let mut scene = Scene::new("version: 1\nkeys: []\n");
    let wait = |ms| Look { changed: false, again_in: Some(Duration::from_millis(ms)) };
    assert_eq!(scene.look(0), wait(200));
    assert_eq!(scene.look(150), wait(50));
    fs::write(&scene.path, format!("version: 1\nkeys:\n- {{id: a, {KEY}}}\n")).unwrap();
    assert_eq!(scene.look(160), wait(200));
    assert_eq!(keys(&mut scene.files), None);
    assert!(scene.look(360).changed);
    assert_eq!(keys(&mut scene.files), Some(1));
    for later in [400, 5_000, 10_000, 20_000] {
        assert_eq!(scene.look(later), Look { changed: false, again_in: None });
    }
}

#[test]
fn a_start_does_not_wait_for_a_file_that_stood_still_before() {
    let mut scene = Scene::new("version: 1\nkeys: []\n");
    scene.start.wall += Duration::from_millis(200);
    assert!(scene.look(0).changed);
}

#[test]
fn a_count_above_keys_that_end_whole_shows_that_nothing_is_missing() {
    let key = KEY.replace(", ", "\n  ");
    let cases = [
        (format!("version: 1\ncount: 1\nkeys:\n- id: a\n  {key}\n"), true),
        (format!("version: 1\ncount: 1\nkeys:\n- {{id: a, {KEY}}}\n"), true),
        ("version: 1\ncount: 0\nkeys: []\n".to_owned(), true),
        (format!("version: 1\nkeys:\n- id: a\n  {key}\n"), false),
        // What stands after the last required field could be cut off unseen.
        (format!("version: 1\ncount: 1\nkeys:\n- id: a\n  {key}\n  name: x\n"), false),
        (format!("version: 1\ncount: 1\nkeys:\n- id: a\n  {key}\npeople: []\n"), false),
    ];
    for (text, at_once) in cases {
        let mut scene = Scene::new(&text);
        assert_eq!(scene.look(0).changed, at_once, "{text}");
        assert!(scene.look(200).changed || at_once, "{text}");
        assert!(keys(&mut scene.files).is_some(), "{text}");
    }
}

#[test]
fn a_file_that_is_written_twice_within_a_tick_is_read_again() {
    let mut scene = Scene::new("version: 1\nkeys: []\n");
    scene.look(0);
    assert!(scene.look(200).changed);
    let modified = fs::metadata(&scene.path).unwrap().modified().unwrap();
    fs::write(&scene.path, "version: 1\nkeys: {}\n").unwrap();
    fs::File::options().write(true).open(&scene.path).unwrap().set_modified(modified).unwrap();
    assert!(scene.look(300).again_in.is_some());
}

proptest! {
    #[test]
    fn any_bytes_are_a_key_file_or_told_wrong(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Err(wrong) = parse_key_file(Path::new("keys.yaml"), &bytes, &Limits::default()) {
            prop_assert!(!wrong.problems.is_empty());
        }
    }

    #[test]
    fn any_cut_or_changed_key_file_is_one_or_told_wrong(at in 0usize..400, with in "[ -~\n]{0,6}", cut in 0usize..400) {
        let good = format!("version: 1\norganizations: [{{id: o, projects: [p]}}]\npeople:\n- {{id: a, email: a@b, role: owner, \
                            projects: [p]}}\nkeys:\n- id: a\n  owner: a\n  labels: {{x: y}}\n  addresses: [::1]\n  {}\n", KEY.replace(", ", "\n  "));
        let mut text = good.clone();
        let at = at.min(text.len());
        text.replace_range(at..(at + with.len()).min(good.len()), &with);
        text.truncate(cut.max(at));
        match parse_key_file(Path::new("keys.yaml"), text.as_bytes(), &Limits::default()) {
            Ok(file) => prop_assert!(file.keys.len() <= 1),
            Err(wrong) => {
                prop_assert!(!wrong.problems.is_empty());
                prop_assert!(wrong.problems.iter().all(|problem| !problem.to_string().contains("abababababab")));
            }
        }
    }
}
