//! Every file of `tests/wrong/keys` is refused with what stands in its `# expect:` lines: `LINE:COLUMN message | remedy`.

use std::fs;
use std::path::{Path, PathBuf};

use keygate::keys::{build::KeyPolicy, caps::RoleCaps, secret::Brand};
use keygate::policy::{plan::Plans, scope::Scopes};
use keygate::store::{
    file::FileProblem,
    key_files::{KeyFiles, Location, Moment},
    read::ReadOptions,
};

#[test]
fn every_wrong_key_file_is_refused_with_place_and_remedy() {
    let mut wrong = Vec::new();
    for path in corpus() {
        let expected = expectations(&path);
        let found: Vec<_> = problems(&path).iter().map(told).collect();
        if expected != found {
            wrong.push(format!("{}:\n# expect: {}", path.display(), found.join("\n# expect: ")));
        }
    }
    assert!(corpus().len() >= 50);
    assert!(
        wrong.is_empty(),
        "files with other problems than expected, and what they are:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_problem_shows_what_stands_in_place_of_a_digest() {
    let told: String =
        corpus().iter().flat_map(|path| problems(path)).map(|problem| problem.to_string()).collect();
    for secret in ["kg_live_", "abababab", "cdcdcdcd"] {
        assert!(!told.contains(secret));
    }
}

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrong/keys");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn expectations(path: &Path) -> Vec<String> {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    text.lines().filter_map(|line| line.strip_prefix("# expect: ")).map(str::to_owned).collect()
}

fn told(problem: &FileProblem) -> String {
    let place = problem.place.map_or_else(|| "-".to_owned(), |place| place.to_string());
    format!("{place} {} | {}", problem.message, problem.remedy)
}

fn problems(path: &Path) -> Vec<FileProblem> {
    let scopes = Scopes::default();
    let role_caps = RoleCaps::defaults(&scopes).unwrap();
    let brand = Brand::default();
    let policy =
        KeyPolicy { scopes: &scopes, role_caps: &role_caps, brand: &brand, plans: &Plans::default() };
    // A checkout may be writable by the group, which is told elsewhere.
    let mut files = KeyFiles::new(Location::File(path.to_owned()), ReadOptions::default());
    files.look_once(Moment { monotonic: keygate::clock::monotonic(), wall: jiff::Timestamp::UNIX_EPOCH });
    let resolution = files.resolve(&policy).unwrap();
    resolution.wrong.into_iter().flat_map(|source| source.problems).collect()
}
