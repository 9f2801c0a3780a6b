//! Revoking a key of a key file in the process that serves it: at once and for good, before the file says so.
//!
//! The thread that reloads is the only one who puts key files in force, so that it does this too. First the digests are
//! kept in the `state:` folder, then they are in force; killed in between, the next start has them in force.

use std::{fmt, net::IpAddr, path::PathBuf};

use jiff::Timestamp;

use super::{
    actor::{Acting, Action},
    administration::{AdminError, Administration},
    key_admin::{self, Revoked},
    record_tag::RecordTag,
    reload_thread::ReloadHandle,
    term,
};
use crate::{
    keys::record::{KeyId, Name, OrganizationId, Revocation},
    live::{Live, Publication},
    store::{
        contract::{Access, Committed, Patch, Store, StoreError},
        file_store::ServedFiles,
    },
};

/// The key files that this process serves, and who puts revocations in force.
#[derive(Debug)]
pub struct ServedKeys {
    /// The files, and what is in force of them.
    pub files: ServedFiles,
    /// The `state:` folder.
    pub state: Option<PathBuf>,
    /// The thread that reloads.
    pub reload: ReloadHandle,
    /// What is in force.
    pub live: Live,
}

/// A key that shall be revoked here.
#[derive(Debug, Clone)]
pub(super) struct LocalRevocation {
    pub(super) key: KeyId,
    pub(super) revocation: Revocation,
    /// Who, as the audit log names them.
    pub(super) actor: String,
    /// From where, if not at this machine.
    pub(super) address: Option<IpAddr>,
    pub(super) organization: OrganizationId,
}

/// A key that was revoked here.
#[derive(Debug)]
pub(super) struct Revoking {
    pub(super) revision: u64,
    /// Since when it was revoked already, if it was.
    pub(super) before: Option<Timestamp>,
    pub(super) keeping: Keeping,
    /// Streams that were closed before, since the process started.
    pub(super) closed: u64,
    /// Once every worker is as far as this, none of the key's streams is open.
    pub(super) publication: Publication,
}

/// Why a key was not revoked here.
#[derive(Debug)]
pub(super) enum Unrevoked {
    /// No file in force has it.
    NoSuchKey,
    /// It could not be put in force.
    NotInForce,
}

/// For how long a revocation is remembered that no file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// For good: it is in the `state:` folder.
    State,
    /// As long as this process lives, since there is no `state:` folder.
    Process,
    /// As long as this process lives, since the `state:` folder cannot be written.
    Unwritten,
}

/// A revocation that is in force in this process.
#[derive(Debug)]
pub struct RevokedHere {
    /// The revision of this process that it is in force as.
    pub revision: u64,
    /// Open streams that were closed for it.
    pub streams_closed: u64,
    /// For how long it is remembered.
    pub keeping: Keeping,
    /// What to commit, so that the file says it too; `None`: it does, or it cannot be edited as it stands.
    pub paste: Option<Patch>,
}

/// `in force here, 2 open streams closed; mark it revoked in keys.yaml too, for every other gateway`.
impl fmt::Display for RevokedHere {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.streams_closed {
            0 => formatter.write_str("in force here")?,
            1 => formatter.write_str("in force here, 1 open stream closed")?,
            streams => write!(formatter, "in force here, {streams} open streams closed")?,
        }
        let Some(paste) = &self.paste else { return Ok(()) };
        write!(formatter, "; mark it revoked in {} too, for every other gateway", paste.path.display())?;
        formatter.write_str(match self.keeping {
            Keeping::State => "",
            Keeping::Process => " and for the next start of this one, which has no state folder",
            Keeping::Unwritten => " and for the next start of this one, whose state folder cannot be written",
        })
    }
}

/// As [`key_admin::revoke`], in the process that serves the key's file.
pub(super) async fn revoke(
    administration: &Administration,
    served: &ServedKeys,
    id: &KeyId,
    reason: Option<&Name>,
    seen: Option<&RecordTag>,
    now: Timestamp,
) -> Result<Revoked, AdminError> {
    let mut work = administration.look().await?;
    let files_are_wrong = !work.wrong_files().is_empty();
    let (key, _, organization) = key_admin::find_seen(&mut work, id).await?;
    match work.acting {
        Acting::Person(..) => work.demand(Action::RevokeKey(key.owner.as_ref()), &organization)?,
        Acting::Operator => {}
    }
    key_admin::demand_seen_or_revoked(&work, seen, &key)?;
    let revocation =
        Revocation { at: term::whole_seconds(now), by: administration.actor.name(), reason: reason.cloned() };
    let asked = LocalRevocation {
        key: *id,
        revocation: revocation.clone(),
        actor: administration.actor.in_full(),
        address: administration.address,
        organization,
    };
    let Revoking { revision, before, keeping, closed, publication } = served.revoke(asked).await?;
    let streams_closed = served.live.enforced(publication).await.saturating_sub(closed);
    let marked = key.revoked.unwrap_or(revocation);
    let paste = served.marking(id, &marked).await;
    let here = RevokedHere { revision, streams_closed, keeping, paste };
    Ok(Revoked { before, committed: Committed::Unchanged, files_are_wrong, here: Some(here) })
}

impl ServedKeys {
    async fn revoke(&self, asked: LocalRevocation) -> Result<Revoking, AdminError> {
        let (id, reload) = (asked.key, self.reload.clone());
        let failed = |why: &str| StoreError::Failed(why.to_owned());
        let answer = tokio::task::spawn_blocking(move || reload.revoke(asked)).await;
        match answer.map_err(|error| failed(&error.to_string()))? {
            Some(Ok(revoking)) => Ok(revoking),
            Some(Err(Unrevoked::NoSuchKey)) => Err(key_admin::no_such_key(&id)),
            Some(Err(Unrevoked::NotInForce)) => {
                Err(failed("the revocation could not be put in force; the log says why").into())
            }
            None => Err(StoreError::Unavailable("the gateway is stopping".to_owned()).into()),
        }
    }

    /// How the file comes to say that the key `id` is revoked.
    async fn marking(&self, id: &KeyId, revocation: &Revocation) -> Option<Patch> {
        match self.plan_marking(id, revocation).await {
            Ok(Committed::ToCommit(patch)) => Some(patch),
            Ok(
                Committed::Unchanged
                | Committed::Revision(_)
                | Committed::Written(_)
                | Committed::Unaudited(..),
            ) => None,
            Err(error) => {
                tracing::warn!(%error, "what a key file has to say of a revocation could not be worked out");
                None
            }
        }
    }

    async fn plan_marking(&self, id: &KeyId, revocation: &Revocation) -> Result<Committed, StoreError> {
        let mut planned = self.files.begin(Access::Write).await?;
        planned.revoke_key(id, revocation).await?;
        planned.commit(&[]).await
    }
}
