//! Redaction: the value is gone from the file and from memory, the chain still holds, and a restart changes nothing.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use skein_events::record::{BatchBytes, Detachable, Position};

use super::{Bed, batch, secret, simulate};
use crate::{Error, FILE, FileDisk, SimDisk, Taken};

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn redacted_value_is_gone_from_the_raw_file() {
    simulate(async {
        let disk = SimDisk::new(3);
        let mut bed = Bed::open(&disk).unwrap();
        for index in 0..30 {
            assert!(bed.append(index, batch(index, 3, 100)).await);
        }
        let before = bed.log.verify(|_, _| ()).unwrap();
        let (salt, value) = secret(4, 1);
        assert!(holds(&disk.image(FILE), &value));
        // Entry 4 holds @13, @14 and @15.
        bed.log.redact(Position(14)).await.unwrap();
        for name in disk.names() {
            assert!(
                !holds(&disk.image(&name), &value) && !holds(&disk.image(&name), &salt),
                "{name}"
            );
        }
        assert!(holds(&disk.image(FILE), &secret(4, 0).1), "the others stay");
        assert!(bed.append(30, batch(30, 1, 0)).await, "the log goes on");
        let bytes = bed.log.read(Position(14), crate::Limit::default()).unwrap()[0].bytes.clone();
        assert!(!holds(&bytes, &value), "nor is it in memory");
        let again = bed.log.redact(Position(14)).await.unwrap_err();
        assert!(matches!(again, Error::NothingToRedact(Position(14))), "{again}");
        bed.log.close().await.unwrap();
        drop(bed);

        let bed = Bed::open(&disk).unwrap();
        let after = bed.log.verify(|_, _| ()).unwrap();
        assert_eq!((after.bad, after.entries), (None, before.entries + 1));
        let batches = bed.log.read(Position(14), crate::Limit::default()).unwrap();
        let parts = BatchBytes::parse(&batches[0].bytes).unwrap();
        let kinds =
            parts.records.iter().map(|r| matches!(r.detachable, Detachable::Redacted { .. }));
        assert_eq!(kinds.collect::<Vec<_>>(), [false, true, false]);
    });
}

#[test]
fn redaction_drops_the_snapshots_that_may_hold_the_value() {
    simulate(async {
        let disk = SimDisk::new(4);
        let mut bed = Bed::open(&disk).unwrap();
        for index in 0..4 {
            assert!(bed.append(index, batch(index, 2, 0)).await);
        }
        for (index, position) in [(0, 2), (2, 6)] {
            let bytes = secret(1, 0).1.into();
            let taken = Taken { index, position: Position(position), bytes };
            bed.log.save_snapshot(taken).await.unwrap();
        }
        bed.log.redact(Position(3)).await.unwrap();
        let left = bed.log.snapshot_at_or_before(Position(100)).unwrap().unwrap();
        assert_eq!(left.position, Position(2));
    });
}

#[test]
fn power_loss_at_every_operation_of_a_redaction_leaves_a_whole_log() {
    let mut finished = false;
    for at in 1..200 {
        simulate(async {
            let disk = SimDisk::new(at);
            let mut bed = Bed::open(&disk).unwrap();
            for index in 0..8 {
                assert!(bed.append(index, batch(index, 2, 0)).await);
            }
            disk.lose_power_at(at);
            let redacted = tokio::select! {
                answer = bed.log.redact(Position(5)) => answer.is_ok(),
                _ = bed.failed.recv() => false,
            };
            disk.lose_power();
            drop(bed);
            let bed = Bed::open(&disk).unwrap();
            let report = bed.log.verify(|_, _| ()).unwrap();
            assert_eq!((report.entries, report.bad), (8, None), "operation {at}");
            assert!(!redacted || !holds(&disk.image(FILE), &secret(2, 0).1), "operation {at}");
            finished |= redacted;
        });
    }
    assert!(finished, "200 operations are enough for the whole of it");
}

/// A file system of its own on a file, mounted; gone when dropped.
struct Device(tempfile::TempDir);

impl Device {
    fn new() -> Self {
        let device = Self(tempfile::tempdir().unwrap());
        let (image, mounted) = (device.image(), device.mounted());
        std::fs::create_dir(&mounted).unwrap();
        std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        run("mkfs.ext4", &[Path::new("-q"), Path::new("-F"), &image]);
        run("mount", &[Path::new("-o"), Path::new("loop"), &image, &mounted]);
        device
    }

    fn image(&self) -> std::path::PathBuf {
        self.0.path().join("image")
    }

    fn mounted(&self) -> std::path::PathBuf {
        self.0.path().join("mounted")
    }

    /// All the device holds, free blocks included.
    fn bytes(&self) -> Vec<u8> {
        run("sync", &[Path::new("-f"), &self.mounted()]);
        std::fs::read(self.image()).unwrap()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        run("umount", &[Path::new("-l"), &self.mounted()]);
    }
}

fn run(program: &str, arguments: &[&Path]) {
    let out = Command::new(program).args(arguments).output().unwrap();
    assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn redacted_value_is_gone_from_the_device() {
    simulate(async {
        let device = Device::new();
        let disk = Arc::new(FileDisk::open(&device.mounted()).unwrap());
        let mut bed = Bed::open_on(disk).unwrap();
        for index in 0..30 {
            assert!(bed.append(index, batch(index, 3, 100)).await);
        }
        let taken = Taken { index: 29, position: Position(90), bytes: secret(4, 1).1.into() };
        bed.log.save_snapshot(taken).await.unwrap();
        let (salt, value) = secret(4, 1);
        assert!(holds(&device.bytes(), &value), "the test sees what files hold");
        bed.log.redact(Position(14)).await.unwrap();
        let device_bytes = device.bytes();
        assert!(!holds(&device_bytes, &value) && !holds(&device_bytes, &salt));
        assert!(holds(&device_bytes, &secret(4, 0).1), "the others stay");
        assert!(!device.mounted().join(crate::rewrite::FILE).exists());
        bed.log.close().await.unwrap();
    });
}

#[test]
fn a_rewrite_left_from_a_crash_is_overwritten_at_the_next_start() {
    simulate(async {
        let device = Device::new();
        let left = device.mounted().join(crate::rewrite::FILE);
        std::fs::write(&left, [[7; 4096].as_slice(), &secret(4, 1).1].concat()).unwrap();
        assert!(holds(&device.bytes(), &secret(4, 1).1), "the test sees what files hold");
        let disk = Arc::new(FileDisk::open(&device.mounted()).unwrap());
        let bed = Bed::open_on(disk).unwrap();
        assert!(!holds(&device.bytes(), &secret(4, 1).1));
        assert!(!left.exists());
        bed.log.close().await.unwrap();
    });
}
