//! The logs of this machine's containers, which stay a while after them: `service logs` is asked most when a task has
//! failed, and by then its container is gone. Bounded in number and bytes, the longest ended go first.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use futures::stream::{self, StreamExt as _};
use skein_events::id::TaskId;
use skein_events::time::Time;

use super::client::Link;
use super::{Machine, cleanup};
use crate::api::{Lines, LogsSpec};
use crate::error::{Context as _, Error};
use crate::image::KeptLog;
use crate::log::Line;
use crate::log::read::Reader;
use crate::shim::protocol::{Reply, Request};

/// Ended containers whose logs are kept.
const KEPT_MAX: usize = 500;
/// Bytes these logs may have together.
const KEPT_BYTES: u64 = 1 << 30;

/// Where one reader stands.
struct Following {
    machine: Machine,
    reader: Reader,
    /// Wakes whoever waits for more; none when there will be no more.
    link: Option<Link>,
}

impl Machine {
    pub(super) async fn open_logs(self, id: TaskId, spec: LogsSpec) -> Result<Lines, Error> {
        // Before the files are opened, so that nothing is written unheard between the two.
        let mut link = if spec.follow { self.link(id).await? } else { None };
        if let Some(open) = &mut link
            && open.send(&Request::Follow, &[]).await.is_err()
        {
            link = None;
        }
        let until = spec.until;
        let dir = self.logs_dir(id);
        let reader = self
            .blocking(move |_| match Reader::open(&dir, spec) {
                Ok(reader) => Ok(reader),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(Error::NoSuchContainer(id))
                }
                Err(error) => Err(error).context(format!("read the log of task {id}")),
            })
            .await?;
        if !self.logs_dir(id).join("log").exists() && self.keeps_nothing(id) {
            return Err(Error::NoLogs);
        }
        let following = Following { machine: self, reader, link };
        let batches = stream::try_unfold(following, move |following| async move {
            let Some((lines, following)) = following.next(id, until).await? else {
                return Ok(None);
            };
            let lines = stream::iter(lines.into_iter().map(Ok::<Line, Error>));
            Ok(Some((lines, following)))
        });
        Ok(futures::TryStreamExt::try_flatten(batches).boxed())
    }

    /// The logs of ended containers, ordered by task.
    pub(super) fn kept_logs(&self) -> Result<Vec<KeptLog>, Error> {
        let logs = self.0.options.data.join("logs");
        let mut kept = Vec::new();
        for entry in fs::read_dir(&logs).context("list the logs")?.flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse::<TaskId>().ok());
            if let Some(task) = id
                && !self.container_dir(task).exists()
            {
                let (bytes, last) = size_and_age(&entry.path());
                kept.push(KeptLog { task, bytes, last });
            }
        }
        kept.sort_by_key(|log| log.task);
        Ok(kept)
    }

    /// Removes the logs of those of these containers that have ended; answers which.
    pub(super) fn remove_logs(&self, tasks: &BTreeSet<TaskId>) -> Result<Vec<KeptLog>, Error> {
        let mut gone = self.kept_logs()?;
        gone.retain(|log| tasks.contains(&log.task));
        gone.iter().try_for_each(|log| cleanup::remove_tree(&self.logs_dir(log.task)))?;
        Ok(gone)
    }

    /// Forgets logs of ended containers that are one too many.
    pub(super) fn forget_old_logs(&self) -> Result<(), Error> {
        let mut ended = self.kept_logs()?;
        ended.sort_by_key(|log| std::cmp::Reverse(log.last));
        let mut bytes: u64 = 0;
        for (n, log) in ended.iter().enumerate() {
            bytes += log.bytes;
            if n >= KEPT_MAX || bytes > KEPT_BYTES {
                cleanup::remove_tree(&self.logs_dir(log.task))?;
            }
        }
        Ok(())
    }
}

impl Following {
    /// The next lines, waited for if need be; none at the end.
    async fn next(
        mut self,
        id: TaskId,
        until: Option<Time>,
    ) -> Result<Option<(Vec<Line>, Self)>, Error> {
        loop {
            let last = self.link.is_none();
            let mut reader = self.reader;
            let (lines, reader) = self
                .machine
                .blocking(move |_| {
                    let lines = reader.batch().context(format!("read the log of task {id}"))?;
                    Ok((lines, reader))
                })
                .await?;
            self.reader = reader;
            if !lines.is_empty() {
                return Ok(Some((lines, self)));
            }
            if last || self.reader.is_over() {
                let lines = self.reader.finish();
                return Ok((!lines.is_empty()).then_some((lines, self)));
            }
            self.wait(until).await;
        }
    }

    /// Until there may be more; what the shim wrote before it went is still read.
    async fn wait(&mut self, until: Option<Time>) {
        let Some(link) = &mut self.link else { return };
        let more = match until {
            None => link.woken().await,
            Some(until) => {
                tokio::time::timeout(time_to(until), link.woken()).await.unwrap_or(false)
            }
        };
        if !more {
            self.link = None;
        }
    }
}

impl Link {
    /// Waits for output; `false` when there will be no more.
    async fn woken(&mut self) -> bool {
        matches!(self.receive_latest().await, Ok(Some(Reply::Wrote)))
    }
}

fn time_to(until: Time) -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "lines are stamped by the wall clock, so only it can say that no more of a time will come"
    )]
    let now = SystemTime::now();
    (SystemTime::UNIX_EPOCH + Duration::from_nanos(until.0)).duration_since(now).unwrap_or_default()
}

fn size_and_age(dir: &Path) -> (u64, Time) {
    let mut size = 0;
    let mut age = SystemTime::UNIX_EPOCH;
    for metadata in fs::read_dir(dir).into_iter().flatten().flatten().flat_map(|e| e.metadata()) {
        size += metadata.len();
        age = age.max(metadata.modified().unwrap_or(age));
    }
    let nanos = age.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    (size, Time(u64::try_from(nanos).unwrap_or(u64::MAX)))
}
