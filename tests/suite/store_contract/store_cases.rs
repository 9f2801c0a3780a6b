//! What every store promises (`store::contract::Store`), whatever it keeps its records in.

use std::sync::Arc;

use keygate::{
    keys::record::{KeyRecord, Organization, OrganizationId},
    store::contract::{
        Access, AuditFilter, AuditFrom, AuditPage, AuditRecord, Committed, RevokedBefore, Store, StoreError,
        Taken, Transaction,
    },
};

use super::{
    Case,
    records::{ada, audit, digest, full_key, instant, key, key_id, organization, revocation, rotated},
};

/// Every case, with its name. Each is given a store that holds nothing.
pub(crate) const CASES: &[(&str, Case<dyn Store>)] = &[
    ("what is put is found", |store| Box::pin(what_is_put_is_found(store))),
    ("records come in pages", |store| Box::pin(records_come_in_pages(store))),
    ("a dropped transaction leaves nothing", |store| Box::pin(a_dropped_transaction_leaves_nothing(store))),
    ("nothing to change is no change", |store| Box::pin(nothing_to_change_is_no_change(store))),
    ("a revocation is for good", |store| Box::pin(a_revocation_is_for_good(store))),
    ("ids and digests are unique", |store| Box::pin(ids_and_digests_are_unique(store))),
    ("a refusal leaves nothing", |store| Box::pin(a_refusal_leaves_nothing(store))),
    ("what is taken is told", |store| Box::pin(what_is_taken_is_told(store))),
    ("who looks changes nothing", |store| Box::pin(who_looks_changes_nothing(store))),
    ("a look sees one state", |store| Box::pin(a_look_sees_one_state(store))),
    ("who names a project is found", |store| Box::pin(who_names_a_project_is_found(store))),
    ("the audit is of an organization", |store| Box::pin(the_audit_is_of_an_organization(store))),
    ("the audit goes with the change", |store| Box::pin(the_audit_goes_with_the_change(store))),
];

pub(crate) async fn write(store: &dyn Store) -> Box<dyn Transaction> {
    store.begin(Access::Write).await.unwrap()
}

pub(crate) async fn read(store: &dyn Store) -> Box<dyn Transaction> {
    store.begin(Access::Read).await.unwrap()
}

/// Ada and her organization, which full keys name.
async fn put_ada(store: &dyn Store) {
    let mut change = write(store).await;
    change.put_organization(&organization()).await.unwrap();
    change.put_person(&ada()).await.unwrap();
    changed(change, "ada").await;
}

/// Commits, and demands that something was changed.
async fn changed(change: Box<dyn Transaction>, id: &str) {
    let committed = change.commit(&[audit(id, "made")]).await.unwrap();
    assert!(matches!(committed, Committed::Revision(_) | Committed::Written(_)), "{committed:?}");
}

fn assert_refused<T: std::fmt::Debug>(done: Result<T, StoreError>, word: &str) {
    match done {
        Err(StoreError::Refused(reasons)) => {
            assert!(reasons.iter().any(|reason| reason.contains(word)), "{reasons:?} lacks {word}");
        }
        other => panic!("{other:?}"),
    }
}

async fn what_is_put_is_found(store: Arc<dyn Store>) {
    put_ada(&*store).await;
    let (plain, full) = (key(1), full_key(2));
    let mut change = write(&*store).await;
    change.insert_keys(&[plain.clone(), full.clone()]).await.unwrap();
    assert_eq!(change.key(&plain.id).await.unwrap(), Some(plain.clone()), "within the transaction");
    changed(change, "key_000001").await;

    let mut look = read(&*store).await;
    assert_eq!(look.organizations().await.unwrap(), [organization()]);
    assert_eq!(look.person(&ada().id).await.unwrap(), Some(ada()));
    assert_eq!(look.key(&plain.id).await.unwrap(), Some(plain));
    assert_eq!(look.key(&full.id).await.unwrap(), Some(full));
    assert_eq!(look.key(&key_id(3)).await.unwrap(), None);
}

async fn records_come_in_pages(store: Arc<dyn Store>) {
    let keys: Vec<_> = (0..7).map(key).collect();
    let mut change = write(&*store).await;
    change.insert_keys(&keys).await.unwrap();
    changed(change, "keys").await;
    let mut look = read(&*store).await;
    assert_eq!(look.key_count().await.unwrap(), 7);
    assert_eq!(look.keys(None, 3).await.unwrap(), keys[..3]);
    assert_eq!(look.keys(Some(&keys[2].id), 3).await.unwrap(), keys[3..6]);
    assert_eq!(look.keys(Some(&keys[5].id), 3).await.unwrap(), keys[6..]);
    assert_eq!(look.people(None, 3).await.unwrap(), []);
}

async fn a_dropped_transaction_leaves_nothing(store: Arc<dyn Store>) {
    let mut change = write(&*store).await;
    change.insert_keys(&[key(1)]).await.unwrap();
    drop(change);
    assert_eq!(read(&*store).await.key(&key_id(1)).await.unwrap(), None);
    // And nobody waits for it.
    let mut change = write(&*store).await;
    change.insert_keys(&[key(1)]).await.unwrap();
    changed(change, "key_000001").await;
}

async fn nothing_to_change_is_no_change(store: Arc<dyn Store>) {
    put_ada(&*store).await;
    let mut change = write(&*store).await;
    change.insert_keys(&[full_key(1)]).await.unwrap();
    changed(change, "key_000001").await;
    let audited =
        store.audit(&AuditFilter { limit: 10, ..AuditFilter::default() }).await.unwrap().records.len();

    let mut change = write(&*store).await;
    change.put_organization(&organization()).await.unwrap();
    change.put_person(&ada()).await.unwrap();
    change.update_key(&full_key(1)).await.unwrap();
    change.insert_keys(&[]).await.unwrap();
    assert_eq!(change.revoke_key(&key_id(9), &revocation(0)).await.unwrap(), None);
    let committed = change.commit(&[audit("key_000001", "nothing")]).await.unwrap();
    assert!(matches!(committed, Committed::Unchanged), "{committed:?}");
    let filter = AuditFilter { limit: 10, ..AuditFilter::default() };
    assert_eq!(store.audit(&filter).await.unwrap().records.len(), audited);
}

async fn a_revocation_is_for_good(store: Arc<dyn Store>) {
    let mut change = write(&*store).await;
    change.insert_keys(&[key(1)]).await.unwrap();
    assert_eq!(change.revoke_key(&key_id(1), &revocation(5)).await.unwrap(), Some(RevokedBefore(None)));
    changed(change, "key_000001").await;

    let mut change = write(&*store).await;
    let again = change.revoke_key(&key_id(1), &revocation(9)).await.unwrap();
    assert_eq!(again, Some(RevokedBefore(Some(instant(5)))));
    assert_refused(change.update_key(&key(1)).await, "revoked");
    assert_refused(change.insert_keys(&[key(1)]).await, "key_000001");
    drop(change);
    let found = read(&*store).await.key(&key_id(1)).await.unwrap().unwrap();
    assert_eq!(found.revoked, Some(revocation(5)));
}

async fn ids_and_digests_are_unique(store: Arc<dyn Store>) {
    let mut change = write(&*store).await;
    change.insert_keys(&[key(1), key(2), key(3)]).await.unwrap();
    change.update_key(&rotated(&key(1), "new")).await.unwrap();
    changed(change, "key_000001").await;

    let mut change = write(&*store).await;
    assert_refused(change.insert_keys(&[key(2)]).await, "key_000002");
    let same = |digest| KeyRecord { digest, ..key(9) };
    assert_refused(change.insert_keys(&[same(key(2).digest)]).await, "key_000002");
    assert_refused(change.insert_keys(&[same(digest("new"))]).await, "key_000001");
    assert_refused(change.insert_keys(&[same(key(1).digest)]).await, "key_000001");
    assert_refused(change.insert_keys(&[key(7), key(7)]).await, "key_000007");
    assert_refused(change.insert_keys(&[key(8), same(key(8).digest)]).await, "key_000008");
    assert_refused(change.update_key(&rotated(&key(2), "new")).await, "key_000001");
    assert_refused(change.update_key(&rotated(&key(2), "secret 1")).await, "key_000001");
    assert_refused(change.update_key(&key(9)).await, "key_000009");
    drop(change);
    // What is dropped by a second rotation is free.
    let mut change = write(&*store).await;
    let once = change.key(&key_id(1)).await.unwrap().unwrap();
    change.update_key(&rotated(&once, "newer")).await.unwrap();
    change.insert_keys(&[same(digest("secret 1"))]).await.unwrap();
    changed(change, "key_000001").await;
}

async fn a_refusal_leaves_nothing(store: Arc<dyn Store>) {
    let mut change = write(&*store).await;
    change.insert_keys(&[key(1500)]).await.unwrap();
    changed(change, "key_001500").await;
    let mut change = write(&*store).await;
    let keys: Vec<_> = (0..1600).map(key).collect();
    assert_refused(change.insert_keys(&keys).await, "key_001500");
    let committed = change.commit(&[]).await.unwrap();
    assert!(matches!(committed, Committed::Unchanged), "{committed:?}");
    assert_eq!(read(&*store).await.keys(None, 10).await.unwrap(), [key(1500)]);
}

async fn what_is_taken_is_told(store: Arc<dyn Store>) {
    let mut change = write(&*store).await;
    change.insert_keys(&[key(1), key(2)]).await.unwrap();
    change.update_key(&rotated(&key(1), "new")).await.unwrap();
    changed(change, "key_000001").await;
    let mut look = read(&*store).await;
    let digests = [digest("new"), key(1).digest, key(3).digest];
    let Taken { ids, mut digests } = look.taken(&[key_id(2), key_id(3)], &digests).await.unwrap();
    assert_eq!(ids, [key_id(2)]);
    digests.sort_by_key(|(digest, _)| *digest != key(1).digest);
    assert_eq!(digests, [(key(1).digest, key_id(1)), (digest("new"), key_id(1))]);
}

async fn who_looks_changes_nothing(store: Arc<dyn Store>) {
    let mut look = read(&*store).await;
    assert_refused(look.insert_keys(&[key(1)]).await, "looking");
    assert_refused(look.put_person(&ada()).await, "looking");
    assert_refused(look.put_organization(&organization()).await, "looking");
    assert_refused(look.update_key(&key(1)).await, "looking");
    assert_refused(look.revoke_key(&key_id(1), &revocation(0)).await, "looking");
    assert_refused(look.commit(&[]).await, "looking");
}

async fn a_look_sees_one_state(store: Arc<dyn Store>) {
    let mut look = read(&*store).await;
    let mut change = write(&*store).await;
    change.insert_keys(&[key(1)]).await.unwrap();
    changed(change, "key_000001").await;
    assert_eq!(look.key(&key_id(1)).await.unwrap(), None);
    assert_eq!(read(&*store).await.key(&key_id(1)).await.unwrap(), Some(key(1)));
}

async fn who_names_a_project_is_found(store: Arc<dyn Store>) {
    put_ada(&*store).await;
    let of = organization().id;
    assert_eq!(read(&*store).await.who_names(&of, "alpha").await.unwrap().as_deref(), Some("person ada"));
    let mut change = write(&*store).await;
    change.insert_keys(&[full_key(1)]).await.unwrap();
    changed(change, "key_000001").await;
    let mut look = read(&*store).await;
    assert_eq!(look.who_names(&of, "alpha").await.unwrap().as_deref(), Some("key key_000001"));
    for nobody in ["gamma", "alph", "ALPHA", "%", "al%", "\"", "alpha\",\"beta"] {
        assert_eq!(look.who_names(&of, nobody).await.unwrap(), None, "{nobody}");
    }
}

async fn the_audit_is_of_an_organization(store: Arc<dyn Store>) {
    let id = |text: &str| OrganizationId::parse(text).unwrap();
    let made = async |number, of: Option<&str>, organizations: &[&str]| {
        let mut change = write(&*store).await;
        for organization in organizations {
            let projects = Some(vec![organization.to_string()]);
            let organization = Organization { id: id(organization), name: None, projects };
            change.put_organization(&organization).await.unwrap();
        }
        let organization =
            Some(of.or(organizations.first().copied()).map_or_else(OrganizationId::default, id));
        change.insert_keys(&[KeyRecord { organization, ..key(number) }]).await.unwrap();
        let record = AuditRecord { organization: of.map(id), ..audit(key_id(number).as_str(), "made") };
        let committed = change.commit(&[record]).await.unwrap();
        assert!(matches!(committed, Committed::Revision(_) | Committed::Written(_)), "{committed:?}");
    };
    let seen = async |of: &str| {
        let filter = AuditFilter { organization: Some(id(of)), limit: 10, ..AuditFilter::default() };
        let records = store.audit(&filter).await.unwrap().records;
        records.into_iter().map(|record| record.id).collect::<Vec<_>>()
    };
    made(1, None, &[]).await;
    assert_eq!((seen("default").await, seen("acme").await), (vec!["key_000001".to_owned()], vec![]));
    made(2, Some("default"), &["default"]).await;
    assert_eq!(seen("default").await, ["key_000002", "key_000001"]);
    made(3, Some("acme"), &["acme"]).await;
    assert_eq!(
        (seen("default").await, seen("acme").await),
        (vec!["key_000002".to_owned()], vec!["key_000003".to_owned()])
    );
    let all = store.audit(&AuditFilter { limit: 10, ..AuditFilter::default() }).await.unwrap().records;
    let organizations: Vec<_> = all.into_iter().map(|record| record.organization).collect();
    assert_eq!(organizations, [Some(id("acme")), Some(id("default")), None]);
}

async fn the_audit_goes_with_the_change(store: Arc<dyn Store>) {
    for number in 1..=4 {
        let mut change = write(&*store).await;
        change.insert_keys(&[key(number)]).await.unwrap();
        changed(change, key_id(number).as_str()).await;
    }
    let page = async |filter: &AuditFilter| {
        let AuditPage { records, end, .. } = store.audit(filter).await.unwrap();
        (records.into_iter().map(|record| record.id).collect::<Vec<_>>(), end)
    };
    let ids = async |filter: AuditFilter| page(&filter).await.0;
    let all = AuditFilter { limit: 10, ..AuditFilter::default() };
    assert_eq!(ids(all.clone()).await, ["key_000004", "key_000003", "key_000002", "key_000001"]);
    assert_eq!(ids(AuditFilter { id: Some("key_000002".to_owned()), ..all.clone() }).await, ["key_000002"]);
    assert!(ids(AuditFilter { actor: Some("bob".to_owned()), ..all.clone() }).await.is_empty());
    assert!(ids(AuditFilter { record: Some("person".to_owned()), ..all.clone() }).await.is_empty());
    let found = store.audit(&all).await.unwrap().records;
    assert_eq!((&*found[0].what, &*found[0].actor), ("made", "ada (uid 1000)"));
    let newest = found[0].at;
    assert!(ids(AuditFilter { since: Some(newest), ..all.clone() }).await.contains(&"key_000004".to_owned()));
    assert!(!ids(AuditFilter { until: Some(newest), ..all }).await.contains(&"key_000004".to_owned()));

    // Pages either way give every record once, whatever is added in between.
    let mut back = AuditFilter { limit: 3, ..AuditFilter::default() };
    let (newest, end) = page(&back).await;
    back.from = AuditFrom::Before(end);
    let mut on = AuditFilter { limit: 3, from: AuditFrom::After(None), ..AuditFilter::default() };
    let (oldest, end) = page(&on).await;
    on.from = AuditFrom::After(end);
    let mut change = write(&*store).await;
    change.insert_keys(&[key(5)]).await.unwrap();
    changed(change, "key_000005").await;
    assert_eq!((newest.len(), ids(back).await), (3, vec!["key_000001".to_owned()]));
    let (rest, end) = page(&on).await;
    assert_eq!((oldest.len(), rest), (3, vec!["key_000004".to_owned(), "key_000005".to_owned()]));
    on.from = AuditFrom::After(end);
    assert_eq!(page(&on).await, (Vec::new(), end));
}
