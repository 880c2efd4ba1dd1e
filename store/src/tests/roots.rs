//! Data roots that other builds left, in `tests/roots`: each opens, verifies and folds to the digest its own build printed,
//! and stays so when this build goes on with it. They are never made anew; a release adds one with `tests/roots/make.sh`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use skein_events::codec::Batch;
use skein_events::record::{BatchBytes, Detachable, Position};
use skein_events::state::State;
use skein_events::state::touched::Touched;
use tempfile::TempDir;

use super::{Bed, simulate};
use crate::{FileDisk, FrozenDisk, Log};

/// What is known of a root: its name, the record erased in it, and the position and digest its own build printed.
struct Root {
    name: String,
    redacted: Position,
    digest: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/roots")
}

fn roots() -> Vec<Root> {
    let mut roots = Vec::new();
    for item in std::fs::read_dir(folder()).unwrap() {
        let path = item.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let [build, redacted, digest] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("{}: {text}", path.display())
        };
        let name = build.strip_prefix("build ").unwrap().to_owned();
        let redacted = redacted.strip_prefix("redacted @").unwrap().parse().unwrap();
        roots.push(Root { name, redacted: Position(redacted), digest: digest.to_owned() });
    }
    assert!(!roots.is_empty(), "there are roots in {}", folder().display());
    roots
}

fn unpacked(root: &Root) -> TempDir {
    let data = tempfile::tempdir().unwrap();
    let archive = folder().join(format!("{}.tar.zst", root.name));
    let mut tar = Command::new("tar");
    let out =
        tar.arg("--zstd").arg("-C").arg(data.path()).arg("-xf").arg(archive).output().unwrap();
    assert!(out.status.success(), "{}: {}", root.name, String::from_utf8_lossy(&out.stderr));
    data
}

/// As `skein replay --digest` prints it.
fn digest(log: &Log) -> String {
    let mut state = State::default();
    for stored in log.batches(Position(1)) {
        let stored = stored.unwrap();
        let batch = Batch::read(&stored.bytes).unwrap();
        state.apply_batch(stored.first, &batch, &mut Touched::Ignored);
    }
    let (position, digest) = (state.position.0, state.digest());
    format!("@{position} {digest}")
}

/// Of each record, whether its detachable part is there; `None` if it was erased.
fn parts(log: &Log) -> Vec<(Position, Option<bool>)> {
    let mut parts = Vec::new();
    for stored in log.batches(Position(1)) {
        let stored = stored.unwrap();
        let batch = BatchBytes::parse(&stored.bytes).unwrap();
        for (record, position) in batch.records.iter().zip(stored.first.0..) {
            let there = match record.detachable {
                Detachable::Redacted { .. } => None,
                Detachable::Present { .. } => Some(true),
                Detachable::None => Some(false),
            };
            parts.push((Position(position), there));
        }
    }
    parts
}

#[test]
fn roots_of_other_builds_are_read_as_their_own_build_read_them() {
    for root in roots() {
        let data = unpacked(&root);
        let disk = Arc::new(FrozenDisk::open(&data.path().join("swarm")).unwrap());
        simulate(async {
            let bed = Bed::open_on(disk).unwrap();
            assert_eq!(bed.log.verify(|_, _| ()).unwrap().bad, None, "{}", root.name);
            assert_eq!(digest(&bed.log), root.digest, "{}", root.name);
            assert!(parts(&bed.log).contains(&(root.redacted, None)), "{}", root.name);
        });
    }
}

#[test]
fn what_is_erased_in_roots_of_other_builds_changes_no_digest() {
    for root in roots() {
        let data = unpacked(&root);
        let swarm = data.path().join("swarm");
        simulate(async {
            let bed = Bed::open_on(Arc::new(FileDisk::open(&swarm).unwrap())).unwrap();
            let there: Vec<Position> = parts(&bed.log)
                .into_iter()
                .filter_map(|(position, there)| (there == Some(true)).then_some(position))
                .collect();
            assert!(!there.is_empty(), "{}: something can be erased", root.name);
            for position in &there {
                bed.log.redact(*position).await.unwrap();
            }
            bed.log.close().await.unwrap();
            drop(bed);
            let bed = Bed::open_on(Arc::new(FileDisk::open(&swarm).unwrap())).unwrap();
            assert_eq!(bed.log.verify(|_, _| ()).unwrap().bad, None, "{}", root.name);
            assert!(there.iter().all(|at| parts(&bed.log).contains(&(*at, None))));
            assert_eq!(digest(&bed.log), root.digest, "{}", root.name);
        });
    }
}
