//! The log of a node whose daemon does not run, looked at and left as it is.

use std::path::Path;
use std::sync::Arc;

use skein_events::record::Position;
use skein_events::state::State;
use skein_net::backend::{Failure, Moment};
use skein_store::{FrozenDisk, Log, Options};

use crate::history;

/// Where the log lies below a data root.
pub const FOLDER: &str = "swarm";

/// The state a log gives at a moment, or its newest.
pub fn state(data_root: &Path, moment: Option<Moment>) -> Result<State, Failure> {
    let unavailable = |e: skein_store::Error| Failure::Unavailable(e.to_string());
    let disk = FrozenDisk::open(&data_root.join(FOLDER)).map_err(unavailable)?;
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
    history::state_at(&log, position)
}
