//! Power loss at every operation of the disk: what was acknowledged is there, in order, and nothing half.

use std::time::Duration;

use proptest::prelude::*;

use super::{Bed, batch, simulate};
use crate::{Error, SimDisk};

/// Appends until power is lost at the n-th operation, opens again (losing power in the opening too, if asked), and compares.
async fn survives(seed: u64, at: u64, again_at: Option<u64>) -> Result<u64, String> {
    let disk = SimDisk::new(seed);
    disk.set_latency(Duration::from_micros(100), Duration::from_millis(3));
    let mut acknowledged = 0;
    let mut bed = Bed::open(&disk).map_err(|error| error.to_string())?;
    disk.lose_power_at(at);
    while acknowledged < 40 && bed.append(acknowledged, batch(acknowledged, 2, 300)).await {
        acknowledged += 1;
    }
    disk.lose_power();
    drop(bed);
    if let Some(again) = again_at {
        disk.lose_power_at(again);
        drop(Bed::open(&disk));
        disk.lose_power();
    }
    let bed = Bed::open(&disk).map_err(|error| error.to_string())?;
    let report = bed.log.verify(|_, _| ()).map_err(|error| error.to_string())?;
    if report.bad.is_some() || report.entries < acknowledged || report.entries > acknowledged + 1 {
        return Err(format!("{acknowledged} acknowledged, found {report:?}"));
    }
    let rows = bed.log.rows(0..report.entries, crate::tests::power::ALL).unwrap();
    for row in rows {
        if row.payload != batch(row.index, 2, 300) {
            return Err(format!("entry {} is another", row.index));
        }
    }
    Ok(acknowledged)
}

const ALL: crate::table::entries::Budget =
    crate::table::entries::Budget { rows: usize::MAX, bytes: usize::MAX };

#[test]
fn power_loss_at_every_operation_keeps_what_was_acknowledged() {
    for at in 1..=260 {
        simulate(survives(at, at, None)).unwrap_or_else(|text| panic!("operation {at}: {text}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn power_loss_while_recovering_from_power_loss(seed: u64, at in 1u64..400, again in 1u64..40) {
        let result = simulate(survives(seed, at, Some(again)));
        prop_assert!(result.is_ok(), "{result:?}");
    }
}

#[test]
fn a_failed_sync_is_fatal_and_acknowledges_nothing() {
    for nth in 1..=8 {
        simulate(async {
            let disk = SimDisk::new(nth);
            let mut bed = Bed::open(&disk).unwrap();
            assert!(bed.append(0, batch(0, 1, 0)).await);
            disk.fail_sync_at(nth);
            let mut acknowledged = 1;
            while bed.append(acknowledged, batch(acknowledged, 1, 0)).await {
                acknowledged += 1;
                assert!(acknowledged < 20, "the failed sync was not noticed");
            }
            assert!(!bed.log.is_held(), "a failed sync was taken for a full disk");
            disk.lose_power();
            drop(bed);
            let bed = Bed::open(&disk).unwrap();
            assert!(bed.log.verify(|_, _| ()).unwrap().entries >= acknowledged);
        });
    }
}

#[test]
fn log_shorter_than_what_was_acknowledged_does_not_open() {
    simulate(async {
        let disk = SimDisk::new(1);
        let mut bed = Bed::open(&disk).unwrap();
        for index in 0..3 {
            assert!(bed.append(index, batch(index, 1, 0)).await);
        }
        bed.log.set_epoch(1).await.unwrap();
        let transaction = bed.log.with_database(|database| database.begin_write()).unwrap();
        transaction.open_table(crate::table::entries::ENTRIES).unwrap().remove(2).unwrap();
        transaction.commit().unwrap();
        drop(bed);
        let error = Bed::open(&disk).err().unwrap();
        assert!(matches!(error, Error::Short { end: 2, committed: 2 }), "{error}");
    });
}
