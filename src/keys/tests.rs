//! Snapshots as their users see them: what is refused when one is built, and who is let in.

use jiff::Timestamp;
use proptest::prelude::*;

use super::{
    build::KeyPolicy,
    caps::RoleCaps,
    digest::KeyDigest,
    problem::{RecordField, Subject},
    record::{
        Email, KeyId, KeyRecord, KeyStatus, Name, Organization, OrganizationId, Person, PersonId,
        PreviousSecret, Revocation,
    },
    secret::Brand,
    snapshot::{KeySnapshot, Refused, Standing},
};
use crate::policy::{
    plan::Plans,
    principal::Role,
    project::ProjectSet,
    reason::Reason,
    scope::{MANAGE, ScopeDefinition, Scopes},
};

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(super) fn key(id: &str, secret: &str) -> KeyRecord {
    KeyRecord {
        name: Some(Name::parse("deploy bot").unwrap()),
        scopes: vec!["write".into()],
        projects: ProjectSet::All,
        ..KeyRecord::new(KeyId::parse(id).unwrap(), KeyDigest::of(secret.as_bytes()))
    }
}

pub(super) fn person(id: &str, role: Role) -> Person {
    Person {
        id: PersonId::parse(id).unwrap(),
        email: Email::parse(&format!("{id}@example.com")).unwrap(),
        name: None,
        organization: None,
        role,
        projects: ProjectSet::All,
        disabled: false,
    }
}

pub(super) fn organization(id: &str, projects: Option<&[&str]>) -> Organization {
    Organization {
        id: OrganizationId::parse(id).unwrap(),
        name: None,
        projects: projects.map(|ids| ids.iter().map(ToString::to_string).collect()),
    }
}

pub(super) fn org_id(id: &str) -> OrganizationId {
    OrganizationId::parse(id).unwrap()
}

pub(super) fn owned_by(id: &str) -> PersonId {
    PersonId::parse(id).unwrap()
}

fn try_build(
    keys: &[KeyRecord],
    people: &[Person],
    organizations: &[Organization],
) -> Result<KeySnapshot, Vec<String>> {
    let scopes = Scopes::default();
    let policy = KeyPolicy {
        scopes: &scopes,
        role_caps: &RoleCaps::defaults(&scopes).unwrap(),
        brand: &Brand::default(),
        plans: &Plans::default(),
    };
    KeySnapshot::build(keys, people, organizations, &policy)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn build(keys: &[KeyRecord], people: &[Person], organizations: &[Organization]) -> KeySnapshot {
    try_build(keys, people, organizations).unwrap()
}

fn refusal(snapshot: &KeySnapshot, secret: &str, now: i64, client: &str) -> Option<Refused> {
    snapshot.authenticate(secret.as_bytes(), at(now), client.parse().unwrap()).err()
}

fn reason(snapshot: &KeySnapshot, secret: &str, now: i64) -> Option<Reason> {
    refusal(snapshot, secret, now, "192.0.2.1").map(|refused| refused.reason)
}

#[test]
fn a_good_key_says_who_is_asking() {
    let mut record = key("key_1", "s1");
    record.owner = Some(owned_by("ada"));
    record.projects = ProjectSet::only(["alpha", "beta"]);
    record.expires_at = Some(at(900));
    let mut ada = person("ada", Role::Viewer);
    ada.projects = ProjectSet::only(["beta", "gamma"]);
    let declared = organization("acme", Some(&["alpha", "beta", "gamma"]));
    let snapshot = build(&[record], &[ada], &[declared]);
    let good = snapshot.authenticate(b"s1", at(1), "192.0.2.1".parse().unwrap()).unwrap();
    let principal = good.principal;
    assert_eq!(
        (&*principal.key_id, principal.key_name, principal.organization),
        ("key_1", "deploy bot", "acme")
    );
    let owner = principal.owner.unwrap();
    assert_eq!((owner.id, owner.email, owner.role), ("ada", "ada@example.com", Role::Viewer));
    // Granted write, but a viewer's key only reads; granted alpha, but ada may not see it.
    assert_eq!(Scopes::default().names(principal.scopes).collect::<Vec<_>>(), ["read"]);
    assert_eq!(principal.projects.listed().unwrap().collect::<Vec<_>>(), ["beta"]);
    assert_eq!((good.is_previous_secret, good.expires_at), (false, Some(at(900))));
}

#[test]
fn a_key_without_owner_is_capped_by_itself() {
    let snapshot = build(&[key("key_1", "s1")], &[], &[]);
    let good = snapshot.authenticate(b"s1", at(1), "::1".parse().unwrap()).unwrap();
    assert_eq!(Scopes::default().names(good.principal.scopes).collect::<Vec<_>>(), ["read", "write"]);
    assert_eq!(good.principal.organization, "default");
    assert!(good.principal.owner.is_none() && good.principal.projects.contains("any"));
}

#[test]
fn unknown_secrets_get_a_hint_only_for_our_brand() {
    let snapshot = build(&[key("key_1", "kg_live_old-style")], &[], &[]);
    let hint = |secret| {
        refusal(&snapshot, secret, 1, "::1").and_then(|refused| refused.hint).map(|hint| hint.to_string())
    };
    assert_eq!(hint("kg_live_abc").as_deref(), Some("looks truncated: 11 of 48 characters"));
    assert_eq!(hint("sk_live_abc"), None);
    assert_eq!(reason(&snapshot, "sk_live_abc", 1), Some(Reason::KeyUnknown));
    assert_eq!(refusal(&snapshot, "sk_live_abc", 1, "::1").unwrap().key_id, None);
    // A key of our brand from before Keygate has no check characters and still works.
    assert_eq!(reason(&snapshot, "kg_live_old-style", 1), None);
}

#[test]
fn refusals_come_in_the_order_of_the_table_with_their_dates() {
    let everything_wrong = |record: &mut KeyRecord| {
        record.revoked = Some(Revocation { at: at(5), by: None, reason: None });
        record.expires_at = Some(at(100));
        record.not_before = Some(at(50));
        record.owner = Some(owned_by("ada"));
        record.addresses = vec!["10.0.0.0/8".parse().unwrap()];
    };
    let mut record = key("key_1", "s1");
    everything_wrong(&mut record);
    let mut ada = person("ada", Role::Admin);
    ada.disabled = true;
    let told = |record: &KeyRecord, ada: &Person, now| {
        let snapshot = build(std::slice::from_ref(record), std::slice::from_ref(ada), &[]);
        refusal(&snapshot, "s1", now, "192.0.2.1").map(|refused| {
            assert_eq!(refused.key_id.as_deref(), Some("key_1"));
            (refused.reason, refused.at)
        })
    };
    assert_eq!(told(&record, &ada, 200), Some((Reason::KeyRevoked, Some(at(5)))));
    record.revoked = None;
    assert_eq!(told(&record, &ada, 100), Some((Reason::KeyExpired, Some(at(100)))));
    assert_eq!(told(&record, &ada, 49), Some((Reason::KeyNotYetValid, Some(at(50)))));
    assert_eq!(told(&record, &ada, 50), Some((Reason::KeyOwnerDisabled, None)));
    ada.disabled = false;
    assert_eq!(told(&record, &ada, 99), Some((Reason::AddressNotAllowed, None)));
    record.addresses.push("192.0.2.0/24".parse().unwrap());
    assert_eq!(told(&record, &ada, 99), None);
}

#[test]
fn a_key_never_works_a_moment_too_long() {
    let mut record = key("key_1", "s1");
    let nanosecond = |n| Timestamp::from_nanosecond(n).unwrap();
    record.not_before = Some(nanosecond(1_000_001));
    record.expires_at = Some(nanosecond(9_999_999));
    let snapshot = build(&[record], &[], &[]);
    let told =
        |n| snapshot.authenticate(b"s1", nanosecond(n), "::1".parse().unwrap()).err().map(|r| r.reason);
    assert_eq!(told(1_000_000), Some(Reason::KeyNotYetValid));
    assert_eq!(told(2_000_000), None);
    assert_eq!(told(9_999_999), Some(Reason::KeyExpired));
}

#[test]
fn both_secrets_of_a_rotation_work_until_the_overlap_ends() {
    let mut record = key("key_1", "new");
    record.previous = Some(PreviousSecret { digest: KeyDigest::of(b"old"), until: at(100) });
    let snapshot = build(std::slice::from_ref(&record), &[], &[]);
    let client = "::1".parse().unwrap();
    let old = snapshot.authenticate(b"old", at(99), client).unwrap();
    let new = snapshot.authenticate(b"new", at(99), client).unwrap();
    assert!(old.is_previous_secret && !new.is_previous_secret && old.key != new.key);
    assert_eq!(old.principal.key_id, new.principal.key_id);
    let refused = refusal(&snapshot, "old", 100, "::1").unwrap();
    assert_eq!((refused.reason, refused.at), (Reason::KeyExpired, Some(at(100))));
    assert_eq!(reason(&snapshot, "new", 100), None);
    // Never past the key's own expiry, and a revoked key has no secret that works.
    record.expires_at = Some(at(50));
    assert_eq!(reason(&build(std::slice::from_ref(&record), &[], &[]), "old", 50), Some(Reason::KeyExpired));
    record.revoked = Some(Revocation { at: at(1), by: None, reason: None });
    assert_eq!(reason(&build(&[record], &[], &[]), "old", 2), Some(Reason::KeyRevoked));
}

/// What a stream that was admitted by the secret meets.
fn standing(snapshot: &KeySnapshot, secret: &str, now: i64) -> String {
    match snapshot.standing(&KeyDigest::of(secret.as_bytes()), at(now), "192.0.2.1".parse().unwrap()) {
        Standing::Gone => "gone".into(),
        Standing::Ended(reason) => reason.code().into(),
        Standing::Holds { scopes, projects, ends_at } => {
            let scopes = Scopes::default().names(scopes).collect::<Vec<_>>().join("+");
            let projects = projects.listed().map_or("all".into(), |ids| ids.collect::<Vec<_>>().join("+"));
            format!("{scopes} on {projects} until {:?}", ends_at.map(Timestamp::as_second))
        }
    }
}

#[test]
fn streams_outlive_an_overlap_but_not_their_key() {
    let mut record = key("key_1", "new");
    record.expires_at = Some(at(200));
    // An overlap of none: its end was past when the file was read.
    record.previous = Some(PreviousSecret { digest: KeyDigest::of(b"old"), until: at(100) });
    let snapshot = build(std::slice::from_ref(&record), &[], &[]);
    assert_eq!(reason(&snapshot, "old", 100), Some(Reason::KeyExpired));
    for secret in ["old", "new"] {
        assert_eq!(standing(&snapshot, secret, 100), "read+write on all until Some(200)");
        assert_eq!(standing(&snapshot, secret, 200), "key_expired");
    }
    assert_eq!(standing(&snapshot, "other", 100), "gone");
    record.expires_at = None;
    assert_eq!(
        standing(&build(std::slice::from_ref(&record), &[], &[]), "old", 100),
        "read+write on all until None"
    );
    record.revoked = Some(Revocation { at: at(1), by: None, reason: None });
    assert_eq!(standing(&build(&[record], &[], &[]), "old", 100), "key_revoked");
}

#[test]
fn streams_follow_their_owner() {
    let mut record = key("key_1", "s1");
    record.owner = Some(owned_by("ada"));
    record.addresses = vec!["192.0.2.0/24".parse().unwrap()];
    let mut ada = person("ada", Role::Viewer);
    ada.projects = ProjectSet::only(["alpha"]);
    let told = |record: &KeyRecord, ada: &Person| {
        standing(&build(std::slice::from_ref(record), std::slice::from_ref(ada), &[]), "s1", 1)
    };
    assert_eq!(told(&record, &ada), "read on alpha until None");
    ada.disabled = true;
    assert_eq!(told(&record, &ada), "key_owner_disabled");
    ada.disabled = false;
    record.addresses = vec!["10.0.0.0/8".parse().unwrap()];
    assert_eq!(told(&record, &ada), "address_not_allowed");
}

#[test]
fn revocations_that_were_seen_hold() {
    let mut gone = key("key_2", "s2");
    gone.revoked = Some(Revocation { at: at(3), by: None, reason: None });
    let snapshot = build(&[key("key_1", "s1"), gone], &[], &[]);
    let seen =
        [(KeyDigest::of(b"s1"), at(7)), (KeyDigest::of(b"s2"), at(8)), (KeyDigest::of(b"other"), at(9))];
    let (after, news) = snapshot.with_revoked(seen).unwrap();
    assert_eq!(news.iter().map(|id| &**id).collect::<Vec<_>>(), ["key_1"]);
    assert_eq!(refusal(&after, "s1", 10, "::1").unwrap().at, Some(at(7)));
    assert_eq!(refusal(&after, "s2", 10, "::1").unwrap().at, Some(at(3)));
    assert_eq!(reason(&snapshot, "s1", 10), None);
    let mut listed: Vec<_> = after.revocations().collect();
    listed.sort_unstable();
    let mut expected = vec![(KeyDigest::of(b"s1"), at(7)), (KeyDigest::of(b"s2"), at(3))];
    expected.sort_unstable();
    assert_eq!(listed, expected);
}

#[test]
fn a_key_can_be_asked_about_by_its_id() {
    let snapshot = build(&[key("key_1", "s1")], &[], &[]);
    let client = "::1".parse().unwrap();
    assert_eq!(
        &*snapshot.authenticate_id("key_1", at(1), client).unwrap().unwrap().principal.key_id,
        "key_1"
    );
    assert!(snapshot.authenticate_id("key_2", at(1), client).is_none());
    assert!(snapshot.is_or_looks_ours(b"s1") && !snapshot.is_or_looks_ours(b"s2"));
    assert!(snapshot.is_or_looks_ours(b"kg_live_0123456789abcdefghij"));
}

#[test]
fn wrong_keys_are_all_told_at_once() {
    let mut scopes = key("k1", "s1");
    scopes.scopes = vec!["read".into(), "wrte".into(), "zzz".into()];
    let mut owner = key("k2", "s2");
    owner.owner = Some(owned_by("adda"));
    let mut elsewhere = key("k3", "s3");
    elsewhere.organization = Some(org_id("defaul"));
    let mut projects = key("k4", "s4");
    projects.projects = ProjectSet::only(["alpha", "alhpa", "*"]);
    let mut window = key("k5", "s5");
    (window.not_before, window.expires_at) = (Some(at(5)), Some(at(5)));
    let mut rotated = key("k6", "s6");
    rotated.previous = Some(PreviousSecret { digest: KeyDigest::of(b"s1"), until: at(9) });
    let keys = [scopes, owner, elsewhere, projects, window, rotated, key("k1", "s2")];
    let organizations = [organization("default", Some(&["alpha"]))];
    let problems = try_build(&keys, &[person("ada", Role::Owner)], &organizations).unwrap_err();
    let expected = [
        r#"key k1: no scope is called "wrte"; did you mean "write"?"#,
        r#"key k1: no scope is called "zzz""#,
        r#"key k2: no person has the id "adda"; did you mean "ada"?"#,
        r#"key k3: no organization has the id "defaul"; did you mean "default"?"#,
        r#"key k4: "*" can be no project: 1 to 128 bytes without '/', spaces and control characters, and not '*'"#,
        r#"key k4: the organization default declares no project "alhpa""#,
        "key k5: the key would expire before it starts",
        "key k6: the key k1 has the same digest; every secret belongs to one key",
        "key k1: this id is taken already; ids are unique",
        "key k1: the key k2 has the same digest; every secret belongs to one key",
    ];
    let short: Vec<_> =
        problems.iter().map(|problem| problem.replace("; did you mean \"alpha\"?", "")).collect();
    assert_eq!(short, expected);
}

#[test]
fn wrong_people_and_organizations_are_told() {
    let mut eve = person("eve", Role::Member);
    eve.organization = Some(org_id("globex"));
    let mut bob = person("bob", Role::Member);
    bob.organization = Some(org_id("acme"));
    bob.projects = ProjectSet::only(["gamma"]);
    let mut key_of_bob = key("k1", "s1");
    key_of_bob.owner = Some(owned_by("bob"));
    key_of_bob.organization = Some(org_id("initech"));
    let organizations = [
        organization("acme", Some(&["alpha", "a/b", "alpha"])),
        organization("initech", Some(&["alpha"])),
        organization("initech", None),
    ];
    let people = [eve, bob, person("bob", Role::Viewer)];
    let problems = try_build(&[key_of_bob, key("k2", "s2")], &people, &organizations).unwrap_err();
    assert_eq!(
        problems,
        [
            r#"organization acme: "a/b" can be no project: 1 to 128 bytes without '/', spaces and control characters, and not '*'"#,
            r#"organization acme: acme declares the project "alpha" already; a project belongs to one organization"#,
            r#"organization initech: acme declares the project "alpha" already; a project belongs to one organization"#,
            "organization initech: this id is taken already; ids are unique",
            "organization initech: where there are several organizations, each must declare its projects (an empty list is one)",
            r#"person eve: no organization has the id "globex""#,
            r#"person bob: the organization acme declares no project "gamma""#,
            "person bob: this id is taken already; ids are unique",
            "person bob: there are several organizations; name the one this belongs to",
            "key k1: bob belongs to the organization acme; a key belongs where its owner does",
            "key k2: there are several organizations; name the one this belongs to",
        ]
    );
}

#[test]
fn problems_name_record_field_and_element() {
    let mut record = key("k1", "s1");
    record.scopes = vec!["read".into(), "wrte".into()];
    let scopes = Scopes::default();
    let caps = RoleCaps::defaults(&scopes).unwrap();
    let policy =
        KeyPolicy { scopes: &scopes, role_caps: &caps, brand: &Brand::default(), plans: &Plans::default() };
    let keys = [key("k0", "s0"), record];
    let problems = KeySnapshot::build(&keys, &[] as &[Person], &[] as &[Organization], &policy).unwrap_err();
    let [problem] = problems.as_slice() else { panic!("one problem, not {problems:?}") };
    assert_eq!(problem.subject, Subject::Key(1, KeyId::parse("k1").unwrap()));
    assert_eq!((problem.field, problem.element), (RecordField::Scopes, Some(1)));
}

#[test]
fn several_organizations_keep_apart() {
    let mut bob = person("bob", Role::Admin);
    bob.organization = Some(org_id("initech"));
    let mut record = key("k1", "s1");
    record.owner = Some(owned_by("bob"));
    let organizations = [organization("acme", Some(&["alpha"])), organization("initech", Some(&["beta"]))];
    let snapshot = build(&[record], &[bob], &organizations);
    let good = snapshot.authenticate(b"s1", at(1), "::1".parse().unwrap()).unwrap();
    assert_eq!(good.principal.organization, "initech");
    assert!(good.principal.projects.contains("beta") && !good.principal.projects.contains("alpha"));
}

#[test]
fn own_scopes_are_closed_and_capped() {
    let define = |name: &str, implies: &[&str]| ScopeDefinition {
        name: name.into(),
        implies: implies.iter().map(ToString::to_string).collect(),
    };
    let scopes = Scopes::build(&[define("tests:run", &["tests:list"]), define("tests:list", &[])]).unwrap();
    let caps = RoleCaps::new(|role| match role {
        Role::Viewer | Role::Member => scopes.get("tests:list").unwrap(),
        Role::Admin | Role::Owner => scopes.all(),
    });
    let mut record = key("k1", "s1");
    record.scopes = vec!["tests:run".into()];
    let effective = |role| {
        let mut record = record.clone();
        record.owner = Some(owned_by("ada"));
        let policy = KeyPolicy {
            scopes: &scopes,
            role_caps: &caps,
            brand: &Brand::default(),
            plans: &Plans::default(),
        };
        let snapshot =
            KeySnapshot::build(&[record], &[person("ada", role)], &[] as &[Organization], &policy).unwrap();
        let set = snapshot.authenticate(b"s1", at(1), "::1".parse().unwrap()).unwrap().principal.scopes;
        scopes.names(set).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(effective(Role::Admin), "tests:run tests:list");
    assert_eq!(effective(Role::Member), "tests:list");
}

/// The scope of the admin API is none of the API behind the gateway, whoever has it.
#[test]
fn the_scope_manage_is_known_everywhere_and_grants_nothing_here() {
    let cases = [
        (Some(Role::Owner), &[MANAGE][..], true, ""),
        (Some(Role::Admin), &[MANAGE], true, ""),
        (Some(Role::Member), &[MANAGE], true, ""),
        (Some(Role::Viewer), &[MANAGE], true, ""),
        (None, &[MANAGE], true, ""),
        (Some(Role::Owner), &[MANAGE, "read"], true, "read"),
        (Some(Role::Owner), &["admin"], false, "read write admin"),
    ];
    for (role, granted, is_flagged, effective) in cases {
        let mut record = key("k1", "s1");
        record.scopes = granted.iter().map(ToString::to_string).collect();
        record.owner = role.map(|_| owned_by("ada"));
        let people: Vec<_> = role.map(|role| person("ada", role)).into_iter().collect();
        let snapshot = build(&[record], &people, &[]);
        let good = snapshot.authenticate(b"s1", at(1), "::1".parse().unwrap()).unwrap();
        let names = Scopes::default();
        let names: Vec<_> = names.names(good.principal.scopes).collect();
        let flag = snapshot.table().find(&good.digest).unwrap().details.manages();
        assert_eq!((flag, names.join(" ").as_str()), (is_flagged, effective), "{role:?} {granted:?}");
    }
    let mut record = key("k1", "s1");
    record.scopes = vec!["keygate:other".into()];
    assert!(try_build(&[record], &[], &[]).unwrap_err()[0].contains("no scope is called \"keygate:other\""));
}

proptest! {
    /// What a listing calls active is let in, and what it calls otherwise is refused for that reason.
    #[test]
    fn listing_and_door_agree(
        revoked: bool,
        disabled: bool,
        start in prop::option::of(0i64..10),
        end in prop::option::of(0i64..10),
        now in 0i64..12,
    ) {
        prop_assume!(start.zip(end).is_none_or(|(start, end)| start < end));
        let mut record = key("k1", "s1");
        record.revoked = revoked.then(|| Revocation { at: at(1), by: None, reason: None });
        (record.not_before, record.expires_at) = (start.map(at), end.map(at));
        record.owner = Some(owned_by("ada"));
        let mut ada = person("ada", Role::Owner);
        ada.disabled = disabled;
        let expected = match record.status(at(now), Some(&ada)) {
            KeyStatus::Active => None,
            KeyStatus::NotYetValid => Some(Reason::KeyNotYetValid),
            KeyStatus::Expired => Some(Reason::KeyExpired),
            KeyStatus::Revoked => Some(Reason::KeyRevoked),
            KeyStatus::OwnerDisabled => Some(Reason::KeyOwnerDisabled),
        };
        prop_assert_eq!(reason(&build(&[record], &[ada], &[]), "s1", now), expected);
    }
}
