//! What every store answers to questions by more than an id (`KeyQuery`, `PersonQuery`).

use std::sync::Arc;

use keygate::{
    keys::record::{KeyRecord, KeyStatus, Organization, OrganizationId, Person, PersonId, PlanName},
    policy::project::ProjectSet,
    store::contract::{Access, Committed, KeyCursor, KeyQuery, KeyTally, OwnedKey, PersonQuery, Store},
};

use super::{
    Case,
    records::{ada, audit, email, instant, key, key_id, name, revocation},
};

/// Every case, with its name. Each is given a store that holds nothing.
pub(crate) const CASES: &[(&str, Case<dyn Store>)] = &[
    ("keys come newest first", |store| Box::pin(keys_come_newest_first(store))),
    ("keys are found by what is known of them", |store| Box::pin(keys_are_found(store))),
    ("keys are counted by status", |store| Box::pin(keys_are_counted(store))),
    ("a text is found in any case", |store| Box::pin(a_text_is_found_in_any_case(store))),
    ("an organization has its own", |store| Box::pin(an_organization_has_its_own(store))),
    ("the only organization has what names none", |store| Box::pin(the_only_organization(store))),
    ("people are found with their keys", |store| Box::pin(people_are_found(store))),
    ("an e-mail address is found in any case", |store| Box::pin(an_email_address_is_found(store))),
];

fn person_id(id: &str) -> PersonId {
    PersonId::parse(id).unwrap()
}

fn organization_id(id: &str) -> OrganizationId {
    OrganizationId::parse(id).unwrap()
}

fn person(id: &str, of: Option<&str>) -> Person {
    Person {
        id: person_id(id),
        email: email(&format!("{id}@example.com")),
        name: None,
        organization: of.map(organization_id),
        projects: ProjectSet::All,
        ..ada()
    }
}

fn organization(id: &str) -> Organization {
    Organization { id: organization_id(id), name: None, projects: Some(vec![id.to_owned()]) }
}

/// Every key, as of instant 50.
fn all() -> KeyQuery {
    KeyQuery { limit: 100, now: instant(50), ..KeyQuery::default() }
}

async fn put(store: &dyn Store, organizations: &[Organization], people: &[Person], keys: &[KeyRecord]) {
    let mut change = store.begin(Access::Write).await.unwrap();
    for organization in organizations {
        change.put_organization(organization).await.unwrap();
    }
    for person in people {
        change.put_person(person).await.unwrap();
    }
    change.insert_keys(keys).await.unwrap();
    let committed = change.commit(&[audit("all", "made")]).await.unwrap();
    assert!(matches!(committed, Committed::Revision(_) | Committed::Written(_)), "{committed:?}");
}

async fn found(store: &dyn Store, query: &KeyQuery) -> Vec<OwnedKey> {
    store.begin(Access::Read).await.unwrap().keys_matching(query).await.unwrap()
}

/// The numbers of the keys that are found.
async fn numbers(store: &dyn Store, query: KeyQuery) -> Vec<usize> {
    let mut numbers: Vec<_> = found(store, &query)
        .await
        .iter()
        .map(|owned| owned.key.id.as_str().trim_start_matches("key_").parse().unwrap())
        .collect();
    // What a filter finds, is counted.
    if query.after.is_none() && query.limit >= numbers.len() {
        let found = numbers.len() as u64;
        let mut look = store.begin(Access::Read).await.unwrap();
        assert_eq!(look.key_tally(&query).await.unwrap().total(), found, "{query:?}");
        for (at_most, counted) in [(0, 0), (1, found.min(1)), (found, found), (1000, found)] {
            assert_eq!(look.count_keys_matching(&query, at_most).await.unwrap(), counted, "{query:?}");
        }
    }
    numbers.sort_unstable();
    numbers
}

async fn keys_come_newest_first(store: Arc<dyn Store>) {
    let made = |number, seconds: Option<i64>| KeyRecord { created_at: seconds.map(instant), ..key(number) };
    let keys = [made(1, Some(5)), made(2, None), made(3, Some(9)), made(4, Some(5)), made(5, None)];
    put(&*store, &[], &[], &keys).await;
    let mut order = Vec::new();
    let mut query = KeyQuery { limit: 2, ..all() };
    loop {
        let page = found(&*store, &query).await;
        let Some(last) = page.last() else { break };
        query.after = Some(KeyCursor::of(&last.key));
        order.extend(page.iter().map(|owned| owned.key.id));
    }
    assert_eq!(order, [3, 4, 1, 5, 2].map(key_id));
}

async fn keys_are_found(store: Arc<dyn Store>) {
    let off = Person { disabled: true, ..person("off", None) };
    let of = |id: &str, key: KeyRecord| KeyRecord { owner: Some(person_id(id)), ..key };
    let ends = |seconds, key: KeyRecord| KeyRecord { expires_at: Some(instant(seconds)), ..key };
    let may = |projects: &[&str], key: KeyRecord| KeyRecord {
        projects: ProjectSet::only(projects.iter().copied()),
        ..key
    };
    let keys = [
        may(&["alpha"], of("ada", key(1))),
        may(&["beta", "al%\""], ends(60, of("off", key(2)))),
        may(&[], ends(50, key(3))),
        KeyRecord { not_before: Some(instant(51)), ..may(&[], key(4)) },
        KeyRecord { revoked: Some(revocation(1)), ..may(&[], of("ada", ends(40, key(5)))) },
        KeyRecord { plan: PlanName::parse("small").ok(), ..ends(70, key(6)) },
    ];
    put(&*store, &[], &[person("ada", None), off.clone()], &keys).await;
    let owners: Vec<_> = found(&*store, &all()).await.into_iter().map(|owned| owned.owner).collect();
    let ada = Some(person("ada", None));
    assert_eq!(owners, [None, ada.clone(), None, None, Some(off), ada]);

    let with = |status| KeyQuery { status: Some(status), ..all() };
    let project = |project: &str| KeyQuery { project: Some(project.to_owned()), ..all() };
    let owner = |id: &str| KeyQuery { owner: Some(person_id(id)), ..all() };
    let plan = |name: &str| KeyQuery { plan: Some(name.to_owned()), ..all() };
    for (query, expected) in [
        (all(), &[1, 2, 3, 4, 5, 6][..]),
        (plan("small"), &[6]),
        (plan("Small"), &[]),
        (plan("large"), &[]),
        (plan(""), &[]),
        (plan("\0"), &[]),
        (KeyQuery { status: Some(KeyStatus::Expired), ..plan("small") }, &[]),
        (with(KeyStatus::Active), &[1, 6]),
        (with(KeyStatus::OwnerDisabled), &[2]),
        (with(KeyStatus::Expired), &[3]),
        (with(KeyStatus::NotYetValid), &[4]),
        (with(KeyStatus::Revoked), &[5]),
        (owner("ada"), &[1, 5]),
        (owner("bob"), &[]),
        (KeyQuery { status: Some(KeyStatus::Revoked), ..owner("ada") }, &[5]),
        (project("alpha"), &[1, 6]),
        (project("al%\""), &[2, 6]),
        (project("ALPHA"), &[6]),
        (project("a"), &[6]),
        (project("\0"), &[6]),
    ] {
        assert_eq!(numbers(&*store, query.clone()).await, expected, "{query:?}");
    }
}

async fn keys_are_counted(store: Arc<dyn Store>) {
    let ends = |seconds, number| KeyRecord { expires_at: Some(instant(seconds)), ..key(number) };
    let keys = [
        key(1),
        ends(60, 2),
        ends(70, 3),
        ends(40, 4),
        KeyRecord { not_before: Some(instant(51)), ..key(5) },
        KeyRecord { revoked: Some(revocation(1)), ..ends(55, 6) },
        KeyRecord { owner: Some(person_id("off")), ..key(7) },
    ];
    put(&*store, &[], &[Person { disabled: true, ..person("off", None) }], &keys).await;
    let tally =
        async |query: KeyQuery| store.begin(Access::Read).await.unwrap().key_tally(&query).await.unwrap();
    let everything = KeyTally { active: 3, not_yet_valid: 1, expired: 1, revoked: 1, owner_disabled: 1 };
    // The page takes none away.
    let after = Some(KeyCursor { created_at: None, id: key_id(0) });
    assert_eq!(tally(KeyQuery { limit: 1, after, ..all() }).await, everything);
    let active = KeyTally { active: 3, ..KeyTally::default() };
    assert_eq!(tally(KeyQuery { status: Some(KeyStatus::Active), ..all() }).await, active);
    assert_eq!(tally(KeyQuery { text: Some("nowhere".to_owned()), ..all() }).await, KeyTally::default());
}

async fn a_text_is_found_in_any_case(store: Arc<dyn Store>) {
    let called = |number, text| KeyRecord { name: Some(name(text)), ..key(number) };
    let keys = [
        called(1, "GitHub Actions"),
        called(2, "100 % _done_ [*?] ^a-z$ \\d"),
        called(3, "Übermut İstanbul"),
        KeyRecord { prefix: Some(name("kg_live_7Qd3")), ..key(4) },
        KeyRecord { owner: Some(person_id("ada")), ..key(5) },
    ];
    put(&*store, &[], &[person("ada", None)], &keys).await;
    for (text, expected) in [
        ("github", &[1][..]),
        ("HUB ACT", &[1]),
        ("%", &[2]),
        ("_DONE_", &[2]),
        ("[*?]", &[2]),
        ("^A-Z$", &[2]),
        ("\\d", &[2]),
        ("100 _", &[]),
        (".*", &[]),
        ("über", &[3]),
        ("ÜBER", &[3]),
        ("İst", &[3]),
        ("7qD3", &[4]),
        ("KEY_000003", &[3]),
        ("ADA", &[5]),
        ("", &[1, 2, 3, 4, 5]),
        ("\0", &[]),
        ("'; DROP TABLE keys", &[]),
    ] {
        let query = KeyQuery { text: Some(text.to_owned()), ..all() };
        assert_eq!(numbers(&*store, query).await, expected, "{text:?}");
    }
    let endless = KeyQuery { text: Some("a".repeat(100_000)), ..all() };
    assert!(numbers(&*store, endless).await.is_empty());
}

async fn an_organization_has_its_own(store: Arc<dyn Store>) {
    let of = |organization: &str, key: KeyRecord| KeyRecord {
        organization: Some(organization_id(organization)),
        ..key
    };
    let people = [person("ada", Some("acme")), person("bob", Some("other"))];
    let keys = [
        of("acme", key(1)),
        KeyRecord { owner: Some(person_id("ada")), ..key(2) },
        of("other", key(3)),
        of("other", KeyRecord { owner: Some(person_id("bob")), ..key(4) }),
    ];
    put(&*store, &[organization("acme"), organization("other")], &people, &keys).await;
    let ids = async |id: &str| {
        let query =
            PersonQuery { organization: Some(organization_id(id)), limit: 10, ..PersonQuery::default() };
        let people = store.begin(Access::Read).await.unwrap().people_matching(&query).await.unwrap();
        people.into_iter().map(|person| person.id.to_string()).collect::<Vec<_>>()
    };
    for (id, expected, people) in [
        ("acme", &[1, 2][..], &["ada"][..]),
        ("other", &[3, 4], &["bob"]),
        ("nobody", &[], &[]),
        ("default", &[], &[]),
    ] {
        let query = KeyQuery { organization: Some(organization_id(id)), ..all() };
        assert_eq!(numbers(&*store, query).await, expected, "{id}");
        assert_eq!(ids(id).await, people, "{id}");
    }
}

async fn the_only_organization(store: Arc<dyn Store>) {
    let of = async |id: &str| {
        numbers(&*store, KeyQuery { organization: Some(organization_id(id)), ..all() }).await
    };
    put(&*store, &[], &[person("ada", None)], &[key(1)]).await;
    assert_eq!((of("default").await, of("acme").await), (vec![1], vec![]));
    let named = KeyRecord { organization: Some(organization_id("acme")), ..key(2) };
    put(&*store, &[organization("acme")], &[], &[named]).await;
    assert_eq!((of("default").await, of("acme").await), (vec![], vec![1, 2]));
}

async fn people_are_found(store: Arc<dyn Store>) {
    let called = |id: &str, text: &str| Person { name: Some(name(text)), ..person(id, None) };
    let people = [called("ada", "Ada Lovelace"), person("bob", None), called("eve", "Älva")];
    let of = |id: &str, key: KeyRecord| KeyRecord { owner: Some(person_id(id)), ..key };
    let revoked = KeyRecord { revoked: Some(revocation(1)), ..of("ada", key(2)) };
    put(&*store, &[], &people, &[of("ada", key(1)), revoked, of("bob", key(3)), key(4)]).await;
    let ask = async |query: PersonQuery| {
        let mut look = store.begin(Access::Read).await.unwrap();
        let people = look.people_matching(&query).await.unwrap();
        let owners: Vec<_> = people.into_iter().map(|person| person.id).collect();
        let counts = look.key_counts(&owners).await.unwrap();
        assert!(counts.values().all(|keys| *keys > 0), "who has none is not told");
        let counted = |id: &PersonId| (id.to_string(), counts.get(id).copied().unwrap_or(0));
        owners.iter().map(counted).collect::<Vec<(String, u64)>>()
    };
    let listed = |people: &[(&str, u64)]| {
        people.iter().map(|(id, keys)| ((*id).to_owned(), *keys)).collect::<Vec<_>>()
    };
    let page = PersonQuery { limit: 2, ..PersonQuery::default() };
    assert_eq!(ask(page.clone()).await, listed(&[("ada", 2), ("bob", 1)]));
    let rest = PersonQuery { after: Some(person_id("bob")), ..page.clone() };
    assert_eq!(ask(rest).await, listed(&[("eve", 0)]));
    for (text, expected) in [
        ("LOVE", &[("ada", 2)][..]),
        ("BOB@", &[("bob", 1)]),
        ("EVE", &[("eve", 0)]),
        ("älv", &[("eve", 0)]),
        ("_", &[]),
    ] {
        assert_eq!(
            ask(PersonQuery { text: Some(text.to_owned()), ..page.clone() }).await,
            listed(expected),
            "{text}"
        );
    }
}

async fn an_email_address_is_found(store: Arc<dyn Store>) {
    let at = |id: &str, address: &str| Person { email: email(address), ..person(id, None) };
    let people = [
        at("ada", "Ada@Example.com"),
        at("bob", "ada@example.com"),
        at("cyd", "ADA@EXAMPLE.COM"),
        at("eve", "eve_@example.com"),
    ];
    put(&*store, &[], &people, &[]).await;
    let ask = async |address: &str| {
        let people = store.begin(Access::Read).await.unwrap().people_with_email(address).await.unwrap();
        people.into_iter().map(|person| person.id.to_string()).collect::<Vec<_>>()
    };
    for (address, expected) in [
        ("aDa@exAmple.com", &["ada", "bob"][..]),
        ("EVE_@example.com", &["eve"]),
        ("eve%@example.com", &[]),
        ("evex@example.com", &[]),
        ("ada@example.co", &[]),
        ("\0", &[]),
        ("", &[]),
    ] {
        assert_eq!(ask(address).await, expected, "{address:?}");
    }
}
