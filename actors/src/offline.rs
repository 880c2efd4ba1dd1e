//! The log of a node whose daemon does not run, looked at and left as it is; of one whose daemon runs, whom to ask.

use std::path::Path;
use std::sync::Arc;

use skein_events::record::Position;
use skein_events::state::State;
use skein_net::backend::{Failure, Moment};
use skein_store::{FrozenDisk, Log, Options};

use crate::history;

/// Where the log lies below a data root.
pub const FOLDER: &str = "swarm";

/// The file of a data root that says where its daemon listens, as the user writes it: `unix:///run/skein/skein.sock`.
/// It holds while the data root is in use, and means nothing when it is not.
pub const HOST_FILE: &str = "host";

/// A data root as somebody finds it who is not its daemon.
#[derive(Debug)]
pub enum Found {
    /// No daemon uses it: the state its log gives.
    Stopped(Box<State>),
    /// Its daemon runs, and listens there.
    Running {
        /// As it was started with.
        host: String,
    },
}

/// The state a log gives at a moment, or its newest; or which daemon to ask, because it writes there.
pub fn state(data_root: &Path, moment: Option<Moment>) -> Result<Found, Failure> {
    let disk = match FrozenDisk::open(&data_root.join(FOLDER)) {
        Ok(disk) => disk,
        Err(skein_store::Error::InUse { root, by }) => {
            let file = data_root.join(HOST_FILE);
            let host = std::fs::read_to_string(file).map_err(|_| {
                Failure::Unavailable(format!(
                    "{by} uses {root}, and it is not known where it listens"
                ))
            })?;
            return Ok(Found::Running { host: host.trim().to_owned() });
        }
        Err(error) => return Err(Failure::Unavailable(error.to_string())),
    };
    // The writer is never run: nothing is written, so nothing can fail to be.
    let (log, _writer) =
        Log::open(Arc::new(disk), Options::default(), |_| ()).map_err(history::broken)?;
    let newest = log.head().position;
    let position = match moment {
        None => newest,
        // So long before the newest record: while a daemon is stopped, nothing happens.
        Some(moment) => {
            let newest = history::read(&log, newest.max(Position(1)), 1)?;
            let now = newest.first().map(|l| l.batch.envelope.at).unwrap_or_default();
            history::resolve(&log, moment, now)?
        }
    };
    Ok(Found::Stopped(Box::new(history::state_at(&log, position)?)))
}
