//! Damage: a flipped bit anywhere in the file, a missing entry, a changed one. Seen, and named.

use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::ReadableTable;

use super::{Bed, batch, simulate};
use crate::table::entries::ENTRIES;
use crate::{Damage, Error, FILE, SimDisk};

const ENTRIES_WRITTEN: u64 = 12;
const UNSEEN: &str = "damage was not seen";

async fn written(disk: &SimDisk) {
    let mut bed = Bed::open(disk).unwrap();
    for index in 0..ENTRIES_WRITTEN {
        assert!(bed.append(index, batch(index, 2, 200)).await);
    }
    bed.log.close().await.unwrap();
}

/// Whether nothing is found wrong; then everything must be as it was written.
async fn intact(disk: &SimDisk) -> Result<bool, Error> {
    let bed = Bed::open(disk)?;
    if bed.log.verify(|_, _| ())?.bad.is_some() {
        return Ok(false);
    }
    let as_written: Vec<_> = (0..ENTRIES_WRITTEN).map(|index| batch(index, 2, 200)).collect();
    assert_eq!(bed.payloads()?, as_written, "{UNSEEN}");
    Ok(true)
}

#[test]
fn a_flipped_bit_is_seen_or_was_in_no_use() {
    simulate(async {
        let disk = SimDisk::new(5);
        written(&disk).await;
        let image = disk.image(FILE);
        let (mut seen, mut unused) = (0, 0);
        for at in (0..image.len()).filter(|at| image[*at] != 0 || at % 97 == 0) {
            if at % 11 != 0 {
                continue;
            }
            let copy = SimDisk::with_file(5, FILE, image.clone());
            copy.flip(FILE, at, 1 << (at % 8));
            let opened = catch_unwind(AssertUnwindSafe(|| {
                futures::executor::block_on(Box::pin(intact(&copy)))
            }));
            // A panic of the database is seen, too: it ends the process.
            match opened {
                Ok(Ok(true)) => unused += 1,
                Err(panic)
                    if panic.downcast_ref::<String>().is_some_and(|t| t.contains(UNSEEN)) =>
                {
                    std::panic::resume_unwind(panic);
                }
                Ok(Ok(false)) | Ok(Err(_)) | Err(_) => seen += 1,
            }
        }
        assert!(seen > 100, "seen {seen}, in no use {unused}");
    });
}

#[test]
fn a_missing_entry_is_named_and_the_log_is_not_cut() {
    simulate(async {
        let disk = SimDisk::new(6);
        written(&disk).await;
        let bed = Bed::open(&disk).unwrap();
        let transaction = bed.log.with_database(|database| database.begin_write()).unwrap();
        transaction.open_table(ENTRIES).unwrap().remove(5).unwrap();
        transaction.commit().unwrap();
        let bad = bed.log.verify(|_, _| ()).unwrap().bad.unwrap();
        assert_eq!((bad.index, bad.first.0, bad.what), (5, 11, Damage::Missing));
        drop(bed);
        for _ in 0..2 {
            let error = Bed::open(&disk).err().unwrap();
            assert_eq!(
                error.to_string(),
                "log entry 5 (records from @11) is damaged: it is missing"
            );
        }
    });
}

#[test]
fn a_changed_entry_is_named() {
    simulate(async {
        let disk = SimDisk::new(7);
        written(&disk).await;
        let bed = Bed::open(&disk).unwrap();
        let transaction = bed.log.with_database(|database| database.begin_write()).unwrap();
        {
            let mut rows = transaction.open_table(ENTRIES).unwrap();
            let mut row = rows.get(3).unwrap().unwrap().value().to_vec();
            *row.last_mut().unwrap() ^= 1;
            rows.insert(3, row.as_slice()).unwrap();
        }
        transaction.commit().unwrap();
        let report = bed.log.verify(|_, _| ()).unwrap();
        assert_eq!((report.entries, report.last.0), (3, 6));
        drop(bed);
        let text = Bed::open(&disk).err().unwrap().to_string();
        assert!(text.starts_with("log entry 3 (records from @7) is damaged: its hash"), "{text}");
    });
}
