//! Archives: from any point, with redacted records, and no flipped bit goes unseen.

use proptest::prelude::*;
use skein_events::record::Position;

use super::{Bed, batch, secret, simulate};
use crate::SimDisk;
use crate::archive::{Checked, MAGIC, check, link_bytes};
use crate::row::{Kind, Link, Row};

fn export(bed: &Bed, from: u64, to: u64) -> Vec<u8> {
    let pieces = bed.log.export(Position(from), Position(to)).unwrap();
    pieces.flat_map(|piece| piece.unwrap()).collect()
}

#[test]
fn an_archive_is_checked_from_any_point_and_joins_the_next() {
    simulate(async {
        let disk = SimDisk::new(5);
        let mut bed = Bed::open(&disk).unwrap();
        for index in 0..30 {
            assert!(bed.append(index, batch(index, 3, 100)).await);
        }
        bed.log.redact(Position(14)).await.unwrap();
        let whole = check(export(&bed, 1, u64::MAX).as_slice()).unwrap();
        let verified = bed.log.verify(|_, _| ()).unwrap();
        assert_eq!((whole.h, whole.last, whole.records), (verified.h, verified.last, 90));
        assert_eq!((whole.redacted, whole.bad), (vec![Position(14)], None));
        // Batches are not cut: @20 lies in the one of @19..@21.
        let one = check(export(&bed, 1, 20).as_slice()).unwrap();
        let two = check(export(&bed, 22, 90).as_slice()).unwrap();
        assert_eq!((one.first.0, one.last.0, two.first.0, two.last.0), (1, 21, 22, 90));
        assert_eq!((one.h, two.h), (two.before, verified.h));
        let middle = export(&bed, 14, 14);
        assert!(
            !middle.windows(16).any(|w| w == &secret(4, 1).1[..16]),
            "what was erased is not in it"
        );
        assert!(bed.log.export(Position(91), Position(99)).is_err());
        assert!(bed.log.export(Position(9), Position(2)).is_err());
    });
}

#[test]
fn a_changed_or_cut_archive_is_seen() {
    simulate(async {
        let disk = SimDisk::new(6);
        let mut bed = Bed::open(&disk).unwrap();
        for index in 0..4 {
            assert!(bed.append(index, batch(index, 2, 0)).await);
        }
        let whole = export(&bed, 3, 8);
        let good: Checked = check(whole.as_slice()).unwrap();
        assert_eq!(good.bad, None);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            // The term before the first entry is told and not proven: nothing hangs on it.
            let told = (16..24).contains(&at);
            let seen = check(bytes.as_slice()).map_or(true, |found| found.bad.is_some());
            assert!(seen || told, "a flip at byte {at} was not seen");
            let cut = check(&whole[..at]).map_or(true, |found| found.bad.is_some());
            assert!(cut, "cut off at {at} was not seen");
        }
        let longer = [&whole[..], b"x"].concat();
        assert!(check(longer.as_slice()).unwrap().bad.is_some());
    });
}

/// An archive that a hand wrote: it may begin with any numbers.
fn forged(index: u64, position: u64, rows: usize) -> Vec<u8> {
    let h = skein_events::record::Hash::default();
    let mut link = Link { index, term: 1, h, position: Position(position) };
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&link_bytes(&link));
    for _ in 0..rows {
        let row = Row::seal(&link, 1, Kind::Blank, bytes::Bytes::new()).unwrap();
        let bytes = row.encode();
        out.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
        out.extend_from_slice(&bytes);
        link = Link { index: index.wrapping_add(1), h: row.h, ..link };
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&link_bytes(&link));
    out
}

#[test]
fn an_archive_that_begins_nowhere_or_beyond_every_log_is_refused() {
    assert_eq!(check(forged(7, 9, 1).as_slice()).unwrap().bad, None);
    for (index, position) in [(u64::MAX, 9), (7, u64::MAX), (7, 0)] {
        assert!(check(forged(index, position, 1).as_slice()).unwrap().bad.is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_an_archive_or_refused(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        numbers in any::<(u64, u64)>(),
        at in any::<prop::sample::Index>(),
    ) {
        drop(check(noise.as_slice()));
        let mut archive = forged(numbers.0, numbers.1, 2);
        let at = at.index(archive.len());
        archive.splice(at.., noise);
        drop(check(archive.as_slice()));
    }
}
