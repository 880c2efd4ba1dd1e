//! A full disk: writes wait and are done when there is space; nothing is lost, nothing acknowledged too early.

use std::time::Duration;

use super::{Bed, batch, simulate};
use crate::{Error, SimDisk};

const PAUSE: Duration = Duration::from_secs(2);

async fn pause() {
    #[expect(clippy::disallowed_methods, reason = "virtual time")]
    tokio::time::sleep(PAUSE).await;
}

/// Appends until the disk has been full, then frees it; how many entries were acknowledged.
async fn fill(disk: &SimDisk, bed: &mut Bed, free: impl AsyncFnOnce(&crate::Log)) -> u64 {
    let log = bed.log.clone();
    let was_full = std::cell::Cell::new(false);
    let fills = async {
        let mut next = 0;
        while !was_full.get() {
            assert!(next < 2_000, "the disk is never full");
            assert!(bed.append(next, batch(next, 2, 10_000)).await, "entry {next} is lost");
            next += 1;
        }
        next
    };
    let frees = async {
        disk.set_room(Some(1 << 20));
        while !log.is_held() {
            pause().await;
        }
        was_full.set(true);
        pause().await;
        free(&log).await;
    };
    tokio::join!(fills, frees).0
}

#[test]
fn writes_wait_for_space_and_are_acknowledged_once_durable() {
    simulate(async {
        let disk = SimDisk::new(3);
        disk.set_latency(Duration::from_micros(100), Duration::from_millis(3));
        let mut bed = Bed::open(&disk).unwrap();
        let written = fill(&disk, &mut bed, async |log| {
            log.beat().await.expect("a writer that waits lives");
            assert!(log.is_held());
            disk.set_room(None);
        })
        .await;
        assert!(!bed.log.is_held());
        assert!(bed.failed.try_recv().is_err(), "a full disk is no fault");
        disk.lose_power();
        let bed = Bed::open(&disk).unwrap();
        let report = bed.log.verify(|_, _| ()).unwrap();
        assert_eq!((report.bad.is_some(), report.entries), (false, written));
    });
}

#[test]
fn a_log_is_closed_while_the_disk_is_full() {
    simulate(async {
        let disk = SimDisk::new(3);
        disk.set_latency(Duration::from_micros(100), Duration::from_millis(3));
        let mut bed = Bed::open(&disk).unwrap();
        let log = bed.log.clone();
        let mut written = 0;
        disk.set_room(Some(1 << 20));
        tokio::select! {
            () = async {
                while bed.append(written, batch(written, 2, 10_000)).await {
                    written += 1;
                }
                // The one that waited was let go when the log closed, and not acknowledged.
                assert!(log.is_held(), "a write failed before the disk was full");
                std::future::pending::<()>().await;
            } => {}
            () = async {
                while !log.is_held() {
                    pause().await;
                }
                log.close().await.unwrap();
            } => {}
        }
        drop(bed);
        let bed = Bed::open(&disk).unwrap();
        let report = bed.log.verify(|_, _| ()).unwrap();
        assert!(report.bad.is_none() && report.entries >= written, "{report:?}");
    });
}

#[test]
fn a_redaction_that_does_not_fit_leaves_the_log_as_it_is() {
    simulate(async {
        let disk = SimDisk::new(3);
        let mut bed = Bed::open(&disk).unwrap();
        for index in 0..40 {
            assert!(bed.append(index, batch(index, 2, 10_000)).await);
        }
        disk.set_room(Some(1 << 16));
        let position = skein_events::record::Position(5);
        assert!(matches!(bed.log.redact(position).await, Err(Error::Full)));
        assert_eq!(bed.payloads().unwrap().len(), 40);
        disk.set_room(None);
        bed.log.redact(position).await.unwrap();
        assert!(bed.append(40, batch(40, 2, 100)).await);
    });
}
