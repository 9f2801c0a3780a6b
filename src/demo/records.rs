//! The people and keys of the demo, of each kind one, and how they come into its database.

use ipnet::IpNet;
use jiff::{Timestamp, ToSpan as _};

use super::{
    DemoError,
    keyring::{Holder, Keyring},
    past,
};
use crate::{
    control::sign_in::{self, Token},
    keys::record::{
        Email, KeyId, KeyRecord, Name, Organization, OrganizationId, Person, PersonId, PreviousSecret,
        Revocation,
    },
    policy::{principal::Role, project::ProjectSet, scope::MANAGE},
    store::{
        accounts::LinkPurpose,
        contract::{Access, AuditRecord, Committed, StoreError},
        database_url::DatabaseUrl,
        sql,
    },
};

/// Whom the sign-in link of the demo is for.
pub(super) const OWNER: &str = "ada";

/// Id, name, role, and whether they have left.
const PEOPLE: [(&str, &str, Role, bool); 6] = [
    (OWNER, "Ada Okafor", Role::Owner, false),
    ("bob", "Bob Lindqvist", Role::Member, false),
    ("cleo", "Cleo Tanaka", Role::Viewer, false),
    ("dan", "Dan Moreau", Role::Member, true),
    ("eve", "Eve Castillo", Role::Member, false),
    ("mia", "Mia Novak", Role::Admin, false),
];

/// A key as the demo wants it; days count from now.
struct Fixture {
    holder: Holder,
    name: &'static str,
    owner: &'static str,
    scope: &'static str,
    /// `None`: all.
    project: Option<&'static str>,
    not_before: Option<i64>,
    expires: Option<i64>,
    is_revoked: bool,
    network: Option<&'static str>,
    created: i64,
}

const fn fixture(holder: Holder, name: &'static str, owner: &'static str, scope: &'static str) -> Fixture {
    Fixture {
        holder,
        name,
        owner,
        scope,
        project: None,
        not_before: None,
        expires: None,
        is_revoked: false,
        network: None,
        created: -30,
    }
}

const YESTERDAY: Option<i64> = Some(-1);
const TOMORROW: Option<i64> = Some(1);
const SOON: Option<i64> = Some(4);
const NEXT_MONTH: Option<i64> = Some(30);

const KEYS: [Fixture; 16] = [
    fixture(Holder::Admin, "Administration", "ada", "admin"),
    Fixture { expires: NEXT_MONTH, ..fixture(Holder::Write, "Continuous integration", "bob", "write") },
    Fixture { expires: NEXT_MONTH, ..fixture(Holder::Read, "Dashboard", "cleo", "read") },
    Fixture {
        project: Some("alpha"),
        expires: NEXT_MONTH,
        ..fixture(Holder::Alpha, "Continuous integration of alpha", "bob", "write")
    },
    // A key is never more than its owner: this one reads.
    fixture(Holder::Capped, "Granted admin, owned by a viewer", "cleo", "admin"),
    Fixture { expires: YESTERDAY, ..fixture(Holder::Expired, "Trial", "bob", "write") },
    Fixture { is_revoked: true, ..fixture(Holder::Revoked, "Printed by a build", "ada", "admin") },
    Fixture { not_before: TOMORROW, ..fixture(Holder::Future, "For the next release", "bob", "write") },
    fixture(Holder::Disabled, "Of somebody who left", "dan", "write"),
    // Nobody on this machine has an address of this network.
    Fixture {
        network: Some("192.0.2.0/24"),
        ..fixture(Holder::Elsewhere, "For one network only", "bob", "write")
    },
    fixture(Holder::Leaving, "To be revoked while you watch", "bob", "write"),
    fixture(Holder::Demoted, "Of somebody who is demoted while you watch", "eve", "write"),
    Fixture { expires: NEXT_MONTH, ..fixture(Holder::Manage, "Provisioning of keys", "mia", MANAGE) },
    Fixture { created: -400, ..fixture(Holder::Forgotten, "Migration of last year", "ada", "admin") },
    Fixture { expires: SOON, created: -86, ..fixture(Holder::Ending, "Nightly report", "cleo", "read") },
    // Its secret was changed a moment ago; both work.
    Fixture { expires: NEXT_MONTH, ..fixture(Holder::Rotating, "Deployment", "eve", "write") },
];

/// Makes the database and puts organization, people and keys into it, as one change, and what they did before. Gives a
/// one-time link by which their owner signs in.
pub(super) fn fill(database: &DatabaseUrl, keyring: &Keyring, now: Timestamp) -> Result<Token, DemoError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (people, keys) = (people()?, keys(keyring, now)?);
    let filling = async {
        sql::migrate(database, false).await?;
        let store = sql::open(database, None).await?;
        let mut transaction = store.begin(Access::Write).await?;
        transaction.put_organization(&organization()).await?;
        for person in &people {
            transaction.put_person(person).await?;
        }
        transaction.insert_keys(&keys).await?;
        let ids = people.iter().map(|person| ("people create", "person", person.id.to_string()));
        let ids = ids.chain(keys.iter().map(|key| ("keys import", "key", key.id.to_string())));
        let audit: Vec<_> = ids.map(|(command, record, id)| created(command, record, id, now)).collect();
        let committed = transaction.commit(&audit).await?;
        store.add_usage(&past::uses(keyring, now)).await?;
        store.add_scope_uses(&past::scope_uses(now)).await?;
        let owner = PersonId::parse(OWNER).map_err(|error| StoreError::Failed(error.to_string()))?;
        let purpose = LinkPurpose::SignIn(owner);
        let link =
            sign_in::make_link(&*store.accounts(), purpose, "the demo", sign_in::SIGN_IN_VALID, now).await?;
        Ok::<_, StoreError>((committed, link))
    };
    let (committed, link) = runtime.block_on(filling).map_err(told)?;
    match committed {
        Committed::Revision(_) => Ok(link),
        Committed::Unchanged | Committed::Written(_) | Committed::Unaudited(..) | Committed::ToCommit(_) => {
            Err(DemoError("the database did not take the keys of the demo".to_owned()))
        }
    }
}

fn organization() -> Organization {
    let projects = ["alpha", "beta"].map(str::to_owned).to_vec();
    Organization { id: OrganizationId::default(), name: None, projects: Some(projects) }
}

fn people() -> Result<Vec<Person>, DemoError> {
    let person = |(id, name, role, disabled): (&str, &str, Role, bool)| {
        Ok(Person {
            id: PersonId::parse(id).map_err(told)?,
            email: Email::parse(&format!("{id}@example.com")).map_err(told)?,
            name: Some(Name::parse(name).map_err(told)?),
            organization: Some(OrganizationId::default()),
            role,
            projects: ProjectSet::All,
            disabled,
        })
    };
    PEOPLE.into_iter().map(person).collect()
}

fn keys(keyring: &Keyring, now: Timestamp) -> Result<Vec<KeyRecord>, DemoError> {
    KEYS.iter().map(|fixture| key(fixture, keyring, now)).collect()
}

fn key(fixture: &Fixture, keyring: &Keyring, now: Timestamp) -> Result<KeyRecord, DemoError> {
    // Far from the ends of time.
    let day = |days: i64| now.checked_add((days * 24).hours()).unwrap_or(now).round(jiff::Unit::Second);
    let day = |days: Option<i64>| days.map(day).transpose().map_err(told);
    let named = |name: &str| Name::parse(name).map_err(told);
    let revoked = || -> Result<_, DemoError> {
        let by_ada =
            |at| Ok(Revocation { at, by: Some(named("ada")?), reason: Some(named("printed by a build")?) });
        day(YESTERDAY)?.map(by_ada).transpose()
    };
    let before_rotation = || -> Result<_, DemoError> {
        let until = now.checked_add(24.hours()).map_err(told)?.round(jiff::Unit::Second).map_err(told)?;
        Ok(PreviousSecret { digest: keyring.digest(Holder::RotatingBefore), until })
    };
    Ok(KeyRecord {
        name: Some(named(fixture.name)?),
        organization: Some(OrganizationId::default()),
        owner: Some(PersonId::parse(fixture.owner).map_err(told)?),
        prefix: Some(named(keyring.prefix(fixture.holder))?),
        scopes: vec![fixture.scope.to_owned()],
        projects: fixture.project.map_or(ProjectSet::All, |project| ProjectSet::only([project])),
        created_at: day(Some(fixture.created))?,
        not_before: day(fixture.not_before)?,
        expires_at: day(fixture.expires)?,
        addresses: fixture
            .network
            .iter()
            .map(|text| text.parse::<IpNet>())
            .collect::<Result<_, _>>()
            .map_err(told)?,
        previous: if fixture.holder == Holder::Rotating { Some(before_rotation()?) } else { None },
        revoked: if fixture.is_revoked { revoked()? } else { None },
        ..KeyRecord::new(KeyId::parse(fixture.holder.id()).map_err(told)?, keyring.digest(fixture.holder))
    })
}

fn created(command: &str, record: &str, id: String, now: Timestamp) -> AuditRecord {
    AuditRecord {
        at: now,
        revision: None,
        actor: "the demo".to_owned(),
        address: None,
        organization: None,
        command: command.to_owned(),
        record: record.to_owned(),
        id,
        what: "created".to_owned(),
    }
}

fn told(error: impl std::fmt::Display) -> DemoError {
    DemoError(error.to_string())
}
