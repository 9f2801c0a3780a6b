//! Signing in to the admin listener (OWASP ASVS 5.0 §6 and §7): with a password, with a key that may manage, or once with
//! a link. Written once for the console, the API and the command line. Start reading at [`SignIn`].
//!
//! Whoever may not sign in is told nothing else: whether a name is unknown, has no password, is disabled or the password
//! is another, the answer and the work that is done for it are the same.

mod key;
mod link;
pub mod password;
mod session;
pub mod throttle;
mod token;

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

pub use self::{
    link::{FIRST_OWNER_VALID, INVITATION_VALID, SIGN_IN_VALID, invite, make_link},
    password::{NewPassword, Password, PasswordProblem},
    session::actor,
    token::Token,
};
use self::{
    password::{HashError, Hasher, Verified},
    throttle::{Throttle, Try, Wait},
};
use super::administration::{AdminError, Kept};
use crate::{
    clock::Clock,
    keys::record::{Person, PersonId},
    store::{
        accounts::{Accounts, PasswordHash, Session},
        contract::{Access, StoreError, Transaction},
    },
    telemetry::{
        self,
        audit::{AuditEvent, AuditLog, SignInEvent},
    },
};

/// The most characters of what a browser calls itself that are kept.
const AGENT_CHARS_MAX: usize = 200;

/// The longest name that is looked up: the longest e-mail address.
const LOGIN_BYTES_MAX: usize = 254;

/// How long sessions last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Without use.
    pub idle: SignedDuration,
    /// In all.
    pub absolute: SignedDuration,
}

impl Default for Lifetimes {
    /// 12 hours without use, 7 days in all.
    fn default() -> Self {
        Self { idle: SignedDuration::from_hours(12), absolute: SignedDuration::from_hours(7 * 24) }
    }
}

/// What signing in stands on.
#[derive(Debug)]
pub struct SignInParts {
    /// The people and keys.
    pub kept: Kept,
    /// Their passwords, links and sessions.
    pub accounts: Arc<dyn Accounts>,
    /// Where it is told.
    pub audit: Arc<AuditLog>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long sessions last.
    pub lifetimes: Lifetimes,
}

/// Signs people in. One for a process, since it counts failures.
#[derive(Debug)]
pub struct SignIn {
    parts: SignInParts,
    hasher: Hasher,
    throttle: Mutex<Throttle>,
    /// Keeps a flood of failures from filling the audit log.
    failures: telemetry::throttle::Throttle,
}

/// From where somebody signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    address: Option<IpAddr>,
    agent: String,
}

impl Origin {
    /// From `address`, by something that calls itself `agent`, of which 200 characters are kept.
    pub fn new(address: Option<IpAddr>, agent: &str) -> Self {
        let shown = agent.chars().filter(|character| !telemetry::escape::is_deceptive(*character));
        Self { address, agent: shown.take(AGENT_CHARS_MAX).collect() }
    }
}

/// A session that was begun.
#[derive(Debug)]
pub struct Begun {
    /// The session.
    pub session: Session,
    /// For the cookie; nobody can ask for it again.
    pub token: Token,
}

/// A session that goes on, and whose it is.
#[derive(Debug, Clone)]
pub struct Resumed {
    /// The session.
    pub session: Session,
    /// The person as they are now.
    pub person: Person,
}

/// Why nobody was signed in or nothing was changed.
#[derive(Debug)]
pub enum SignInError {
    /// The name, password or key is wrong, whatever it is (401).
    Wrong,
    /// The link is unknown, expired or used (410).
    DeadLink,
    /// Too many failures (429).
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too many sign in at the same time (503).
    Busy,
    /// The new password is not good enough (422).
    Password(PasswordProblem),
    /// Passwords are not kept here; sign in with a key.
    NoPasswords,
    /// The person could not be made.
    Admin(AdminError),
    /// The store or the system failed; nobody was signed in.
    Store(StoreError),
}

impl fmt::Display for SignInError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong => formatter.write_str("that is not right, or may not sign in here"),
            Self::DeadLink => {
                formatter.write_str("this link was used, has expired or never was; ask for a new one")
            }
            Self::Throttled { retry_after } => {
                let seconds = retry_after.as_millis().div_ceil(1000);
                write!(formatter, "too many attempts; try again in {seconds} s")
            }
            Self::Busy => formatter.write_str("too many people sign in just now; try again in a few seconds"),
            Self::Password(problem) => problem.fmt(formatter),
            Self::NoPasswords => formatter
                .write_str("keys are kept in files here, which hold no passwords; sign in with a key"),
            Self::Admin(error) => error.fmt(formatter),
            Self::Store(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for SignInError {}

impl From<StoreError> for SignInError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<AdminError> for SignInError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Store(error) => Self::Store(error),
            error @ (AdminError::Refused(_)
            | AdminError::NotFound(_)
            | AdminError::Forbidden(_)
            | AdminError::Stale(_)
            | AdminError::Done(_)
            | AdminError::ReadOnly(_)
            | AdminError::Commit(_)) => Self::Admin(error),
        }
    }
}

impl From<PasswordProblem> for SignInError {
    fn from(problem: PasswordProblem) -> Self {
        Self::Password(problem)
    }
}

impl From<Wait> for SignInError {
    fn from(Wait(retry_after): Wait) -> Self {
        Self::Throttled { retry_after }
    }
}

impl From<HashError> for SignInError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Failed(why) => {
                StoreError::Failed(format!("a password cannot be hashed: {why}")).into()
            }
        }
    }
}

impl SignIn {
    /// Signs people in who are in the store of `parts`.
    pub fn new(parts: SignInParts) -> Self {
        Self {
            parts,
            hasher: Hasher::default(),
            throttle: Mutex::default(),
            failures: telemetry::throttle::Throttle::new(),
        }
    }

    /// Whether people may have passwords; without, they sign in with keys.
    pub fn keeps_passwords(&self) -> bool {
        self.parts.accounts.keeps_passwords()
    }

    /// Begins a session of the person with this id or e-mail address.
    ///
    /// # Errors
    /// [`SignInError::Wrong`] whatever of it is wrong; that and everything else but a failing store takes the same work
    /// for whoever is named.
    pub async fn with_password(
        &self,
        login: &str,
        password: Password,
        from: &Origin,
    ) -> Result<Begun, SignInError> {
        if !self.keeps_passwords() {
            return Err(SignInError::NoPasswords);
        }
        let attempt = Try::named(login, from.address);
        let person = self.person_with_password(login, attempt, password, "password", from).await?;
        self.begin(&person.id, None, "password", from).await
    }

    /// Gives the person of `session` another password: every session of theirs ends, and a new one begins.
    ///
    /// # Errors
    /// [`SignInError::Wrong`] where `current` is not their password, [`SignInError::Password`] where the new one is not
    /// good enough.
    pub async fn change_password(
        &self,
        session: &Session,
        current: Password,
        new: Password,
        from: &Origin,
    ) -> Result<Begun, SignInError> {
        if !self.keeps_passwords() {
            return Err(SignInError::NoPasswords);
        }
        let (login, by) = (session.person.as_str(), "current password");
        let attempt = Try::named(login, from.address);
        let person = self.person_with_password(login, attempt, current, by, from).await?;
        self.set_password(&person, new).await?;
        self.tell(SignInEvent::PasswordChanged, Some(&person.id), "password", from.address).await;
        self.begin(&person.id, None, "password", from).await
    }

    /// The person who is called `login`, if this is their password and they may sign in.
    async fn person_with_password(
        &self,
        login: &str,
        attempt: Try,
        password: Password,
        by: &str,
        from: &Origin,
    ) -> Result<Person, SignInError> {
        self.throttle().begin(attempt, self.now())?;
        let found = self.verify(login, password).await;
        match found {
            Ok((Some(person), true)) => {
                self.throttle().succeeded(attempt, self.now());
                Ok(person)
            }
            Ok((person, _)) => {
                self.tell_failure(person.map(|person| person.id).as_ref(), by, from).await;
                Err(SignInError::Wrong)
            }
            Err(error) => {
                self.throttle().forgive(attempt);
                Err(error)
            }
        }
    }

    /// Who is called `login`, and whether this is their password and they may sign in.
    async fn verify(&self, login: &str, password: Password) -> Result<(Option<Person>, bool), SignInError> {
        let person = self.person_called(login).await?;
        let stored = self.password_of(person.as_ref()).await?;
        let password = Arc::new(password);
        let verified = self.hasher.verify(Arc::clone(&password), stored.clone()).await?;
        let Some(person) = person else { return Ok((None, false)) };
        if verified == Verified::Wrong || person.disabled {
            return Ok((Some(person), false));
        }
        if let (Verified::Right { is_cheap: true }, Some(before)) = (verified, stored) {
            let after = self.hasher.rehash(password, &before).await?;
            self.parts.accounts.rehash(&person.id, &before, &after).await?;
        }
        Ok((Some(person), true))
    }

    async fn password_of(&self, person: Option<&Person>) -> Result<Option<PasswordHash>, SignInError> {
        // Of nobody it is looked up too, since that takes time.
        let nobody = PersonId::parse("-").map_err(|error| StoreError::Failed(error.to_string()))?;
        let found = self.parts.accounts.password(person.map_or(&nobody, |person| &person.id)).await?;
        Ok(person.and(found))
    }

    /// The person with this id or e-mail address. Of an id and an e-mail address that are alike, the id counts; of two
    /// e-mail addresses neither.
    async fn person_called(&self, login: &str) -> Result<Option<Person>, SignInError> {
        let login = if login.len() > LOGIN_BYTES_MAX { "" } else { login.trim() };
        let mut transaction = self.look().await?;
        let by_id = match PersonId::parse(login) {
            Ok(id) => transaction.person(&id).await?,
            Err(_) => None,
        };
        let mut by_email = transaction.people_with_email(login).await?;
        let by_email = by_email.pop().filter(|_| by_email.is_empty());
        Ok(by_id.or(by_email))
    }

    /// Gives `person` this password, which ends every session and link of theirs.
    async fn set_password(&self, person: &Person, password: Password) -> Result<(), SignInError> {
        let new = NewPassword::parse(password, person)?;
        let hash = self.hasher.hash(new, self.now()).await?;
        Ok(self.parts.accounts.set_password(&person.id, &hash).await?)
    }

    async fn look(&self) -> Result<Box<dyn Transaction>, StoreError> {
        self.parts.kept.store().begin(Access::Read).await
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the audit log, by which means and by whom.
    async fn tell(&self, event: SignInEvent, person: Option<&PersonId>, by: &str, address: Option<IpAddr>) {
        self.record(event, person, by, address, None).await;
    }

    /// Tells the audit log of a failure, unless there are many: then the next one tells of how many.
    async fn tell_failure(&self, person: Option<&PersonId>, by: &str, from: &Origin) {
        let mut pass = None;
        self.failures.speak(|suppressed| pass = Some(suppressed));
        if let Some(suppressed) = pass {
            self.record(SignInEvent::Failed, person, by, from.address, suppressed).await;
        }
    }

    /// Off the runtime: a line of the audit log is on disk once this returns.
    async fn record(
        &self,
        event: SignInEvent,
        person: Option<&PersonId>,
        by: &str,
        address: Option<IpAddr>,
        suppressed: Option<u64>,
    ) {
        let (audit, at) = (Arc::clone(&self.parts.audit), self.now());
        let (person, by) = (person.cloned(), by.to_owned());
        let write = move || {
            let person = person.as_ref().map(PersonId::as_str);
            audit.record(&AuditEvent::SignIn { event, person, by: &by, address, suppressed }, at)
        };
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the audit log cannot be written"),
            Err(error) => tracing::error!(%error, "the audit log cannot be written"),
        }
    }
}
