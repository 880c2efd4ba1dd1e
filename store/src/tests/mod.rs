//! Tests of the whole store: consensus' own suite, power loss at every operation, damage at every byte, redaction.
//! A `Bed` is a store with its writer running, on a disk the test can break.

mod archive;
mod damage;
mod full;
mod power;
mod redaction;
mod roots;
mod snapshots;
mod suite;

use std::sync::Arc;

use bytes::Bytes;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use skein_events::record::{BatchBytes, Detachable, Position, RecordBytes};
use tokio::sync::mpsc;

use crate::raft::{EncodedBatch, Entry, Storage, Types, log_id};
use crate::{Log, Options, SimDisk};

/// A store whose writer runs on the current `LocalSet`.
struct Bed {
    log: Log,
    storage: Storage,
    /// What the writer said when it failed.
    failed: mpsc::UnboundedReceiver<String>,
}

impl Bed {
    fn open(disk: &SimDisk) -> Result<Self, crate::Error> {
        Self::open_on(Arc::new(disk.mount()))
    }

    fn open_on(disk: Arc<dyn crate::disk::Disk>) -> Result<Self, crate::Error> {
        let (said, failed) = mpsc::unbounded_channel();
        let fatal = move |text: &str| drop(said.send(text.to_owned()));
        let (log, writer) = Log::open(disk, Options::default(), fatal)?;
        tokio::task::spawn_local(writer.run());
        Ok(Self { storage: Storage::new(log.clone()), log, failed })
    }

    /// Appends and commits one batch; `false` if it was never acknowledged.
    async fn append(&mut self, index: u64, batch: Bytes) -> bool {
        let (done, flushed) = Types::oneshot();
        let entry = Entry::new_batch(index, batch);
        let callback = IOFlushed::signal(done);
        if self.storage.append([entry], callback).await.is_err() {
            return false;
        }
        let acknowledged = tokio::select! {
            flushed = flushed => matches!(flushed, Ok(Ok(()))),
            _ = self.failed.recv() => false,
        };
        if acknowledged {
            let _ = self.storage.save_committed(Some(log_id(1, index))).await;
            let row = self.log.row(index).unwrap().unwrap();
            self.log.advance(index, Some((Position(row.link().position.0 - 1), row.h)));
        }
        acknowledged
    }

    fn payloads(&self) -> Result<Vec<Bytes>, crate::Error> {
        self.log.batches(Position(1)).map(|batch| batch.map(|batch| batch.bytes)).collect()
    }
}

trait NewBatch {
    fn new_batch(index: u64, batch: Bytes) -> Self;
}
impl NewBatch for Entry {
    fn new_batch(index: u64, batch: Bytes) -> Self {
        let payload = openraft::EntryPayload::Normal(EncodedBatch(batch));
        Self { log_id: log_id(1, index), payload }
    }
}

/// A batch of so many records; each says its number and hides a value.
fn batch(index: u64, records: usize, size: usize) -> Bytes {
    let fixed: Vec<Vec<u8>> = (0..records)
        .map(|n| format!("entry {index} record {n} ").into_bytes())
        .map(|mut text| {
            text.resize(text.len() + size, b'.');
            text
        })
        .collect();
    let hidden: Vec<([u8; 32], Vec<u8>)> = (0..records).map(|n| secret(index, n)).collect();
    let records = (fixed.iter().zip(&hidden))
        .map(|(fixed, (salt, value))| RecordBytes {
            kind: 1,
            version: 1,
            fixed,
            detachable: Detachable::Present { salt: *salt, bytes: value },
        })
        .collect();
    BatchBytes { salt: [7; 32], envelope: b"envelope", records }.encode().unwrap().into()
}

fn secret(index: u64, n: usize) -> ([u8; 32], Vec<u8>) {
    let salt = *blake3::hash(format!("salt {index} {n}").as_bytes()).as_bytes();
    (salt, format!("password-of-{index}-{n}").repeat(3).into_bytes())
}

/// Runs on virtual time, on one thread, with everything spawned locally.
fn simulate<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}
