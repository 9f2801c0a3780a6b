//! Reloads on real files: what a change brings into force, what it does not, and that nothing else moves.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use keygate::clock::SystemClock;
use keygate::control::{
    config_file::ConfigFile,
    reload::{Reloader, ReloaderParts},
    reload_thread::ReloadThread,
    report::Report,
};
use keygate::keys::digest::KeyDigest;
use keygate::live::{Live, Published};
use keygate::policy::reason::Reason;
use keygate::telemetry::{
    audit::AuditLog,
    metrics::{BuildInfo, Metrics},
};
use tempfile::TempDir;

use crate::harness::GUARD;

/// The secret of the key `id` is its id.
struct Key {
    id: &'static str,
    more: &'static str,
}

const fn key(id: &'static str) -> Key {
    Key { id, more: "" }
}

const fn revoked(id: &'static str) -> Key {
    Key { id, more: "revoked_at: 2026-01-01T00:00:00Z, revoked_reason: leaked, " }
}

fn key_lines(keys: &[Key]) -> String {
    let line = |Key { id, more }: &Key| {
        let hash = KeyDigest::of(id.as_bytes()).to_text();
        format!("  - {{id: {id}, hash: '{hash}', scopes: [read], projects: all, {more}expires_at: never}}\n")
    };
    keys.iter().map(line).collect()
}

fn key_file(keys: &[Key]) -> String {
    if keys.is_empty() {
        "version: 1\nkeys: []\n".into()
    } else {
        format!("version: 1\nkeys:\n{}", key_lines(keys))
    }
}

/// A folder with `keygate.yaml`, which nothing but an event makes look again within the test.
struct Folder {
    folder: TempDir,
    source: &'static str,
}

impl Folder {
    fn new(source: &'static str) -> Self {
        let folder = Self { folder: tempfile::tempdir().unwrap(), source };
        folder.write("keygate.yaml", &folder.config(""));
        folder
    }

    fn config(&self, more: &str) -> String {
        format!(
            "version: 1\nlisten: {{address: 127.0.0.1:0}}\nhealth: null\nadmin: null\nupstreams: {{api: {{url: 'http://127.0.0.1:9'}}}}\n\
             keys: {{{}}}\npoll: 1h\nroutes:\n  - {{path: '/{{*rest}}', methods: {{'*': read}}}}\n{more}",
            self.source
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// In place.
    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    /// Beside, and renamed over it.
    fn replace(&self, name: &str, text: &str) {
        self.write(".new", text);
        fs::rename(self.path(".new"), self.path(name)).unwrap();
    }

    fn reloader(&self) -> (Reloader, Report) {
        let mut config_file = ConfigFile::new(self.path("keygate.yaml"), "keygate-test".into());
        let config = config_file.load().result.unwrap();
        let build = BuildInfo { version: "0", revision: "0", target: "test" };
        let metrics = Metrics::new(build, Timestamp::now());
        let audit = Arc::new(AuditLog::to_file(&self.path("audit.jsonl")).unwrap());
        let clock = Box::new(SystemClock);
        Reloader::start(ReloaderParts {
            config_file,
            config,
            certificates: Vec::new(),
            metrics,
            audit,
            clock,
        })
        .unwrap()
    }

    fn audit(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.path("audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// What the gateway says to a secret: `ok`, or the code of the refusal.
fn verdict(published: &Published, secret: &str) -> &'static str {
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let Some(keys) = &published.keys else { return "no keys" };
    keys.authenticate(secret.as_bytes(), Timestamp::now(), client)
        .map_or_else(|refused| refused.reason.code(), |_| "ok")
}

fn verdicts<const N: usize>(live: &Live, secrets: [&str; N]) -> [&'static str; N] {
    let published = live.current();
    secrets.map(|secret| verdict(&published, secret))
}

/// Waits until a revision above `revision` is published.
fn next_revision(live: &Live, revision: u64) -> u64 {
    let started = Instant::now();
    loop {
        let current = live.current().revision;
        if current > revision {
            return current;
        }
        assert!(started.elapsed() < GUARD, "no revision after {revision}");
        std::thread::yield_now();
    }
}

fn codes() -> [&'static str; 3] {
    ["ok", Reason::KeyUnknown.code(), Reason::KeyRevoked.code()]
}

/// Starts with key `a`, does `change`, and expects that key `b` is in force in its place, heard by the watcher alone.
#[track_caller]
fn is_heard(folder: &Folder, change: impl FnOnce(&Folder)) {
    let [ok, unknown, _] = codes();
    let (reloader, report) = folder.reloader();
    assert_eq!(report.wrong, []);
    let live = reloader.live().clone();
    let _thread = watched(reloader);
    assert_eq!(verdicts(&live, ["a", "b"]), [ok, unknown]);
    change(folder);
    let revision = next_revision(&live, 1);
    assert_eq!((revision, verdicts(&live, ["a", "b"])), (2, [unknown, ok]));
}

/// A running reloader whose watches are set: what it was asked came after.
fn watched(reloader: Reloader) -> ReloadThread {
    let thread = ReloadThread::spawn(reloader).unwrap();
    thread.handle().reload().unwrap();
    thread
}

#[test]
fn a_renamed_file_is_heard() {
    let folder = Folder::new("file: keys.yaml");
    folder.write("keys.yaml", &key_file(&[key("a")]));
    is_heard(&folder, |folder| folder.replace("keys.yaml", &key_file(&[key("b")])));
}

#[test]
fn a_file_written_in_place_is_heard() {
    let folder = Folder::new("file: keys.yaml");
    folder.write("keys.yaml", &key_file(&[key("a")]));
    is_heard(&folder, |folder| folder.write("keys.yaml", &key_file(&[key("b")])));
}

#[test]
fn a_file_that_was_gone_is_heard() {
    let folder = Folder::new("file: conf/keys.yaml");
    folder.write("conf/keys.yaml", &key_file(&[key("a")]));
    is_heard(&folder, |folder| {
        fs::remove_dir_all(folder.path("conf")).unwrap();
        folder.write("conf/keys.yaml", &key_file(&[key("b")]));
    });
}

#[test]
fn the_target_of_a_link_is_heard() {
    let folder = Folder::new("file: keys.yaml");
    folder.write("elsewhere/real.yaml", &key_file(&[key("a")]));
    symlink("elsewhere/real.yaml", folder.path("keys.yaml")).unwrap();
    is_heard(&folder, |folder| folder.replace("elsewhere/real.yaml", &key_file(&[key("b")])));
}

/// A mounted `ConfigMap`: `keys.yaml` → `..data/keys.yaml`, `..data` → a folder of this version.
fn mount(folder: &Folder, at: &str, version: &str, text: &str) {
    folder.write(&format!("{at}/..{version}/keys.yaml"), text);
    symlink(format!("..{version}"), folder.path(&format!("{at}/..data_tmp"))).unwrap();
    fs::rename(folder.path(&format!("{at}/..data_tmp")), folder.path(&format!("{at}/..data"))).unwrap();
    if !folder.path(&format!("{at}/keys.yaml")).is_symlink() {
        symlink("..data/keys.yaml", folder.path(&format!("{at}/keys.yaml"))).unwrap();
    }
}

#[test]
fn a_swap_of_a_mounted_config_map_is_heard() {
    for source in ["file: mnt/keys.yaml", "directory: mnt"] {
        let folder = Folder::new(source);
        mount(&folder, "mnt", "2026_1", &key_file(&[key("a")]));
        is_heard(&folder, |folder| {
            mount(folder, "mnt", "2026_2", &key_file(&[key("b")]));
            fs::remove_dir_all(folder.path("mnt/..2026_1")).unwrap();
        });
    }
}

#[test]
fn a_replaced_folder_is_heard() {
    let folder = Folder::new("directory: keys.d");
    folder.write("keys.d/a.yaml", &key_file(&[key("a")]));
    is_heard(&folder, |folder| {
        folder.write("new.d/b.yaml", &key_file(&[key("b")]));
        fs::rename(folder.path("keys.d"), folder.path("old.d")).unwrap();
        fs::rename(folder.path("new.d"), folder.path("keys.d")).unwrap();
    });
}

#[test]
fn a_wrong_file_leaves_the_last_good_in_force_and_says_why() {
    let good = key_file(&[key("a")]);
    let cases: BTreeMap<&str, &dyn Fn(&Path)> = BTreeMap::from([
        ("empty", (&|path: &Path| fs::write(path, "").unwrap()) as &dyn Fn(&Path)),
        ("cut", &|path| fs::write(path, "version: 1\nkeys:\n  - {id: b, ha").unwrap()),
        ("gone", &|path| fs::remove_file(path).unwrap()),
        ("a folder", &|path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("not UTF-8", &|path| fs::write(path, b"version: 1 # \xff\nkeys: []\n").unwrap()),
        ("a link to nothing", &|path| {
            fs::remove_file(path).unwrap();
            symlink("nowhere", path).unwrap();
        }),
    ]);
    for (name, spoil) in cases {
        let folder = Folder::new("file: keys.yaml");
        folder.write("keys.yaml", &good);
        let (mut reloader, _) = folder.reloader();
        spoil(&folder.path("keys.yaml"));
        let report = reloader.reload_now();
        assert_eq!((report.revision, report.is_new), (1, false), "{name}");
        assert_eq!(report.wrong.len(), 1, "{name}: {report:?}");
        assert!(report.wrong[0].problems[0].contains("keys.yaml:"), "{name}: {report:?}");
        assert_eq!(verdicts(reloader.live(), ["a"]), ["ok"], "{name}");
        let refused: Vec<_> =
            folder.audit().into_iter().filter(|line| line["event"] == "reload_refused").collect();
        assert_eq!(refused.len(), 1, "{name}: told once");

        let path = folder.path("keys.yaml");
        let _ = fs::remove_dir(&path);
        let _ = fs::remove_file(&path);
        folder.write("keys.yaml", &key_file(&[key("b")]));
        let report = reloader.reload_now();
        assert_eq!((report.revision, report.wrong.len()), (2, 0), "{name}: {report:?}");
    }
}

#[test]
fn the_audit_log_says_what_is_in_force_and_what_it_changed() {
    let folder = Folder::new("file: keys.yaml");
    folder.write("keys.yaml", &key_file(&[key("a"), key("b"), key("c")]));
    let (mut reloader, _) = folder.reloader();
    folder.replace("keys.yaml", &key_file(&[key("a"), revoked("b"), key("d")]));
    reloader.reload_now();
    let line = folder.audit().pop().unwrap();
    assert_eq!(
        (&line["event"], &line["revision"], &line["keys"]),
        (&"reload_applied".into(), &2.into(), &3.into())
    );
    assert_eq!((&line["added"], &line["removed"], &line["revoked"]), (&1.into(), &1.into(), &1.into()));
}

#[test]
fn a_wrong_config_stays_out_and_holds_up_no_key() {
    let folder = Folder::new("file: keys.yaml");
    folder.write("keys.yaml", &key_file(&[key("a")]));
    let (mut reloader, _) = folder.reloader();
    folder.write("keygate.yaml", "version: 1\nlisten: nonsense\n");
    folder.replace("keys.yaml", &key_file(&[revoked("a"), key("b")]));
    let report = reloader.reload_now();
    assert_eq!(report.revision, 2);
    assert_eq!(verdicts(reloader.live(), ["a", "b"]), ["key_revoked", "ok"]);
    assert!(report.wrong.len() == 1 && report.wrong[0].source.ends_with("keygate.yaml"), "{report:?}");

    folder.write("keygate.yaml", &folder.config("insufficient_scope: not_found\n"));
    let report = reloader.reload_now();
    assert_eq!((report.revision, report.wrong.len()), (3, 0), "{report:?}");
    assert!(reloader.live().current().config.policy.hide_insufficient_scope);
}

const MORE_SCOPES: &str = "scopes: {read: , write: {implies: read}, admin: {implies: write}, deploy: }\n";

#[test]
fn config_and_keys_that_need_each_other_come_into_force_in_either_order() {
    let deploys = key_file(&[key("a")]).replace("[read]", "[deploy]");
    for config_first in [true, false] {
        let folder = Folder::new("file: keys.yaml");
        folder.write("keys.yaml", &key_file(&[key("a")]));
        let (mut reloader, _) = folder.reloader();
        let mut steps: [&dyn Fn(); 2] =
            [&|| folder.write("keygate.yaml", &folder.config(MORE_SCOPES)), &|| {
                folder.replace("keys.yaml", &deploys);
            }];
        if !config_first {
            steps.reverse();
        }
        steps[0]();
        let between = reloader.reload_now();
        assert_eq!(between.wrong.len(), usize::from(!config_first), "{between:?}");
        steps[1]();
        let report = reloader.reload_now();
        assert_eq!((report.wrong.len(), verdicts(reloader.live(), ["a"])), (0, ["ok"]), "{report:?}");
        assert!(reloader.live().current().config.policy.scopes.get("deploy").is_some());

        // And no config that would make keys wrong which are in force.
        let before = report.revision;
        folder.write("keygate.yaml", &folder.config(""));
        let report = reloader.reload_now();
        assert_eq!(report.revision, before);
        assert!(report.wrong[0].source.ends_with("keygate.yaml"), "{report:?}");
        assert!(report.wrong[0].problems.iter().any(|problem| problem.contains("deploy")), "{report:?}");
    }
}

#[test]
fn what_needs_a_restart_is_named_and_stays() {
    let folder = Folder::new("file: keys.yaml");
    folder.write("keys.yaml", &key_file(&[key("a")]));
    let (mut reloader, _) = folder.reloader();
    let before = reloader.live().current();
    folder.write("keygate.yaml", &folder.config("workers: 7\n").replace("127.0.0.1:0", "127.0.0.1:1"));
    let report = reloader.reload_now();
    for name in ["`listen`", "`workers`"] {
        assert!(report.warnings.iter().any(|warning| warning.contains(name)), "{report:?}");
    }
    let after = reloader.live().current();
    assert_eq!((after.revision, &after.config.listeners), (2, &before.config.listeners));
}

#[test]
fn a_revocation_cannot_be_undone_by_the_file_not_even_after_a_restart() {
    for state in ["", "state: state\n"] {
        let folder = Folder::new("file: keys.yaml");
        folder.write("keygate.yaml", &folder.config(state));
        folder.write("keys.yaml", &key_file(&[revoked("a"), key("b")]));
        let (mut reloader, _) = folder.reloader();
        assert_eq!(verdicts(reloader.live(), ["a", "b"]), ["key_revoked", "ok"]);
        folder.replace("keys.yaml", &key_file(&[key("a"), key("b")]));
        let report = reloader.reload_now();
        assert_eq!(verdicts(reloader.live(), ["a", "b"]), ["key_revoked", "ok"]);
        assert_eq!(report.undone, ["a"], "{report:?}");
        assert!(report.warnings.iter().any(|warning| warning.contains("stay refused")), "{report:?}");
        assert_eq!(folder.audit().last().unwrap()["event"], "revocations_undone_refused");

        drop(reloader);
        let (reloader, report) = folder.reloader();
        let kept = !state.is_empty();
        assert_eq!(verdicts(reloader.live(), ["a"]), [if kept { "key_revoked" } else { "ok" }]);
        assert_eq!(report.undone.len(), usize::from(kept));
    }
}

#[test]
fn a_deleted_entry_stops_at_once_and_may_be_put_back() {
    let folder = Folder::new("file: keys.yaml");
    folder.write("keys.yaml", &key_file(&[key("a"), key("b")]));
    let (mut reloader, _) = folder.reloader();
    for (keys, expected) in
        [(&[key("b")][..], ["key_unknown", "ok"]), (&[key("a"), key("b")][..], ["ok", "ok"])]
    {
        folder.replace("keys.yaml", &key_file(keys));
        reloader.reload_now();
        assert_eq!(verdicts(reloader.live(), ["a", "b"]), expected);
    }
}

#[test]
fn revocations_of_a_wrong_file_take_effect_and_nothing_else_of_it() {
    let folder = Folder::new("file: keys.yaml");
    folder.write("keys.yaml", &key_file(&[key("a"), key("b")]));
    let (mut reloader, _) = folder.reloader();
    let wrong = key_file(&[revoked("a"), key("c")]) + "colour: red\n";
    folder.replace("keys.yaml", &wrong);
    let report = reloader.reload_now();
    assert_eq!(verdicts(reloader.live(), ["a", "b", "c"]), ["key_revoked", "ok", "key_unknown"]);
    assert_eq!((report.revision, &report.revoked_by_wrong_files[..]), (2, &["a".to_owned()][..]));
    let events: Vec<_> = folder.audit().into_iter().map(|line| line["event"].clone()).collect();
    assert!(
        events.contains(&"revocations_applied".into()) && events.contains(&"reload_refused".into()),
        "{events:?}"
    );

    // Nor does the next wrong file, which marks nothing, bring the key back.
    folder.replace("keys.yaml", "version: 1\nkeys: [\n");
    let report = reloader.reload_now();
    assert_eq!((verdicts(reloader.live(), ["a", "b"]), report.undone.len()), (["key_revoked", "ok"], 0));
}

#[test]
fn files_of_a_folder_stand_for_themselves() {
    let folder = Folder::new("directory: keys.d");
    folder.write("keys.d/a.yaml", &key_file(&[key("a")]));
    folder.write("keys.d/b.yaml", &key_file(&[key("b")]));
    folder.write("keys.d/.hidden.yaml", "nonsense");
    folder.write("keys.d/notes.txt", "nonsense");
    let (mut reloader, report) = folder.reloader();
    assert_eq!(report.wrong, []);
    let mut after = |name: &str, change: &dyn Fn(), expected: [&str; 3], wrong: &[&str]| {
        change();
        let report = reloader.reload_now();
        assert_eq!(verdicts(reloader.live(), ["a", "b", "c"]), expected, "{name}: {report:?}");
        let sources: Vec<_> =
            report.wrong.iter().map(|wrong| wrong.source.rsplit('/').next().unwrap()).collect();
        assert_eq!(sources, wrong, "{name}: {report:?}");
        report
    };
    let (ok, unknown) = ("ok", "key_unknown");
    after(
        "wrong beside new",
        &|| {
            folder.replace("keys.d/a.yaml", "version: 1\n");
            folder.replace("keys.d/c.yaml", &key_file(&[key("c")]));
        },
        [ok, ok, ok],
        &["a.yaml"],
    );
    after(
        "removed while wrong",
        &|| fs::remove_file(folder.path("keys.d/a.yaml")).unwrap(),
        [unknown, ok, ok],
        &[],
    );
    let report = after(
        "taken by another file",
        &|| folder.replace("keys.d/d.yaml", &key_file(&[key("b")])),
        [unknown, ok, ok],
        &["d.yaml"],
    );
    let problem = &report.wrong[0].problems[0];
    assert!(
        problem.contains("d.yaml:3:10: key b: this id is taken already (first at ")
            && problem.contains("b.yaml:3:10)"),
        "{problem}"
    );
    after(
        "no file left",
        &|| {
            for name in ["b", "c", "d"] {
                fs::remove_file(folder.path(&format!("keys.d/{name}.yaml"))).unwrap();
            }
        },
        [unknown, ok, ok],
        &["keys.d", "d.yaml"],
    );
    after(
        "no folder left",
        &|| fs::remove_dir_all(folder.path("keys.d")).unwrap(),
        [unknown, ok, ok],
        &["keys.d", "d.yaml"],
    );
    after(
        "back again",
        &|| folder.write("keys.d/a.yaml", &key_file(&[key("a")])),
        [ok, unknown, unknown],
        &[],
    );
}

#[test]
fn people_may_stand_in_a_file_of_their_own_and_stay_while_they_are_needed() {
    let folder = Folder::new("directory: keys.d");
    folder.write("keys.d/keys.yaml", &key_file(&[Key { id: "a", more: "owner: ada, " }]));
    folder.write(
        "keys.d/people.yaml",
        "version: 1\npeople: [{id: ada, email: ada@example.com, role: viewer}]\nkeys: []\n",
    );
    let (mut reloader, report) = folder.reloader();
    assert_eq!((report.wrong.len(), verdicts(reloader.live(), ["a"])), (0, ["ok"]), "{report:?}");
    fs::remove_file(folder.path("keys.d/people.yaml")).unwrap();
    let report = reloader.reload_now();
    assert_eq!((report.wrong.len(), verdicts(reloader.live(), ["a"])), (1, ["ok"]), "{report:?}");
    folder.write(
        "keys.d/people.yaml",
        "version: 1\npeople: [{id: ada, email: ada@example.com, role: viewer, disabled: true}]\nkeys: []\n",
    );
    let report = reloader.reload_now();
    assert_eq!(
        (report.wrong.len(), verdicts(reloader.live(), ["a"])),
        (0, ["key_owner_disabled"]),
        "{report:?}"
    );
}

#[test]
fn a_counted_file_cut_anywhere_gives_the_old_state_or_the_new() {
    let block = |id: &str| {
        let hash = KeyDigest::of(id.as_bytes()).to_text();
        format!(
            "  - id: {id}\n    hash: {hash}\n    scopes:\n      - read\n    projects: [alpha]\n    expires_at: never\n"
        )
    };
    let old = format!("version: 1\ncount: 1\nkeys:\n{}", block("a"));
    let new = format!("version: 1\ncount: 2\nkeys:\n{}{}", block("b"), block("c"));
    let folder = Folder::new("file: keys.yaml");
    folder.write("keys.yaml", &old);
    let (mut reloader, _) = folder.reloader();
    for cut in 0..=new.len() {
        folder.write("keys.yaml", &new[..cut]);
        // Once as it is found, once after it stood still.
        reloader.look();
        let state = verdicts(reloader.live(), ["a", "b", "c"]);
        let is_old = state == ["ok", "key_unknown", "key_unknown"];
        let is_new = state == ["key_unknown", "ok", "ok"];
        assert!(if cut == new.len() { is_new } else { is_old }, "cut at {cut}: {state:?}");
    }
}
