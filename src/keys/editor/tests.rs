//! An edited snapshot says what a new one of the same records would.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    super::{
        build::SnapshotBuilder,
        caps::RoleCaps,
        checksum::KeySums,
        image::{self, ImageOf},
        record::{PlanName, PreviousSecret, Revocation},
        secret::Brand,
        tests::{at, key, org_id, organization, owned_by, person},
    },
    *,
};
use crate::policy::{
    plan::{Plan, Plans},
    principal::Role,
    project::ProjectSet,
    reason::Reason,
    scope::{ScopeDefinition, Scopes},
};

/// A config: the scopes, and what a viewer may.
#[derive(Debug, Clone)]
struct Rules {
    scopes: Scopes,
    caps: RoleCaps,
    brand: Brand,
    plans: Plans,
}

impl Rules {
    fn new(scopes: Scopes, viewers: &str) -> Self {
        let caps = RoleCaps::new(|role| match role {
            Role::Viewer => scopes.get(viewers).unwrap_or_default(),
            Role::Member | Role::Admin | Role::Owner => scopes.all(),
        });
        Self { scopes, caps, brand: Brand::default(), plans: Plans::default() }
    }

    fn policy(&self) -> KeyPolicy<'_> {
        KeyPolicy { scopes: &self.scopes, role_caps: &self.caps, brand: &self.brand, plans: &self.plans }
    }

    /// Four configs, of which some know what others do not and count bits in another order; the last fills them all.
    fn of(number: usize) -> Self {
        let define = |name: &str, implies: &[&str]| ScopeDefinition {
            name: name.into(),
            implies: implies.iter().map(ToString::to_string).collect(),
        };
        let definitions = match number % 4 {
            0 => return Self::new(Scopes::default(), "read"),
            1 => vec![define("audit", &["read"]), define("write", &[]), define("read", &[])],
            2 => vec![define("write", &["audit", "admin"]), define("audit", &[]), define("admin", &[])],
            _ => {
                let other = (0..62).map(|number| define(&format!("other{number}"), &[]));
                [define("audit", &["read"]), define("read", &[])].into_iter().chain(other).collect()
            }
        };
        Self::new(Scopes::build(&definitions).unwrap(), "read")
    }
}

/// The records of a database.
#[derive(Debug, Clone, Default)]
struct Records {
    organizations: Vec<Organization>,
    people: BTreeMap<String, Person>,
    keys: BTreeMap<String, KeyRecord>,
}

impl Records {
    fn load(&self, rules: &Rules) -> SnapshotEditor {
        let mut builder = SnapshotBuilder::new(&rules.policy(), 0);
        builder.organizations(&self.organizations);
        builder.people(&self.people.values().cloned().collect::<Vec<_>>());
        for key in self.keys.values() {
            builder.key(key);
        }
        builder.finish().unwrap().0
    }

    fn sums(&self) -> KeySums {
        let mut sums = KeySums::default();
        self.keys.values().for_each(|key| sums.add_record(key));
        sums
    }

    fn digests(&self) -> BTreeSet<KeyDigest> {
        let digests =
            |key: &KeyRecord| [Some(key.digest), key.previous.as_ref().map(|previous| previous.digest)];
        self.keys.values().flat_map(digests).flatten().collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Organizations(Vec<Organization>),
    Person(Person),
    Key(Box<KeyRecord>),
    Rotate(String, u16, i64),
    Remove(String),
}

impl Step {
    fn take(self, records: &mut Records) {
        match self {
            Self::Organizations(organizations) => records.organizations = organizations,
            Self::Person(person) => {
                records.people.insert(person.id.as_str().into(), person);
            }
            Self::Key(mut new) => {
                if let Some(old) = records.keys.get(new.id.as_str()) {
                    (new.digest, new.previous) = (old.digest, old.previous.clone());
                }
                records.keys.insert(new.id.as_str().into(), *new);
            }
            Self::Rotate(id, secret, until) => {
                let digest = KeyDigest::of(secret_of(&id, secret).as_bytes());
                if let Some(key) = records.keys.get_mut(&id).filter(|key| key.digest != digest) {
                    key.previous = Some(PreviousSecret { digest: key.digest, until: at(until) });
                    key.digest = digest;
                }
            }
            Self::Remove(id) => {
                records.keys.remove(&id);
            }
        }
    }
}

fn secret_of(id: &str, number: u16) -> String {
    format!("{id}-{number}")
}

fn some<T: Clone + std::fmt::Debug + 'static>(of: &[T]) -> impl Strategy<Value = T> + use<T> {
    prop::sample::select(of.to_vec())
}

fn projects() -> impl Strategy<Value = ProjectSet> {
    let lists: [&[&str]; 5] = [&[], &["alpha"], &["alpha", "beta"], &["gamma", "*"], &["a/b"]];
    prop_oneof![
        2 => Just(ProjectSet::All),
        5 => some(&lists).prop_map(|ids| ProjectSet::only(ids.iter().copied())),
        1 => (0..9000u32).prop_map(|number| ProjectSet::only([format!("p{number}")])),
    ]
}

fn organizations() -> impl Strategy<Value = Vec<Organization>> {
    let declared: [Option<&[&str]>; 4] = [None, Some(&["alpha"]), Some(&["beta", "alpha"]), Some(&["*"])];
    let one = |id: &'static str| some(&declared).prop_map(move |projects| organization(id, projects));
    (one("default"), one("acme"), one("globex"))
        .prop_flat_map(|(a, b, c)| prop::sample::subsequence(vec![a, b, c], 0..=3))
}

fn belongs_to() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![2 => Just(None), 3 => some(&["default", "acme", "globex", "nowhere"]).prop_map(Some)]
}

fn people() -> impl Strategy<Value = Person> {
    (some(&["ada", "bob", "eve"]), some(&Role::ALL), belongs_to(), projects(), any::<bool>()).prop_map(
        |(id, role, organization, projects, disabled)| Person {
            organization: organization.map(org_id),
            projects,
            disabled,
            ..person(id, role)
        },
    )
}

fn keys() -> impl Strategy<Value = KeyRecord> {
    let owner = prop_oneof![Just(None), some(&["ada", "bob", "eve", "ghost"]).prop_map(Some)];
    let scopes = prop::sample::subsequence(vec!["read", "write", "admin", "audit", "wirte"], 0..3);
    let times =
        (prop::option::of(0i64..10), prop::option::of(0i64..10), prop::option::weighted(0.2, 0i64..10));
    (some(&["k1", "k2", "k3", "k4"]), owner, belongs_to(), scopes, projects(), times).prop_map(
        |(id, owner, organization, scopes, projects, (start, end, revoked))| KeyRecord {
            owner: owner.map(owned_by),
            organization: organization.map(org_id),
            scopes: scopes.into_iter().map(Into::into).collect(),
            projects,
            not_before: start.map(at),
            expires_at: end.map(at),
            revoked: revoked.map(|second| Revocation { at: at(second), by: None, reason: None }),
            ..key(id, &secret_of(id, 0))
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = || some(&["k1", "k2", "k3", "k4"]).prop_map(String::from);
    let step = prop_oneof![
        2 => organizations().prop_map(Step::Organizations),
        4 => people().prop_map(Step::Person),
        8 => keys().prop_map(|key| Step::Key(Box::new(key))),
        3 => (id(), 0..4u16, 0i64..10).prop_map(|(id, secret, until)| Step::Rotate(id, secret, until)),
        1 => id().prop_map(Step::Remove),
    ];
    prop::collection::vec(step, 0..6)
}

/// One update, and what happens after.
#[derive(Debug, Clone)]
struct Turn {
    steps: Vec<Step>,
    restarts: bool,
    other_rules: Option<usize>,
}

fn changes() -> impl Strategy<Value = Vec<Turn>> {
    let change = (steps(), prop::bool::weighted(0.1), prop::option::weighted(0.2, 0..4usize))
        .prop_map(|(steps, restarts, other_rules)| Turn { steps, restarts, other_rules });
    prop::collection::vec(change, 1..8)
}

/// Everything that both snapshots say about every secret there ever was.
fn assert_same(edited: &KeySnapshot, fresh: &KeySnapshot) -> Result<(), TestCaseError> {
    let client = "192.0.2.1".parse().unwrap();
    for id in ["k1", "k2", "k3", "k4"] {
        for number in 0..4 {
            let secret = secret_of(id, number);
            let digest = KeyDigest::of(secret.as_bytes());
            for second in [0, 3, 5, 9, 20] {
                let told = |snapshot: &KeySnapshot| {
                    let authenticated =
                        format!("{:?}", snapshot.authenticate(secret.as_bytes(), at(second), client));
                    (authenticated, format!("{:?}", snapshot.standing(&digest, at(second), client)))
                };
                prop_assert_eq!(told(edited), told(fresh), "{} at {}", secret, second);
            }
        }
    }
    prop_assert_eq!(edited.checksum(), fresh.checksum());
    Ok(())
}

proptest! {
    #[test]
    fn applies_as_if_built_anew(changes in changes()) {
        let mut records = Records::default();
        let mut rules = Rules::of(0);
        let mut editor = records.load(&rules);
        for Turn { steps, restarts, other_rules } in changes {
            let before = records.clone();
            for step in steps {
                step.take(&mut records);
            }
            let people: Vec<_> = differing(&before.people, &records.people);
            let keys: Vec<_> = differing(&before.keys, &records.keys);
            let dropped: Vec<_> = before.digests().difference(&records.digests()).copied().collect();
            let update = Update {
                organizations: (before.organizations != records.organizations).then_some(&records.organizations),
                people: &people,
                keys: &keys,
                dropped: &dropped,
            };
            let earlier = editor.snapshot().clone();
            let applied = editor.apply(&update).unwrap();
            assert_same(&applied.snapshot, records.load(&rules).snapshot())?;
            assert_same(&earlier, before.load(&rules).snapshot())?;
            prop_assert_eq!(applied.snapshot.checksum(), records.sums());
            // A replica that starts with the image goes on from there as one that never stopped.
            if restarts {
                editor = reread(&applied.snapshot, &rules);
                assert_same(editor.snapshot(), &applied.snapshot)?;
            }
            if let Some(number) = other_rules {
                rules = Rules::of(number);
                if editor.lacks_grants() {
                    editor = records.load(&rules);
                }
                assert_same(editor.with_policy(&rules.policy()), records.load(&rules).snapshot())?;
            }
        }
    }
}

fn reread(snapshot: &KeySnapshot, rules: &Rules) -> SnapshotEditor {
    let mut bytes = Vec::new();
    let of = ImageOf { instance: uuid::Uuid::nil(), revision: 1 };
    image::write(of, at(1), snapshot, &mut bytes).unwrap();
    image::read(&bytes, &rules.policy()).unwrap().editor
}

fn differing<T: Clone + PartialEq>(old: &BTreeMap<String, T>, new: &BTreeMap<String, T>) -> Vec<T> {
    new.iter().filter(|(id, record)| old.get(*id) != Some(record)).map(|(_, record)| record.clone()).collect()
}

fn editor_of(keys: &[KeyRecord], people: &[Person]) -> SnapshotEditor {
    let mut builder = SnapshotBuilder::new(&Rules::of(0).policy(), keys.len());
    builder.people(people);
    for key in keys {
        builder.key(key);
    }
    builder.finish().unwrap().0
}

fn reason(snapshot: &KeySnapshot, secret: &str) -> Option<Reason> {
    snapshot
        .authenticate(secret.as_bytes(), at(1), "::1".parse().unwrap())
        .err()
        .map(|refused| refused.reason)
}

#[test]
fn a_wrong_record_does_no_harm_to_others() {
    let mut owned = key("k1", "s1");
    owned.owner = Some(owned_by("nobody"));
    let mut scopes = key("k2", "s2");
    scopes.scopes = vec!["wirte".into(), "read".into()];
    let mut builder = SnapshotBuilder::new(&Rules::of(0).policy(), 0);
    for key in [owned, scopes, key("k3", "s3")] {
        builder.key(&key);
    }
    let (mut editor, problems) = builder.finish().unwrap();
    let told: Vec<_> = problems.first.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            r#"key k1: no person has the id "nobody""#,
            r#"key k2: no scope is called "wirte"; did you mean "write"?"#
        ]
    );
    let snapshot = editor.snapshot().clone();
    assert_eq!(
        ["s1", "s2", "s3"].map(|secret| reason(&snapshot, secret)),
        [Some(Reason::KeyUnknown), None, None]
    );
    // Once the owner is there, so is the key.
    let update = Update { people: &[person("nobody", Role::Member)], ..Update::default() };
    assert_eq!(reason(&editor.apply(&update).unwrap().snapshot, "s1"), None);
}

#[test]
fn of_many_problems_the_first_hundred_are_kept() {
    let mut builder = SnapshotBuilder::new(&Rules::of(0).policy(), 0);
    for number in 0..1000 {
        let mut wrong = key(&format!("k{number}"), &format!("s{number}"));
        wrong.scopes = vec!["unknown".into()];
        builder.key(&wrong);
    }
    let (_, problems) = builder.finish().unwrap();
    assert_eq!((problems.first.len(), problems.count), (100, 1000));
}

#[test]
fn only_what_was_in_force_is_newly_revoked() {
    let mut editor = editor_of(&[key("k1", "s1"), key("k2", "s2")], &[]);
    let revoked = |id: &str, secret: &str| KeyRecord {
        revoked: Some(Revocation { at: at(1), by: None, reason: None }),
        ..key(id, secret)
    };
    let mut apply = |keys: &[KeyRecord]| {
        let applied = editor.apply(&Update { keys, ..Update::default() }).unwrap();
        applied.revoked.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(apply(&[revoked("k1", "s1"), key("k2", "s2"), revoked("k3", "s3")]), ["k1"]);
    assert!(apply(&[revoked("k1", "s1")]).is_empty());
}

#[test]
fn the_directory_is_shared_where_nothing_of_it_changed() {
    let people: Vec<_> = (0..1000).map(|number| person(&format!("p{number}"), Role::Member)).collect();
    let mut editor = editor_of(&[key("k1", "s1")], &people);
    let before = editor.snapshot().clone();
    let update = Update { keys: &[key("k2", "s2")], ..Update::default() };
    let after = editor.apply(&update).unwrap().snapshot;
    assert!(Arc::ptr_eq(&before.directory, &after.directory));
}

#[test]
fn unused_project_sets_are_forgotten() {
    let restricted =
        |number: u32| KeyRecord { projects: ProjectSet::only([format!("p{number}")]), ..key("k1", "s1") };
    let mut editor = editor_of(&[restricted(0), key("k2", "s2")], &[]);
    for number in 1..5000 {
        editor.apply(&Update { keys: &[restricted(number)], ..Update::default() }).unwrap();
        let snapshot = editor.snapshot();
        assert!(snapshot.directory.project_sets.len() < 2100);
        let good = snapshot.authenticate(b"s1", at(1), "::1".parse().unwrap()).unwrap();
        assert_eq!(good.principal.projects.listed().unwrap().collect::<Vec<_>>(), [format!("p{number}")]);
        assert_eq!(reason(snapshot, "s2"), None);
    }
}

#[test]
fn scopes_mean_what_the_config_says() {
    let mut granted = key("k1", "s1");
    granted.scopes = vec!["write".into(), "audit".into()];
    let mut editor = editor_of(&[granted], &[]);
    let effective = |snapshot: &KeySnapshot, rules: &Rules| {
        let good = snapshot.authenticate(b"s1", at(1), "::1".parse().unwrap()).unwrap();
        rules.scopes.names(good.principal.scopes).collect::<Vec<_>>().join(" ")
    };
    for (number, expected) in
        [(0, "read write"), (1, "audit write read"), (2, "write audit admin"), (0, "read write")]
    {
        let rules = Rules::of(number);
        assert_eq!(effective(editor.with_policy(&rules.policy()), &rules), expected);
        assert!(!editor.lacks_grants());
    }
    // Sixty-four other names: those that it does not know find no place beside them.
    let rules = Rules::of(3);
    assert_eq!(effective(editor.with_policy(&rules.policy()), &rules), "audit read");
    assert!(editor.lacks_grants());
}

#[test]
fn plans_follow_the_config_and_the_key() {
    let plan = |name: &str, most| Plan::new(name, None, Some(most));
    let mut rules = Rules::of(0);
    rules.plans = Plans::new(vec![plan("free", 1), plan("pro", 9)], Some("free"));
    let named = |name: Option<&str>| KeyRecord {
        plan: name.map(|name| PlanName::parse(name).unwrap()),
        ..key("k1", "s1")
    };
    let mut builder = SnapshotBuilder::new(&rules.policy(), 0);
    builder.key(&named(None));
    let (mut editor, problems) = builder.finish().unwrap();
    assert_eq!(problems.count, 0);
    let now = |snapshot: &KeySnapshot, rules: &Rules| {
        let found = snapshot.authenticate(b"s1", at(1), "::1".parse().unwrap()).unwrap();
        found.plan.and_then(|at| rules.plans.get(at)).map(|plan| plan.name().to_owned())
    };
    assert_eq!(now(editor.snapshot(), &rules).as_deref(), Some("free"));
    let applied = editor.apply(&Update { keys: &[named(Some("pro"))], ..Update::default() }).unwrap();
    assert_eq!((now(&applied.snapshot, &rules).as_deref(), applied.problems.count), (Some("pro"), 0));
    let applied = editor.apply(&Update { keys: &[named(Some("gold"))], ..Update::default() }).unwrap();
    assert_eq!((now(&applied.snapshot, &rules).as_deref(), applied.problems.count), (Some("free"), 1));
    rules.plans = Plans::new(vec![plan("none", 1), plan("gold", 99)], None);
    let snapshot = editor.with_policy(&rules.policy()).clone();
    assert_eq!(now(&snapshot, &rules).as_deref(), Some("gold"));
    let applied = editor.apply(&Update { keys: &[named(None)], ..Update::default() }).unwrap();
    assert_eq!(now(&applied.snapshot, &rules), None);
}
