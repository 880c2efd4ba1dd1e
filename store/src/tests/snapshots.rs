//! Snapshots are written in parts: there is a whole one or none, whatever comes in between, and entries do not wait for it.

use std::time::Duration;

use redb::ReadableTableMetadata;
use skein_events::record::Position;

use super::{Bed, batch, secret, simulate};
use crate::table::snapshots::{PART, PARTS};
use crate::{FILE, SimDisk, Taken};

/// A snapshot of some parts, the last not full, that says which it is and holds a secret in each.
fn taken(index: u64, parts: usize) -> Taken {
    let mut bytes = secret(index, 0).1;
    bytes.resize(PART, u8::try_from(index).unwrap());
    let mut bytes = bytes.repeat(parts);
    bytes.truncate(bytes.len() - 100);
    Taken { index, position: Position(2 * index + 2), bytes: bytes.into() }
}

async fn written(disk: &SimDisk, entries: u64) -> Bed {
    let mut bed = Bed::open(disk).unwrap();
    for index in 0..entries {
        assert!(bed.append(index, batch(index, 2, 0)).await);
    }
    bed
}

/// Rows there are of snapshots' parts.
fn rows(bed: &Bed) -> u64 {
    bed.log.transaction().unwrap().open_table(PARTS).unwrap().len().unwrap()
}

#[test]
fn a_snapshot_is_whole_or_not_there_whenever_the_power_is_lost() {
    let (mut lost, mut kept) = (0, 0);
    for at in 1.. {
        let finished = simulate(async {
            let disk = SimDisk::new(at);
            let mut bed = written(&disk, 6).await;
            bed.log.save_snapshot(taken(1, 2)).await.unwrap();
            disk.lose_power_at(at);
            let saved = tokio::select! {
                saved = bed.log.save_snapshot(taken(3, 4)) => saved.is_ok(),
                _ = bed.failed.recv() => false,
            };
            disk.lose_power();
            drop(bed);
            let bed = Bed::open(&disk).unwrap();
            let newest = bed.log.snapshot_at_or_before(Position(100)).unwrap().unwrap();
            assert_eq!(bed.log.newest_snapshot().unwrap(), newest.position);
            match newest.index {
                1 => assert_eq!((newest.bytes, saved), (taken(1, 2).bytes, false), "{at}"),
                3 => assert_eq!(newest.bytes, taken(3, 4).bytes, "{at}"),
                other => panic!("operation {at}: a snapshot at entry {other}"),
            }
            if newest.index == 1 {
                lost += 1;
            } else {
                kept += 1;
            }
            // Whatever was left is cleared away with the next.
            bed.log.save_snapshot(taken(5, 1)).await.unwrap();
            assert_eq!(rows(&bed), if newest.index == 1 { 3 } else { 7 }, "operation {at}");
            saved
        });
        if finished {
            break;
        }
    }
    assert!(lost > 10 && kept > 0, "{lost} lost, {kept} kept");
}

#[test]
fn what_was_taken_before_a_redaction_is_not_kept_after_it() {
    simulate(async {
        let disk = SimDisk::new(5);
        disk.set_latency(Duration::from_micros(100), Duration::from_millis(3));
        let bed = written(&disk, 6).await;
        let redact = async {
            while rows(&bed) == 0 {
                bed.log.beat().await.unwrap();
            }
            bed.log.redact(Position(3)).await.unwrap();
        };
        let (saved, ()) = tokio::join!(bed.log.save_snapshot(taken(1, 4)), redact);
        saved.unwrap();
        assert_eq!(bed.log.snapshot_at_or_before(Position(100)).unwrap(), None);
        assert_eq!(rows(&bed), 0);
        let value = secret(1, 0).1;
        let image = disk.image(FILE);
        assert!(!image.windows(value.len()).any(|window| window == value));
    });
}

#[test]
fn entries_do_not_wait_for_the_space_a_snapshot_needs() {
    simulate(async {
        let disk = SimDisk::new(6);
        disk.set_latency(Duration::from_micros(100), Duration::from_millis(3));
        let mut bed = written(&disk, 6).await;
        disk.set_room(Some(512 << 10));
        bed.log.save_snapshot(taken(1, 40)).await.unwrap();
        assert_eq!(bed.log.snapshot_at_or_before(Position(100)).unwrap(), None, "it was given up");
        assert!(bed.append(6, batch(6, 2, 0)).await, "the log goes on, without more space");
        assert!(!bed.log.is_held());
        disk.set_room(None);
        bed.log.save_snapshot(taken(6, 40)).await.unwrap();
        let newest = bed.log.snapshot_at_or_before(Position(100)).unwrap().unwrap();
        assert_eq!(newest.bytes, taken(6, 40).bytes);
        assert_eq!(rows(&bed), 40, "what was begun before is cleared away");
    });
}
