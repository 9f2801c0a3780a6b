//! A start without database: what was in force is kept in the `state:` folder, and comes into force again where the
//! database does not answer. Kept are digests and the names of scopes, never a secret.

use std::{
    cell::Cell,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{task::spawn_blocking, time::sleep};

use super::database_keys::{DatabaseKeys, Position};
use crate::{
    clock::monotonic,
    keys::image::{Image, ImageOf},
    live::Live,
    store::{
        snapshot_file::SnapshotFile,
        state::{StateError, StateFolder},
    },
};

/// The least time between two writes; and of all time, writing takes no more than this share.
const KEEP_EVERY: Duration = Duration::from_secs(1);
const SHARE_OF_TIME: u32 = 50;
/// How often it is noted that what was kept is still what the database says.
const STAMP_EVERY: Duration = Duration::from_mins(1);

/// What a start without database needs.
#[derive(Debug, Clone)]
pub struct ColdStart(Arc<Mutex<SnapshotFile>>);

impl ColdStart {
    /// Kept in `folder` for the database that operators call `database`.
    pub fn new(folder: StateFolder, database: &str) -> Self {
        Self(Arc::new(Mutex::new(SnapshotFile::of(folder, database))))
    }

    /// Puts what was kept in force, and tells what comes of it. When the database was last heard of, if there was
    /// anything.
    pub(super) fn begin(&self, keys: &DatabaseKeys, live: &Live) -> Option<Timestamp> {
        let config = Arc::clone(&live.current().config);
        let image = match self.file().read(&config.key_policy()) {
            Ok(Some(image)) => image,
            Ok(None) => {
                tracing::error!(
                    "nothing was kept on disk: whoever needs a key is answered 503 until the database is there"
                );
                return None;
            }
            Err(error) => {
                tracing::error!(
                    "what was kept on disk is of no use, so that whoever needs a key is answered 503 until the database is \
                     there: {error}"
                );
                return None;
            }
        };
        let Image { editor, of: ImageOf { instance, revision }, heard_at } = image;
        let heard_at = heard_at.unwrap_or(Timestamp::UNIX_EPOCH);
        keys.take_image(editor, Position { instance, revision, committed_at: None });
        tracing::warn!(
            revision,
            "the keys of revision {revision} are in force, as kept on disk; the database was last heard of at {heard_at}"
        );
        Some(heard_at)
    }

    /// Keeps what is in force now, which the database was last heard to say at `heard_at`.
    pub(super) fn keep(&self, keys: &DatabaseKeys, heard_at: Timestamp) -> Result<(), StateError> {
        // First the file, then the image: of two that write at once, the later one writes what is newer.
        let file = self.file();
        let Some((snapshot, position)) = keys.image() else { return Ok(()) };
        file.write(image_of(position), heard_at, &snapshot)
    }

    /// Keeps what is in force whenever it changed.
    pub(super) async fn keep_forever(&self, keys: &DatabaseKeys, heard_at: &Cell<Timestamp>) {
        let mut kept: Option<Position> = None;
        let mut stamped = monotonic();
        let mut was_told = false;
        loop {
            sleep(KEEP_EVERY).await;
            let position = keys.position();
            let began = monotonic();
            let (this, of, at) = (self.clone(), keys.clone(), heard_at.get());
            let done = match position {
                Some(position) if Some(position) == kept => {
                    if stamped.elapsed() < STAMP_EVERY {
                        continue;
                    }
                    spawn_blocking(move || this.file().stamp(image_of(position), at).map(drop)).await
                }
                _ => spawn_blocking(move || this.keep(&of, at)).await,
            };
            match done {
                Ok(Ok(())) => (kept, stamped, was_told) = (position, began, false),
                Ok(Err(error)) if !was_told => {
                    was_told = true;
                    tracing::warn!("a start without database would begin with older keys: {error}");
                }
                Ok(Err(_)) | Err(_) => {}
            }
            sleep(began.elapsed() * SHARE_OF_TIME).await;
        }
    }

    /// The file, which one writes at a time.
    fn file(&self) -> MutexGuard<'_, SnapshotFile> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn image_of(position: Position) -> ImageOf {
    ImageOf { instance: position.instance, revision: position.revision }
}
