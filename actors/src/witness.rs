//! How far this node's log went when it was looked at last, kept beside the log: an older copy of it, or another swarm's, put
//! in its place is then noticed at the start. The chain alone cannot tell, because either is whole in itself.
//!
//! Written a few seconds after records were committed and only of what is on the disk, so it never says more than the log
//! had. Whoever wants the older log removes the file.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use skein_events::id::ClusterId;
use skein_events::record::{Hash, Position};
use skein_events::state::State;
use skein_store::{Limit, Log};

/// The file in the swarm's folder.
pub const FILE: &str = "head.json";
/// How long records may be committed before they are noted: many are noted at once.
const PAUSE: Duration = Duration::from_secs(5);

/// What is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Witness {
    swarm: ClusterId,
    position: Position,
    /// Hash of the entry that holds it.
    h: Hash,
}

impl Witness {
    /// What a folder has; a file that cannot be read says nothing, since it is written without waiting for the disk.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read(folder.join(FILE)).ok()?;
        serde_json::from_slice(&text)
            .inspect_err(|error| tracing::warn!(%error, "{FILE} says nothing of the log"))
            .ok()
    }

    fn write(&self, folder: &Path) -> std::io::Result<()> {
        let new = folder.join("head.json.new");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        std::fs::rename(&new, folder.join(FILE))
    }

    /// Whether a log goes on from here; a sentence that says what it is if not.
    pub(crate) fn check(&self, state: Option<&State>, log: &Log) -> Result<(), String> {
        let Self { swarm, position, h } = *self;
        let cluster = state.and_then(|state| state.cluster.as_ref()).map(|cluster| cluster.id);
        let head = log.head();
        match cluster {
            Some(other) if other != swarm => {
                return Err(format!(
                    "the log is of another swarm, {other}; this node is in {swarm}"
                ));
            }
            Some(_) if head.position >= position => {}
            Some(_) | None => {
                return Err(format!(
                    "the log ends at {}, and this node had {position}: an older copy of it, or none, is in its place",
                    head.position
                ));
            }
        }
        let limit = Limit { batches: 1, bytes: 1 };
        let there = log.read(position, limit).map_err(|error| error.to_string())?;
        match there.first() {
            Some(batch) if batch.h == h => Ok(()),
            Some(_) | None => Err(format!(
                "the log has another record {position} than this node had: it is of another history"
            )),
        }
    }
}

/// Notes the head as the log goes on; ends when it is dropped.
#[derive(Debug)]
pub struct Keeper(tokio::task::JoinHandle<()>);

impl Keeper {
    /// Begins to note. Runs on the thread it is called on, so that nothing is written after `stop` there.
    pub(crate) fn begin(folder: &Path, swarm: ClusterId, log: Log) -> Self {
        let folder = folder.to_owned();
        Self(tokio::spawn(async move {
            let mut news = log.watch_head();
            let mut noted = Position(0);
            loop {
                let head = *news.borrow_and_update();
                if head.position > noted {
                    noted = head.position;
                    let witness = Witness { swarm, position: head.position, h: head.h };
                    if let Err(error) = witness.write(&folder) {
                        tracing::debug!(%error, "the head of the log is not noted");
                    }
                }
                if news.changed().await.is_err() {
                    return;
                }
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the disk, not the swarm, is spared"
                )]
                tokio::time::sleep(PAUSE).await;
            }
        }))
    }

    /// Ends it.
    pub(crate) fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}
