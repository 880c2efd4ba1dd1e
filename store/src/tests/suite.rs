//! The consensus library's own tests of a store, on real files with the writer on its own thread.

use std::pin::Pin;
use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tokio::sync::mpsc;

use crate::raft::{Delivery, Machine, Storage, Types};
use crate::{FileDisk, Log, Options, SnapshotSource, Taken};

struct Files;

/// Gives empty snapshots of whatever entry is asked for.
struct Empty;

impl SnapshotSource for Empty {
    fn take(&self, applied: u64) -> Pin<Box<dyn Future<Output = Option<Taken>> + Send>> {
        let position = skein_events::record::Position(applied);
        let taken = Taken { index: applied, position, bytes: bytes::Bytes::new() };
        Box::pin(std::future::ready(Some(taken)))
    }
}

type Guard = (tempfile::TempDir, mpsc::Receiver<Delivery>);

impl StoreBuilder<Types, Storage, Machine, Guard> for Files {
    async fn build(&self) -> Result<(Guard, Storage, Machine), StorageError<Types>> {
        let root = tempfile::tempdir().unwrap();
        let disk = Arc::new(FileDisk::open(root.path()).unwrap());
        let (log, writer) = Log::open(disk, Options::default(), |text| panic!("{text}")).unwrap();
        std::thread::spawn(|| futures::executor::block_on(writer.run()));
        let (out, delivered) = mpsc::channel(1024);
        let machine = Machine::new(log.clone(), out, Arc::new(Empty)).unwrap();
        Ok(((root, delivered), Storage::new(log), machine))
    }
}

#[test]
fn consensus_suite_passes_on_the_real_store() {
    super::simulate(crate::raft::Runtime::scope(1, async {
        Suite::<Types, Storage, Machine, Files, Guard>::test_all(Files).await.unwrap();
    }));
}
