//! How a container does in its checks, kept beside it, so that a daemon that was killed goes on where it was.
//! Not in the log: it is of use to this machine alone, and only as long as the container runs.

use std::fs;
use std::io;

use rustix::time::{ClockId, clock_gettime};
use skein_events::id::TaskId;
use skein_events::time::Span;

use super::Machine;
use crate::check::Standing;
use crate::error::{Context as _, Error};

const FILE: &str = "standing.json";

#[derive(serde::Serialize, serde::Deserialize)]
struct Noted {
    standing: Standing,
    /// When the first note was made, by the clock that counts since the machine began: nobody sets it, and no container
    /// outlives it.
    start: Span,
}

impl Machine {
    pub(super) fn read_standing(&self, id: TaskId) -> Result<Option<(Standing, Span)>, Error> {
        let noted = self.noted(id)?;
        Ok(noted.map(|Noted { standing, start }| (standing, Span(now().0.saturating_sub(start.0)))))
    }

    pub(super) fn write_standing(&self, id: TaskId, standing: Standing) -> Result<(), Error> {
        let start = self.noted(id)?.map_or_else(now, |noted| noted.start);
        let json = serde_json::to_vec(&Noted { standing, start }).expect("texts and numbers");
        let dir = self.container_dir(id);
        let beside = dir.join("standing.new");
        // Whole, but not synced: what a crash of the machine takes, it takes with the container.
        crate::private::write(&beside, &json)
            .and_then(|()| fs::rename(&beside, dir.join(FILE)))
            .context(format!("note how task {id} does"))
    }

    fn noted(&self, id: TaskId) -> Result<Option<Noted>, Error> {
        let what = || format!("read how task {id} does");
        match fs::read(self.container_dir(id).join(FILE)) {
            Ok(json) => serde_json::from_slice(&json).map_err(io::Error::from).context(what()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(what()),
        }
    }
}

fn now() -> Span {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |n: i64| u64::try_from(n).unwrap_or_default();
    Span(part(time.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(time.tv_nsec)))
}
