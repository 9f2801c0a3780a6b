//! What every place promises that keeps what people sign in with (`store::accounts::Accounts`).

use std::sync::Arc;

use jiff::Timestamp;
use keygate::{
    keys::record::PersonId,
    store::{
        accounts::{Accounts, Link, LinkPurpose, PasswordHash, SESSIONS_MAX, Session, TokenDigest},
        contract::StoreError,
    },
};

use super::{
    Case,
    records::{instant, key_id},
};

/// Every case, with its name. Each is given a place that holds nothing.
pub(crate) const CASES: &[(&str, Case<dyn Accounts>)] = &[
    ("a password is one's own", |accounts| Box::pin(a_password_is_ones_own(accounts))),
    ("a new password ends what there was", |accounts| Box::pin(a_new_password_ends_what_there_was(accounts))),
    ("a link is good until it ends", |accounts| Box::pin(a_link_is_good_until_it_ends(accounts))),
    ("a link works once", |accounts| Box::pin(a_link_works_once(accounts))),
    ("a new link takes the place of the old", |accounts| Box::pin(a_new_link_takes_the_place(accounts))),
    ("a link is ended by what it is for", |accounts| Box::pin(a_link_is_ended_by_its_purpose(accounts))),
    ("a session is found until it ends", |accounts| Box::pin(a_session_is_found_until_it_ends(accounts))),
    ("a session that is used goes on", |accounts| Box::pin(a_session_that_is_used_goes_on(accounts))),
    ("sessions are ended", |accounts| Box::pin(sessions_are_ended(accounts))),
    ("one person has so many sessions", |accounts| Box::pin(one_person_has_so_many_sessions(accounts))),
];

fn person(id: &str) -> PersonId {
    PersonId::parse(id).unwrap()
}

fn token(number: u8) -> TokenDigest {
    TokenDigest([number; 32])
}

fn link(number: u8, purpose: LinkPurpose) -> Link {
    Link { token: token(number), purpose, made_by: "person:ada".to_owned(), expires_at: instant(600) }
}

/// One that begins at `begins` seconds, is idle after 100 more and ends after 1000.
fn session(number: u8, of: &str, begins: i64) -> Session {
    Session {
        token: token(number),
        id: format!("session {number}"),
        person: person(of),
        key: number.is_multiple_of(2).then(|| key_id(number.into())),
        created_at: instant(begins),
        seen_at: instant(begins),
        idle_until: instant(begins + 100),
        expires_at: instant(begins + 1000),
        address: Some("2001:db8::7".parse().unwrap()),
        agent: "Mozilla/5.0 (ürün)".to_owned(),
    }
}

fn password(phc: &str, seconds: i64) -> PasswordHash {
    PasswordHash { phc: phc.to_owned(), set_at: instant(seconds) }
}

/// Does everything once: for those whose rights are to be seen.
pub(super) async fn all_of_it(accounts: &dyn Accounts) {
    accounts.set_password(&person("ada"), &password("$argon2id$1", 0)).await.unwrap();
    accounts.password(&person("ada")).await.unwrap();
    accounts.put_link(&link(1, LinkPurpose::FirstOwner)).await.unwrap();
    accounts.put_link(&link(2, LinkPurpose::FirstOwner)).await.unwrap();
    accounts.take_link(token(2), instant(0)).await.unwrap().unwrap();
    accounts.end_link(&LinkPurpose::FirstOwner).await.unwrap();
    accounts.put_session(&session(1, "ada", 0)).await.unwrap();
    accounts.see_session(token(1), instant(1), instant(2)).await.unwrap();
    assert_eq!(accounts.end_sessions(&person("ada")).await.unwrap(), 1);
}

async fn ids(accounts: &dyn Accounts, of: &str, now: Timestamp) -> Vec<String> {
    accounts.sessions_of(&person(of), now).await.unwrap().into_iter().map(|session| session.id).collect()
}

async fn a_password_is_ones_own(accounts: Arc<dyn Accounts>) {
    if !accounts.keeps_passwords() {
        let refused = accounts.set_password(&person("ada"), &password("$argon2id$1", 0)).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
        assert_eq!(accounts.password(&person("ada")).await.unwrap(), None);
        return;
    }
    for (of, phc) in [("ada", "$argon2id$1"), ("Ada", "$argon2id$2"), ("ada", "$argon2id$3")] {
        accounts.set_password(&person(of), &password(phc, 5)).await.unwrap();
    }
    assert_eq!(accounts.password(&person("ada")).await.unwrap(), Some(password("$argon2id$3", 5)));
    assert_eq!(accounts.password(&person("Ada")).await.unwrap(), Some(password("$argon2id$2", 5)));
    assert_eq!(accounts.password(&person("bob")).await.unwrap(), None);
}

async fn a_new_password_ends_what_there_was(accounts: Arc<dyn Accounts>) {
    if !accounts.keeps_passwords() {
        return;
    }
    accounts.put_session(&session(1, "ada", 0)).await.unwrap();
    accounts.put_session(&session(2, "bob", 0)).await.unwrap();
    accounts.put_link(&link(1, LinkPurpose::Invitation(person("ada")))).await.unwrap();
    accounts.put_link(&link(2, LinkPurpose::SignIn(person("ada")))).await.unwrap();
    accounts.put_link(&link(3, LinkPurpose::SignIn(person("bob")))).await.unwrap();
    accounts.put_link(&link(4, LinkPurpose::FirstOwner)).await.unwrap();
    accounts.set_password(&person("ada"), &password("$argon2id$1", 5)).await.unwrap();
    let now = instant(10);
    assert_eq!(accounts.session(token(1), now).await.unwrap(), None);
    assert!(accounts.session(token(2), now).await.unwrap().is_some());
    accounts.put_session(&session(1, "ada", 6)).await.unwrap();
    // The same one at higher costs ends nothing, and one that is no longer the password comes too late.
    let (first, costly) = (password("$argon2id$1", 5), password("$argon2id$2", 5));
    accounts.rehash(&person("ada"), &first, &costly).await.unwrap();
    accounts.rehash(&person("ada"), &first, &password("$argon2id$3", 5)).await.unwrap();
    accounts.rehash(&person("bob"), &first, &costly).await.unwrap();
    assert_eq!(accounts.password(&person("ada")).await.unwrap(), Some(costly));
    assert_eq!(accounts.password(&person("bob")).await.unwrap(), None);
    assert!(accounts.session(token(1), now).await.unwrap().is_some());
    for (number, is_there) in [(1, false), (2, false), (3, true), (4, true)] {
        let found = accounts.link(token(number), now).await.unwrap();
        assert_eq!(found.is_some(), is_there, "link {number}");
    }
}

async fn a_link_is_good_until_it_ends(accounts: Arc<dyn Accounts>) {
    for (number, purpose) in [
        (1, LinkPurpose::FirstOwner),
        (2, LinkPurpose::Invitation(person("ada"))),
        (3, LinkPurpose::SignIn(person("ada"))),
    ] {
        let link = link(number, purpose.clone());
        accounts.put_link(&link).await.unwrap();
        assert_eq!(accounts.link(token(number), instant(599)).await.unwrap(), Some(link.clone()));
        assert_eq!(accounts.link_for(&purpose, instant(599)).await.unwrap(), Some(link.clone()));
        assert_eq!(accounts.link(token(number), instant(600)).await.unwrap(), None);
        assert_eq!(accounts.link_for(&purpose, instant(600)).await.unwrap(), None);
        assert_eq!(accounts.take_link(token(number), instant(600)).await.unwrap(), None);
        assert_eq!(accounts.take_link(token(number), instant(599)).await.unwrap(), Some(link));
        assert_eq!(accounts.link_for(&purpose, instant(0)).await.unwrap(), None);
    }
    assert_eq!(accounts.link(token(9), instant(0)).await.unwrap(), None);
}

async fn a_link_works_once(accounts: Arc<dyn Accounts>) {
    accounts.put_link(&link(1, LinkPurpose::FirstOwner)).await.unwrap();
    let takers: Vec<_> = (0..8)
        .map(|_| {
            let accounts = Arc::clone(&accounts);
            tokio::spawn(async move { accounts.take_link(token(1), instant(0)).await.unwrap() })
        })
        .collect();
    let mut taken = 0;
    for taker in takers {
        taken += usize::from(taker.await.unwrap().is_some());
    }
    assert_eq!(taken, 1);
}

async fn a_new_link_takes_the_place(accounts: Arc<dyn Accounts>) {
    let invitation = || LinkPurpose::Invitation(person("ada"));
    accounts.put_link(&link(1, invitation())).await.unwrap();
    accounts.put_link(&link(2, LinkPurpose::Invitation(person("Ada")))).await.unwrap();
    accounts.put_link(&link(3, LinkPurpose::SignIn(person("ada")))).await.unwrap();
    accounts.put_link(&link(4, invitation())).await.unwrap();
    assert_eq!(accounts.link(token(1), instant(0)).await.unwrap(), None);
    assert_eq!(accounts.link_for(&invitation(), instant(0)).await.unwrap().unwrap().token, token(4));
    for other in [2, 3] {
        assert!(accounts.link(token(other), instant(0)).await.unwrap().is_some(), "{other}");
    }
}

async fn a_link_is_ended_by_its_purpose(accounts: Arc<dyn Accounts>) {
    let purposes = [
        LinkPurpose::Invitation(person("ada")),
        LinkPurpose::Invitation(person("Ada")),
        LinkPurpose::SignIn(person("ada")),
        LinkPurpose::FirstOwner,
    ];
    for (number, purpose) in (0..).zip(&purposes) {
        accounts.put_link(&link(number, purpose.clone())).await.unwrap();
    }
    let [ended, others @ ..] = &purposes;
    for _ in 0..2 {
        accounts.end_link(ended).await.unwrap();
    }
    assert_eq!(accounts.link_for(ended, instant(0)).await.unwrap(), None);
    assert_eq!(accounts.take_link(token(0), instant(0)).await.unwrap(), None);
    for other in others {
        assert!(accounts.link_for(other, instant(0)).await.unwrap().is_some(), "{other:?}");
    }
}

async fn a_session_is_found_until_it_ends(accounts: Arc<dyn Accounts>) {
    let (plain, by_key) = (session(1, "ada", 0), session(2, "ada", 5));
    let bare = Session { address: None, agent: String::new(), ..session(3, "bob", 0) };
    for session in [&plain, &by_key, &bare] {
        accounts.put_session(session).await.unwrap();
    }
    assert_eq!(accounts.session(token(1), instant(99)).await.unwrap(), Some(plain.clone()));
    assert_eq!(accounts.session(token(1), instant(100)).await.unwrap(), None, "idle");
    assert_eq!(accounts.session(token(3), instant(0)).await.unwrap(), Some(bare));
    assert_eq!(accounts.session(token(9), instant(0)).await.unwrap(), None);
    assert_eq!(accounts.sessions_of(&person("ada"), instant(10)).await.unwrap(), [by_key.clone(), plain]);
    assert_eq!(accounts.sessions_of(&person("ada"), instant(100)).await.unwrap(), [by_key]);
    assert_eq!(accounts.sessions_of(&person("ADA"), instant(0)).await.unwrap(), []);
}

async fn a_session_that_is_used_goes_on(accounts: Arc<dyn Accounts>) {
    accounts.put_session(&session(1, "ada", 0)).await.unwrap();
    accounts.put_session(&session(2, "ada", 1)).await.unwrap();
    accounts.see_session(token(1), instant(60), instant(2000)).await.unwrap();
    let seen = accounts.session(token(1), instant(999)).await.unwrap().unwrap();
    assert_eq!((seen.seen_at, seen.idle_until), (instant(60), instant(2000)));
    assert_eq!(accounts.session(token(1), instant(1000)).await.unwrap(), None, "however it is used");
    assert_eq!(ids(&*accounts, "ada", instant(60)).await, ["session 1", "session 2"]);
    accounts.see_session(token(9), instant(60), instant(2000)).await.unwrap();
    assert_eq!(accounts.session(token(9), instant(60)).await.unwrap(), None, "one that is not there");
}

async fn sessions_are_ended(accounts: Arc<dyn Accounts>) {
    for (number, of) in [(1, "ada"), (2, "ada"), (3, "ada"), (4, "bob")] {
        accounts.put_session(&session(number, of, number.into())).await.unwrap();
    }
    assert!(!accounts.end_session(&person("bob"), "session 1").await.unwrap(), "it is another's");
    assert!(accounts.end_session(&person("ada"), "session 1").await.unwrap());
    assert!(!accounts.end_session(&person("ada"), "session 1").await.unwrap());
    assert_eq!(ids(&*accounts, "ada", instant(10)).await, ["session 3", "session 2"]);
    assert_eq!(accounts.end_sessions(&person("ada")).await.unwrap(), 2);
    assert_eq!(accounts.end_sessions(&person("ada")).await.unwrap(), 0);
    assert_eq!(ids(&*accounts, "bob", instant(10)).await, ["session 4"]);
}

async fn one_person_has_so_many_sessions(accounts: Arc<dyn Accounts>) {
    accounts.put_session(&session(200, "bob", 0)).await.unwrap();
    let several: Vec<_> = (0..u8::try_from(SESSIONS_MAX).unwrap() + 5)
        .map(|number| {
            let accounts = Arc::clone(&accounts);
            // The two oldest first, the others at once.
            async move { accounts.put_session(&session(number, "ada", i64::from(number) / 2)).await.unwrap() }
        })
        .collect();
    let mut several = several.into_iter();
    for first in several.by_ref().take(2) {
        first.await;
    }
    let others: Vec<_> = several.map(tokio::spawn).collect();
    for other in others {
        other.await.unwrap();
    }
    let left = ids(&*accounts, "ada", instant(50)).await;
    assert_eq!(left.len(), SESSIONS_MAX);
    assert!(!left.contains(&"session 0".to_owned()) && !left.contains(&"session 1".to_owned()), "{left:?}");
    assert_eq!(ids(&*accounts, "bob", instant(50)).await, ["session 200"]);
    // One that begins later finds those gone that have ended.
    accounts.put_session(&session(201, "bob", 500)).await.unwrap();
    assert_eq!(ids(&*accounts, "ada", instant(0)).await, Vec::<String>::new());
}
