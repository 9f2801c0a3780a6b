//! Passwords, links and sessions in the tables of a database.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    connection::{Driver, Row, Value},
    record_row::{floor_us, instant},
    session::{Begin, Sessions},
};
use crate::{
    keys::record::{KeyId, PersonId},
    store::{
        accounts::{Accounts, Link, LinkPurpose, PasswordHash, SESSIONS_MAX, Session, TokenDigest},
        contract::{StoreError, Task},
    },
};

const LINK_COLUMNS: &str = "token, purpose, person, made_by, expires_at";
const SESSION_COLUMNS: &str =
    "token, id, person, key, created_at, seen_at, idle_until, expires_at, address, agent";

/// See the module.
#[derive(Debug)]
pub(super) struct SqlAccounts {
    pub(super) sessions: Arc<Sessions>,
}

impl SqlAccounts {
    /// The first row of an answer, and what it tells.
    async fn first<T>(
        &self,
        statement: String,
        values: Vec<Value<'_>>,
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut session = self.sessions.begin(Begin::Read).await?;
        session.connection()?.first(statement, values).await?.as_ref().map(read).transpose()
    }

    /// Runs one statement that changes something, and gives how many rows it touched.
    async fn change(&self, statement: &'static str, values: Vec<Value<'_>>) -> Result<u64, StoreError> {
        let mut session = self.sessions.begin(Begin::Note).await?;
        let touched = session.connection()?.execute(statement, values).await?;
        session.commit().await?;
        Ok(touched)
    }

    async fn replace_password(&self, person: &PersonId, password: &PasswordHash) -> Result<(), StoreError> {
        let mut session = self.sessions.begin(Begin::Note).await?;
        let connection = session.connection()?;
        let put = "INSERT INTO passwords (person, phc, set_at) VALUES ($1, $2, $3) \
             ON CONFLICT (person) DO UPDATE SET phc = excluded.phc, set_at = excluded.set_at";
        let values =
            vec![person.as_str().into(), password.phc.as_str().into(), floor_us(password.set_at).into()];
        connection.execute(put, values).await?;
        for statement in ["DELETE FROM sessions WHERE person = $1", "DELETE FROM links WHERE person = $1"] {
            connection.execute(statement, vec![person.as_str().into()]).await?;
        }
        session.commit().await
    }

    async fn taken_link(&self, token: TokenDigest, now: Timestamp) -> Result<Option<Link>, StoreError> {
        let mut session = self.sessions.begin(Begin::Note).await?;
        let statement =
            format!("DELETE FROM links WHERE token = $1 AND expires_at > $2 RETURNING {LINK_COLUMNS}");
        let values = vec![token.0.as_slice().into(), floor_us(now).into()];
        let row = session.connection()?.first(statement, values).await?;
        let found = row.as_ref().map(link).transpose()?;
        session.commit().await?;
        Ok(found)
    }

    async fn begin_session(&self, new: &Session) -> Result<(), StoreError> {
        let mut session = self.sessions.begin(Begin::Note).await?;
        let connection = session.connection()?;
        if matches!(connection.driver, Driver::Postgres(_)) {
            // Two at once would each see room for one more.
            connection.execute("LOCK TABLE sessions IN SHARE ROW EXCLUSIVE MODE", Vec::new()).await?;
        }
        let ended = "DELETE FROM sessions WHERE idle_until <= $1 OR expires_at <= $1";
        connection.execute(ended, vec![floor_us(new.created_at).into()]).await?;
        let oldest = "DELETE FROM sessions WHERE token IN (SELECT token FROM sessions WHERE person = $1 \
             ORDER BY created_at DESC, token LIMIT 1000000 OFFSET $2)";
        let others_max = SESSIONS_MAX as u64 - 1;
        connection.execute(oldest, vec![new.person.as_str().into(), others_max.into()]).await?;
        let insert = format!(
            "INSERT INTO sessions ({SESSION_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
        );
        connection.execute(insert, session_values(new)).await?;
        session.commit().await
    }

    async fn open_sessions(&self, person: &PersonId, now: Timestamp) -> Result<Vec<Session>, StoreError> {
        let mut session = self.sessions.begin(Begin::Read).await?;
        let statement = format!(
            "SELECT {SESSION_COLUMNS} FROM sessions WHERE person = $1 AND idle_until > $2 AND expires_at > $2 \
             ORDER BY seen_at DESC, created_at DESC, id DESC"
        );
        let values = vec![person.as_str().into(), floor_us(now).into()];
        session.connection()?.rows(statement, values).await?.iter().map(session_of).collect()
    }
}

/// The purpose of a link in two columns.
fn purpose_values(purpose: &LinkPurpose) -> (&'static str, &str) {
    match purpose {
        LinkPurpose::FirstOwner => ("first owner", ""),
        LinkPurpose::Invitation(person) => ("invitation", person.as_str()),
        LinkPurpose::SignIn(person) => ("sign in", person.as_str()),
    }
}

fn link(row: &Row) -> Result<Link, StoreError> {
    let purpose = match row.get(1)? {
        "first owner" => LinkPurpose::FirstOwner,
        "invitation" => LinkPurpose::Invitation(person(row, 2)?),
        "sign in" => LinkPurpose::SignIn(person(row, 2)?),
        _ => return Err(nonsense("a link for something unknown")),
    };
    Ok(Link { token: token(row)?, purpose, made_by: row.get(3)?, expires_at: instant(row.get(4)?) })
}

fn session_values(session: &Session) -> Vec<Value<'_>> {
    vec![
        session.token.0.as_slice().into(),
        session.id.as_str().into(),
        session.person.as_str().into(),
        session.key.as_ref().map(KeyId::as_str).into(),
        floor_us(session.created_at).into(),
        floor_us(session.seen_at).into(),
        floor_us(session.idle_until).into(),
        floor_us(session.expires_at).into(),
        session.address.map(|address| address.to_string()).into(),
        session.agent.as_str().into(),
    ]
}

fn session_of(row: &Row) -> Result<Session, StoreError> {
    let key = row.get::<Option<&str>>(3)?.map(KeyId::parse).transpose();
    Ok(Session {
        token: token(row)?,
        id: row.get(1)?,
        person: person(row, 2)?,
        // Without its key it would outlive it.
        key: key.map_err(|_| nonsense("a session by a key whose id makes no sense"))?,
        created_at: instant(row.get(4)?),
        seen_at: instant(row.get(5)?),
        idle_until: instant(row.get(6)?),
        expires_at: instant(row.get(7)?),
        address: row.get::<Option<&str>>(8)?.and_then(|address| address.parse().ok()),
        agent: row.get(9)?,
    })
}

fn token(row: &Row) -> Result<TokenDigest, StoreError> {
    let bytes = row.get::<&[u8]>(0)?.try_into();
    bytes.map(TokenDigest).map_err(|_| nonsense("a token whose digest has not 32 bytes"))
}

fn person(row: &Row, column: usize) -> Result<PersonId, StoreError> {
    PersonId::parse(row.get(column)?).map_err(|_| nonsense("a link or session of nobody"))
}

fn nonsense(what: &str) -> StoreError {
    StoreError::Failed(format!("the database holds {what}"))
}

impl Accounts for SqlAccounts {
    fn keeps_passwords(&self) -> bool {
        true
    }

    fn password<'a>(&'a self, person: &'a PersonId) -> Task<'a, Option<PasswordHash>> {
        let statement = "SELECT phc, set_at FROM passwords WHERE person = $1".to_owned();
        let read = |row: &Row| Ok(PasswordHash { phc: row.get(0)?, set_at: instant(row.get(1)?) });
        Box::pin(self.first(statement, vec![person.as_str().into()], read))
    }

    fn set_password<'a>(&'a self, person: &'a PersonId, password: &'a PasswordHash) -> Task<'a, ()> {
        Box::pin(self.replace_password(person, password))
    }

    fn rehash<'a>(
        &'a self,
        person: &'a PersonId,
        before: &'a PasswordHash,
        after: &'a PasswordHash,
    ) -> Task<'a, ()> {
        let statement = "UPDATE passwords SET phc = $1, set_at = $2 WHERE person = $3 AND phc = $4";
        let values = vec![
            after.phc.as_str().into(),
            floor_us(after.set_at).into(),
            person.as_str().into(),
            before.phc.as_str().into(),
        ];
        Box::pin(async move { self.change(statement, values).await.map(drop) })
    }

    fn put_link<'a>(&'a self, link: &'a Link) -> Task<'a, ()> {
        let statement = "INSERT INTO links (token, purpose, person, made_by, expires_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (purpose, person) DO UPDATE SET token = excluded.token, \
             made_by = excluded.made_by, expires_at = excluded.expires_at";
        let (purpose, person) = purpose_values(&link.purpose);
        let values = vec![
            link.token.0.as_slice().into(),
            purpose.into(),
            person.into(),
            link.made_by.as_str().into(),
            floor_us(link.expires_at).into(),
        ];
        Box::pin(async move { self.change(statement, values).await.map(drop) })
    }

    fn link(&self, token: TokenDigest, now: Timestamp) -> Task<'_, Option<Link>> {
        Box::pin(async move {
            let statement = format!("SELECT {LINK_COLUMNS} FROM links WHERE token = $1 AND expires_at > $2");
            let values = vec![token.0.as_slice().into(), floor_us(now).into()];
            self.first(statement, values, link).await
        })
    }

    fn link_for<'a>(&'a self, purpose: &'a LinkPurpose, now: Timestamp) -> Task<'a, Option<Link>> {
        let statement = format!(
            "SELECT {LINK_COLUMNS} FROM links WHERE purpose = $1 AND person = $2 AND expires_at > $3"
        );
        let (purpose, person) = purpose_values(purpose);
        Box::pin(self.first(statement, vec![purpose.into(), person.into(), floor_us(now).into()], link))
    }

    fn take_link(&self, token: TokenDigest, now: Timestamp) -> Task<'_, Option<Link>> {
        Box::pin(self.taken_link(token, now))
    }

    fn end_link<'a>(&'a self, purpose: &'a LinkPurpose) -> Task<'a, ()> {
        let statement = "DELETE FROM links WHERE purpose = $1 AND person = $2";
        let (purpose, person) = purpose_values(purpose);
        Box::pin(async move { self.change(statement, vec![purpose.into(), person.into()]).await.map(drop) })
    }

    fn put_session<'a>(&'a self, session: &'a Session) -> Task<'a, ()> {
        Box::pin(self.begin_session(session))
    }

    fn session(&self, token: TokenDigest, now: Timestamp) -> Task<'_, Option<Session>> {
        Box::pin(async move {
            let statement = format!(
                "SELECT {SESSION_COLUMNS} FROM sessions WHERE token = $1 AND idle_until > $2 AND expires_at > $2"
            );
            let values = vec![token.0.as_slice().into(), floor_us(now).into()];
            self.first(statement, values, session_of).await
        })
    }

    fn see_session(&self, token: TokenDigest, seen_at: Timestamp, idle_until: Timestamp) -> Task<'_, ()> {
        Box::pin(async move {
            let statement = "UPDATE sessions SET seen_at = $2, idle_until = $3 WHERE token = $1";
            let values =
                vec![token.0.as_slice().into(), floor_us(seen_at).into(), floor_us(idle_until).into()];
            self.change(statement, values).await.map(drop)
        })
    }

    fn sessions_of<'a>(&'a self, person: &'a PersonId, now: Timestamp) -> Task<'a, Vec<Session>> {
        Box::pin(self.open_sessions(person, now))
    }

    fn end_session<'a>(&'a self, person: &'a PersonId, id: &'a str) -> Task<'a, bool> {
        let statement = "DELETE FROM sessions WHERE person = $1 AND id = $2";
        Box::pin(
            async move { Ok(self.change(statement, vec![person.as_str().into(), id.into()]).await? > 0) },
        )
    }

    fn end_sessions<'a>(&'a self, person: &'a PersonId) -> Task<'a, u64> {
        Box::pin(self.change("DELETE FROM sessions WHERE person = $1", vec![person.as_str().into()]))
    }
}
