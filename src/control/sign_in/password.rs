//! Passwords: what one must be, and how it is hashed and verified (argon2id, RFC 9106, at the costs that OWASP names).

use std::{fmt, sync::Arc};

use argon2::{
    Algorithm, Argon2, Params, PasswordVerifier as _, Version,
    password_hash::{PasswordHasher as _, phc},
};
use jiff::Timestamp;
use tokio::sync::{Semaphore, TryAcquireError};
use zeroize::Zeroizing;

use crate::{
    keys::record::{Name, Person},
    store::accounts::PasswordHash,
};

/// The fewest and the most characters of a new password (OWASP ASVS 5.0 §6.2.1, §6.2.9).
const CHARACTERS: std::ops::RangeInclusive<usize> = 12..=256;

/// The most bytes that are looked at: no password has more.
const BYTES_MAX: usize = 1024;

/// Hashes at a time: each takes 19 MiB, and a core for some tens of milliseconds.
const AT_ONCE: usize = 2;

/// How many more may wait for their turn.
const WAITING_MAX: usize = 16;

/// The most memory in KiB and passes that a stored hash may cost.
const COSTS_MAX: (u32, u32) = (256 * 1024, 16);

/// Verified where there is nothing to verify, so that this takes as long; the password of nobody.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiBub2JvZHk$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password as somebody typed it. Wiped from memory when dropped; not seen in `Debug`.
pub struct Password(Zeroizing<String>);

impl Password {
    /// What was typed, as it stands.
    pub fn typed(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    fn is_too_long(&self) -> bool {
        self.0.len() > BYTES_MAX
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(redacted)")
    }
}

/// A password that is good enough for whom it is.
#[derive(Debug)]
pub struct NewPassword(Password);

/// Why a password is not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordProblem {
    /// Fewer than 12 characters.
    TooShort,
    /// More than 256 characters.
    TooLong,
    /// A character that cannot be typed everywhere.
    Control,
    /// It is their id, name or e-mail address.
    OneOfTheirs,
    /// One character again and again, or one after the other as in the alphabet.
    Sequence,
}

impl fmt::Display for PasswordProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TooShort => "too short: use 12 characters or more, such as four words that do not belong together",
            Self::TooLong => "too long: use at most 256 characters",
            Self::Control => "it has a tab, line break or other control character: use characters that can be typed",
            Self::OneOfTheirs => "it is your id, name or e-mail address: use something that is not known of you",
            Self::Sequence => {
                "it is one character again and again or a plain sequence: use four words that do not belong together"
            }
        })
    }
}

impl std::error::Error for PasswordProblem {}

impl NewPassword {
    /// `password` for `person`. It is taken as it stands: no character is changed or dropped.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(password: Password, person: &Person) -> Result<Self, PasswordProblem> {
        let text = &*password.0;
        if password.is_too_long() || text.chars().count() > *CHARACTERS.end() {
            return Err(PasswordProblem::TooLong);
        }
        if text.chars().count() < *CHARACTERS.start() {
            return Err(PasswordProblem::TooShort);
        }
        if text.chars().any(char::is_control) {
            return Err(PasswordProblem::Control);
        }
        let theirs =
            [Some(person.id.as_str()), Some(person.email.as_str()), person.name.as_ref().map(Name::as_str)];
        if theirs.into_iter().flatten().any(|known| known.to_lowercase() == text.trim().to_lowercase()) {
            return Err(PasswordProblem::OneOfTheirs);
        }
        if is_sequence(text) { Err(PasswordProblem::Sequence) } else { Ok(Self(password)) }
    }
}

/// Whether every character follows from the one before in the same way: `aaaaaaaaaaaa`, `234567890123`, `mlkjihgfedcb`.
fn is_sequence(text: &str) -> bool {
    let step = |(a, b): (char, char)| match (a, b) {
        ('9', '0') => 1,
        ('0', '9') => -1,
        _ => i64::from(u32::from(b)) - i64::from(u32::from(a)),
    };
    let mut steps = text.chars().zip(text.chars().skip(1)).map(step);
    steps.next().is_none_or(|first| first.abs() <= 1 && steps.all(|step| step == first))
}

/// How a password was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// It is another, or there is none.
    Wrong,
    /// It is the one.
    Right {
        /// Whether it was hashed at lower costs than are usual now.
        is_cheap: bool,
    },
}

/// Why nothing was hashed.
#[derive(Debug)]
pub enum HashError {
    /// Too many others wait: try again in a few seconds.
    Busy,
    /// The system gives no memory, thread or randomness.
    Failed(String),
}

/// Hashes and verifies, so many at a time.
#[derive(Debug, Clone)]
pub struct Hasher {
    /// A place in the queue or at work.
    admitted: Arc<Semaphore>,
    at_work: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self {
            admitted: Arc::new(Semaphore::new(AT_ONCE + WAITING_MAX)),
            at_work: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Hasher {
    /// The hash of `password`, with a salt of its own. Cost: 19 MiB and some tens of milliseconds, off the runtime.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn hash(&self, password: NewPassword, now: Timestamp) -> Result<PasswordHash, HashError> {
        self.run(move || hash(&password.0, now)).await?
    }

    /// Whether `password` is the one of `stored`. Takes as long where there is none.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn verify(
        &self,
        password: Arc<Password>,
        stored: Option<PasswordHash>,
    ) -> Result<Verified, HashError> {
        self.run(move || verify(&password, stored.as_ref())).await
    }

    /// The hash of a password that was just verified, at the costs that are usual now; set when the one before was.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn rehash(
        &self,
        password: Arc<Password>,
        before: &PasswordHash,
    ) -> Result<PasswordHash, HashError> {
        let set_at = before.set_at;
        self.run(move || hash(&password, set_at)).await?
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let failed = |error: &dyn fmt::Display| HashError::Failed(error.to_string());
        let admitted = match Arc::clone(&self.admitted).try_acquire_owned() {
            Ok(admitted) => admitted,
            Err(TryAcquireError::NoPermits) => return Err(HashError::Busy),
            Err(error @ TryAcquireError::Closed) => return Err(failed(&error)),
        };
        let at_work = Arc::clone(&self.at_work).acquire_owned().await.map_err(|error| failed(&error))?;
        // The places go with the work: it goes on where whoever asked gives up.
        let work = move || {
            let _places = (admitted, at_work);
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| failed(&error))
    }
}

/// Argon2id with 19 MiB, two passes and one lane (OWASP Password Storage Cheat Sheet).
fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

fn hash(password: &Password, set_at: Timestamp) -> Result<PasswordHash, HashError> {
    let mut salt = [0; argon2::RECOMMENDED_SALT_LEN];
    getrandom::fill(&mut salt).map_err(|error| HashError::Failed(error.to_string()))?;
    let hash = argon2().hash_password_with_salt(password.0.as_bytes(), &salt);
    let hash: phc::PasswordHash = hash.map_err(|error| HashError::Failed(error.to_string()))?;
    Ok(PasswordHash { phc: hash.to_string(), set_at })
}

fn verify(password: &Password, stored: Option<&PasswordHash>) -> Verified {
    let parsed = stored.and_then(|stored| Some((affordable(&stored.phc)?, &*stored.phc)));
    if stored.is_some() && parsed.is_none() {
        tracing::error!(
            "the store holds a password that is no hash of argon2; whoever it belongs to cannot sign in"
        );
    }
    let (params, phc) = match parsed {
        Some((params, phc)) if !password.is_too_long() => (Some(params), phc),
        Some(_) | None => (None, NOBODY),
    };
    // What is too long to be right takes no longer than what is wrong.
    let text = if password.is_too_long() { &b""[..] } else { password.0.as_bytes() };
    let is_right = argon2().verify_password(text, phc).is_ok();
    match params {
        Some(params) if is_right => Verified::Right { is_cheap: is_cheap(&params) },
        Some(_) | None => Verified::Wrong,
    }
}

/// The costs of a stored hash, if it is one that does not take too long.
fn affordable(phc: &str) -> Option<Params> {
    let params = Params::try_from(&phc::PasswordHash::new(phc).ok()?).ok()?;
    (params.m_cost() <= COSTS_MAX.0 && params.t_cost() <= COSTS_MAX.1).then_some(params)
}

fn is_cheap(params: &Params) -> bool {
    params.m_cost() < Params::DEFAULT_M_COST || params.t_cost() < Params::DEFAULT_T_COST
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::Pin, task::Poll};

    use super::*;
    use crate::{
        keys::record::{Email, PersonId},
        policy::{principal::Role, project::ProjectSet},
    };

    fn ada() -> Person {
        Person {
            id: PersonId::parse("ada.lovelace").unwrap(),
            email: Email::parse("ada@example.com").unwrap(),
            name: Some(Name::parse("Augusta Ada King").unwrap()),
            organization: None,
            role: Role::Owner,
            projects: ProjectSet::All,
            disabled: false,
        }
    }

    async fn is_pending<T>(mut task: Pin<&mut impl Future<Output = T>>) -> bool {
        poll_fn(|context| Poll::Ready(task.as_mut().poll(context).is_pending())).await
    }

    fn typed(text: &str) -> Password {
        Password::typed(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn what_a_password_must_be() {
        for (text, expected) in [
            ("correct horse battery", None),
            ("Zwölf Zeichen", None),
            (&"ab".repeat(128), None),
            ("aaaaaaaaaaab", None),
            ("hunter2", Some(PasswordProblem::TooShort)),
            ("", Some(PasswordProblem::TooShort)),
            ("ééééééééééé", Some(PasswordProblem::TooShort)),
            (&"ab".repeat(129), Some(PasswordProblem::TooLong)),
            (&"x".repeat(1 << 20), Some(PasswordProblem::TooLong)),
            ("correct horse\n", Some(PasswordProblem::Control)),
            ("correct\0horse battery", Some(PasswordProblem::Control)),
            ("ADA.Lovelace", Some(PasswordProblem::OneOfTheirs)),
            ("ada@EXAMPLE.com", Some(PasswordProblem::OneOfTheirs)),
            ("augusta ada king ", Some(PasswordProblem::OneOfTheirs)),
            ("aaaaaaaaaaaa", Some(PasswordProblem::Sequence)),
            ("123456789012", Some(PasswordProblem::Sequence)),
            ("210987654321", Some(PasswordProblem::Sequence)),
            ("abcdefghijkl", Some(PasswordProblem::Sequence)),
        ] {
            assert_eq!(NewPassword::parse(typed(text), &ada()).err(), expected, "{text:.40}");
        }
    }

    #[test]
    fn nothing_shows_a_password() {
        let password = NewPassword::parse(typed("correct horse battery"), &ada()).unwrap();
        assert_eq!(format!("{password:?}"), "NewPassword(Password(redacted))");
    }

    #[tokio::test]
    async fn a_password_is_hashed_and_verified() {
        let hasher = Hasher::default();
        let new = || NewPassword::parse(typed("correct horse battery"), &ada()).unwrap();
        let stored = hasher.hash(new(), Timestamp::UNIX_EPOCH).await.unwrap();
        assert!(stored.phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", stored.phc);
        assert_ne!(stored, hasher.hash(new(), Timestamp::UNIX_EPOCH).await.unwrap(), "salts differ");
        let right = Verified::Right { is_cheap: false };
        let wrong_hash =
            |phc: &str| Some(PasswordHash { phc: phc.to_owned(), set_at: Timestamp::UNIX_EPOCH });
        for (text, stored, expected) in [
            ("correct horse battery", Some(stored.clone()), right),
            ("Correct horse battery", Some(stored.clone()), Verified::Wrong),
            ("", Some(stored.clone()), Verified::Wrong),
            (&"x".repeat(1 << 20), Some(stored), Verified::Wrong),
            ("correct horse battery", None, Verified::Wrong),
            ("correct horse battery", wrong_hash("nonsense"), Verified::Wrong),
            ("correct horse battery", wrong_hash(&NOBODY.replace("19456", "4000000000")), Verified::Wrong),
        ] {
            let found = hasher.verify(Arc::new(typed(text)), stored).await.unwrap();
            assert_eq!(found, expected, "{text:.40}");
        }
    }

    #[test]
    fn the_password_of_nobody_takes_as_long_as_a_new_one() {
        assert_eq!(
            affordable(NOBODY),
            Some(Params::DEFAULT).map(|params| Params::new(
                params.m_cost(),
                params.t_cost(),
                params.p_cost(),
                Some(32)
            )
            .unwrap())
        );
    }

    #[tokio::test]
    async fn a_cheap_hash_is_found_out_and_made_anew() {
        let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(1024, 1, 1, None).unwrap());
        let hash: phc::PasswordHash =
            cheap.hash_password_with_salt(b"correct horse battery", b"some salt").unwrap();
        let before = PasswordHash { phc: hash.to_string(), set_at: Timestamp::UNIX_EPOCH };
        let (hasher, password) = (Hasher::default(), Arc::new(typed("correct horse battery")));
        let verify =
            async |stored: &PasswordHash| hasher.verify(Arc::clone(&password), Some(stored.clone())).await;
        assert_eq!(verify(&before).await.unwrap(), Verified::Right { is_cheap: true });
        let after = hasher.rehash(Arc::clone(&password), &before).await.unwrap();
        assert_eq!(verify(&after).await.unwrap(), Verified::Right { is_cheap: false });
        assert_eq!(after.set_at, before.set_at);
    }

    #[tokio::test]
    async fn those_who_would_wait_too_long_are_told_at_once() {
        let hasher = Hasher::default();
        let _working = Arc::clone(&hasher.at_work).acquire_many_owned(2).await.unwrap();
        let password = Arc::new(typed("correct horse battery"));
        let mut waiting = Vec::new();
        for _ in 0..AT_ONCE + WAITING_MAX {
            let mut task = Box::pin(hasher.verify(Arc::clone(&password), None));
            assert!(is_pending(task.as_mut()).await);
            waiting.push(task);
        }
        assert!(matches!(hasher.verify(Arc::clone(&password), None).await, Err(HashError::Busy)));
        drop(waiting);
        let mut task = Box::pin(hasher.verify(password, None));
        assert!(is_pending(task.as_mut()).await, "places are given back");
    }
}
