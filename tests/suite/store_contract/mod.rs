//! One list of cases for every store: [`store_cases`] and [`query_cases`] for what each of them promises, [`database_cases`] for what those
//! promise that several processes follow, [`accounts`] for what people sign in with. A new kind of store is a test that runs the lists.

mod accounts;
mod database_cases;
mod query_cases;
pub(crate) mod records;
mod sql;
pub(crate) mod store_cases;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use keygate::{
    store::{
        contract::{Database, Store},
        database_url::DatabaseUrl,
        file_store::{FileStore, FileStoreOptions},
        key_files::Location,
        memory::MemoryDatabase,
    },
    telemetry::operator::Operator,
};

use super::harness::Postgres;

/// Something that a store is to be found doing.
pub(crate) type Case<S> = fn(Arc<S>) -> Pin<Box<dyn Future<Output = ()>>>;

/// Runs every case on a store of its own, each of which `make` makes.
#[expect(clippy::print_stderr, reason = "a case that fails is known by its name")]
pub(crate) fn run_all<S: ?Sized>(cases: &[(&str, Case<S>)], make: impl AsyncFn() -> Arc<S>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (name, case) in cases {
        eprintln!("case: {name}");
        runtime.block_on(async { case(make().await).await });
    }
}

/// A new database at `url`.
async fn made_at(url: &DatabaseUrl) -> Arc<dyn Database> {
    keygate::store::sql::migrate(url, false).await.unwrap();
    keygate::store::sql::open(url, None).await.unwrap()
}

/// Runs both lists on databases of one kind.
fn run_lists(make: impl AsyncFn() -> Arc<dyn Database>) {
    for cases in [store_cases::CASES, query_cases::CASES] {
        run_all(cases, async || {
            let store: Arc<dyn Store> = make().await;
            store
        });
    }
    run_all(database_cases::CASES, &make);
    run_all(accounts::CASES, async || make().await.accounts());
}

#[test]
fn memory_keeps_what_it_promises() {
    run_lists(async || {
        let database: Arc<dyn Database> = Arc::new(MemoryDatabase::default());
        database
    });
}

#[test]
fn key_files_keep_what_they_promise() {
    let folder = tempfile::tempdir().unwrap();
    let number = AtomicU32::new(0);
    let make = async || {
        let state = folder.path().join(number.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::create_dir(&state).unwrap();
        let store: Arc<dyn Store> = Arc::new(FileStore::new(FileStoreOptions {
            location: Location::File(state.join("keys.yaml")),
            rules: None,
            state: Some(state),
            new_records: None,
            operator: Operator::of_process(),
            replaces: true,
        }));
        store
    };
    run_all(store_cases::CASES, make);
    run_all(query_cases::CASES, make);
}

#[test]
fn sqlite_keeps_what_it_promises() {
    let folder = tempfile::tempdir().unwrap();
    let number = AtomicU32::new(0);
    run_lists(async || {
        let file = format!("{}.db", number.fetch_add(1, Ordering::Relaxed));
        made_at(&DatabaseUrl::Sqlite(folder.path().join(file))).await
    });
}

#[test]
fn postgres_keeps_what_it_promises() {
    let server = Postgres::start();
    run_lists(async || made_at(&DatabaseUrl::parse(&server.create_database()).unwrap()).await);
}
