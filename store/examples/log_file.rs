//! Measures what docs/adr/0002-log-file.md decides by: two-phase commits with quick repair against one-phase commits.
//! `cargo run --profile sim -p skein-store --example log_file -- DIR`; DIR should be on the disk that matters.

#![expect(clippy::print_stdout, reason = "prints its figures")]
#![expect(clippy::disallowed_methods, reason = "measures real time")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openraft::entry::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::EntryOf;
use skein_events::record::{BatchBytes, Detachable, RecordBytes};
use skein_store::raft::{EncodedBatch, Storage, Types};
use skein_store::{FILE, FileDisk, Log, Options, SimDisk};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [root, mode, entries] => {
            fill(Path::new(root), mode == "two-phase", entries.parse().expect("a number"));
        }
        [root] => all(Path::new(root)),
        [] | [_, _] | [_, _, _, _, ..] => println!("usage: log_file DIR"),
    }
}

fn all(root: &Path) {
    for batch in [1, 32, 1024] {
        latency(&root.join(format!("latency-{batch}")), batch);
    }
    for mode in ["one-phase", "two-phase"] {
        println!("{mode}");
        reopen(&root.join(format!("reopen-{mode}")), mode);
        damage(mode == "two-phase");
    }
}

fn options(two_phase: bool) -> Options {
    Options { quick_repair: two_phase, ..Options::default() }
}

fn open(root: &Path, two_phase: bool) -> (Log, Storage) {
    let disk = Arc::new(FileDisk::open(root).expect("the directory is free"));
    let (log, writer) =
        Log::open(disk, options(two_phase), |text| panic!("{text}")).expect("opens");
    std::thread::spawn(|| futures::executor::block_on(writer.run()));
    (log.clone(), Storage::new(log))
}

fn entry(index: u64) -> EntryOf<Types> {
    let fixed = index.to_le_bytes().repeat(25);
    let record = RecordBytes { kind: 1, version: 1, fixed: &fixed, detachable: Detachable::None };
    let parts = BatchBytes { salt: [1; 32], envelope: &[2; 60], records: vec![record] };
    let batch = Bytes::from(parts.encode().expect("small"));
    let log_id = openraft::LogId::new(1.into(), index);
    EntryOf::<Types> { log_id, payload: EntryPayload::Normal(EncodedBatch(batch)) }
}

fn append(storage: &mut Storage, entries: Vec<EntryOf<Types>>) {
    let (done, flushed) = Types::oneshot();
    futures::executor::block_on(async {
        storage.append(entries, IOFlushed::signal(done)).await.expect("is staged");
        flushed.await.expect("is flushed").expect("is flushed");
    });
}

/// Durable commits of so many entries: one of each mode in turn, so that both meet the same disk.
fn latency(root: &Path, batch: u64) {
    let mut stores = [false, true].map(|mode| open(&root.join(mode.to_string()), mode));
    let (mut next, mut taken) = (0, [Vec::new(), Vec::new()]);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(8) {
        for ((_, storage), taken) in stores.iter_mut().zip(&mut taken) {
            let entries = (next..next + batch).map(entry).collect();
            let one = Instant::now();
            append(storage, entries);
            taken.push(one.elapsed());
        }
        next += batch;
    }
    for (mode, mut taken) in ["one-phase", "two-phase"].into_iter().zip(taken) {
        taken.sort();
        let at = |part: usize| taken[(taken.len() - 1) * part / 100].as_micros();
        println!("commit of {batch:>4}, {mode}: p50 {:>6} us  p99 {:>6} us", at(50), at(99));
    }
    drop(stores);
    std::fs::remove_dir_all(root).expect("is ours");
}

fn fill(root: &Path, two_phase: bool, entries: u64) {
    let (_log, mut storage) = open(root, two_phase);
    for from in (0..entries).step_by(2048) {
        append(&mut storage, (from..from + 2048).map(entry).collect());
    }
    println!("full");
    // Until it is killed: commits that a kill may interrupt.
    for index in (entries.next_multiple_of(2048)).. {
        append(&mut storage, vec![entry(index)]);
    }
}

/// A process that writes is killed; how long until the log is open again.
fn reopen(root: &Path, mode: &str) {
    let me = std::env::current_exe().expect("has a name");
    for entries in [100_000_u64, 2_000_000] {
        let mut child = Command::new(&me)
            .args([root.as_os_str(), mode.as_ref(), entries.to_string().as_ref()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("is piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line)
            .expect("says so");
        child.kill().expect("is ours");
        child.wait().expect("ends");
        let megabytes = std::fs::metadata(root.join(FILE)).expect("is there").len() >> 20;
        let begin = Instant::now();
        let (log, _) = open(root, mode == "two-phase");
        let opened = begin.elapsed();
        let begin = Instant::now();
        let report = log.verify(|_, _| ()).expect("reads");
        assert_eq!(report.bad, None);
        println!(
            "  after kill -9, {megabytes:>4} MB: open {:>8.1} ms; verify of {} entries {:>6.0} ms",
            opened.as_secs_f64() * 1e3,
            report.entries,
            begin.elapsed().as_secs_f64() * 1e3,
        );
        futures::executor::block_on(log.close()).expect("closes");
        std::fs::remove_dir_all(root).expect("is ours");
    }
}

/// A byte changes while the log is closed: who notices.
fn damage(two_phase: bool) {
    const ENTRIES: u64 = 2_000;
    let disk = SimDisk::new(1);
    let open = |disk: &SimDisk| Log::open(Arc::new(disk.mount()), options(two_phase), |_| ());
    {
        let (log, writer) = open(&disk).expect("opens");
        let thread = std::thread::spawn(|| futures::executor::block_on(writer.run()));
        let mut storage = Storage::new(log.clone());
        for from in (0..ENTRIES).step_by(50) {
            append(&mut storage, (from..from + 50).map(entry).collect());
        }
        futures::executor::block_on(log.close()).expect("closes");
        thread.join().expect("ends");
    }
    let image = disk.image(FILE);
    let h = {
        let (log, _writer) = open(&SimDisk::with_file(1, FILE, image.clone())).expect("opens");
        log.verify(|_, _| ()).expect("reads").h
    };
    std::panic::set_hook(Box::new(|_| ()));
    let (mut by_open, mut by_verify, mut by_panic, mut unused, mut missed) = (0, 0, 0, 0, 0);
    for n in 0..2_000_usize {
        let at = n * (image.len() / 2_000) + n * 37 % 4096;
        let copy = SimDisk::with_file(1, FILE, image.clone());
        copy.flip(FILE, at, 1 << (n % 8));
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let (log, _writer) = open(&copy).map_err(drop)?;
            Ok::<_, ()>(log.verify(|_, _| ()))
        }));
        match seen {
            Err(_) => by_panic += 1,
            Ok(Err(())) => by_open += 1,
            Ok(Ok(Ok(report))) if report.bad.is_none() && report.entries == ENTRIES => {
                if report.h == h { unused += 1 } else { missed += 1 }
            }
            Ok(Ok(Ok(report))) if report.bad.is_none() => missed += 1,
            Ok(Ok(_)) => by_verify += 1,
        }
    }
    drop(std::panic::take_hook());
    println!(
        "  2000 flipped bits: {by_open} stop the opening, {by_verify} found by verify, {by_panic} end the process, {unused} in no use, {missed} missed"
    );
}
