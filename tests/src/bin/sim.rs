//! `cargo sim`: lives simulated histories and says which seed shows a fault.
//! `--seed N` prints one history line by line; `--seeds N` lives seeds 0 to N-1 and prints what did not hold.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use skein_tests::sim::check::Check;
use skein_tests::sim::{Outcome, run, watch_panics};

/// Lives histories of a simulated swarm.
#[derive(Parser)]
struct Args {
    /// Live one history and print it
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Live so many histories
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Live each history twice and compare every byte
    #[arg(long)]
    twice: bool,
    /// Histories at the same time
    #[arg(long)]
    jobs: Option<usize>,
    /// Print what is checked, and end
    #[arg(long)]
    checks: bool,
}

#[expect(clippy::print_stdout, reason = "a program that prints")]
fn main() -> ExitCode {
    let args = Args::parse();
    if args.checks {
        for check in Check::ALL {
            println!("{check}");
        }
        return ExitCode::SUCCESS;
    }
    watch_panics();
    let seeds = match args.seed {
        Some(seed) => seed..seed.saturating_add(1),
        None => args.from..args.from.saturating_add(args.seeds),
    };
    let live = args.seed.is_some();
    let jobs = args.jobs.or_else(|| std::thread::available_parallelism().ok().map(usize::from));
    let next = AtomicU64::new(seeds.start);
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.unwrap_or(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = run(seed, live);
                    let again = args.twice.then(|| run(seed, false));
                    let mut sum = sum.lock().expect("adding does not panic");
                    sum.add(&outcome, again.as_ref());
                }
            });
        }
    });
    let sum = sum.into_inner().expect("adding does not panic");
    println!("{}", sum.text());
    println!("{} passed, {} failed", sum.passed, sum.failed);
    if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Sum {
    passed: u64,
    failed: u64,
    seconds: u64,
    records: u64,
    acked: u64,
    unknown: u64,
    incarnations: u64,
    operations: u64,
    traces: BTreeMap<u64, blake3::Hash>,
    kinds: BTreeMap<&'static str, u64>,
}

impl Sum {
    #[expect(clippy::print_stdout, reason = "a program that prints")]
    fn add(&mut self, outcome: &Outcome, again: Option<&Outcome>) {
        let seed = outcome.seed;
        let differs = again.and_then(|again| difference(&outcome.trace, &again.trace));
        if let Some(line) = &differs {
            println!("seed {seed}: the same seed gave two histories:\n{line}");
        }
        for violation in &outcome.violations {
            println!("seed {seed}: {}: {}", violation.check, violation.text);
        }
        if differs.is_some() || !outcome.violations.is_empty() {
            let twice = if differs.is_some() { " --twice" } else { "" };
            println!("seed {seed}: reproduce with: cargo sim --seed {seed}{twice}");
            self.failed += 1;
        } else {
            self.passed += 1;
        }
        self.seconds += outcome.took.0 / 1_000_000_000;
        self.records += outcome.records;
        self.acked += outcome.commands.0;
        self.unknown += outcome.commands.2;
        self.incarnations += outcome.incarnations;
        self.operations += outcome.operations;
        self.traces.insert(seed, blake3::hash(outcome.trace.as_bytes()));
        for (kind, n) in &outcome.kinds {
            *self.kinds.entry(kind).or_default() += n;
        }
    }

    fn text(&self) -> String {
        let kinds: Vec<String> = self.kinds.iter().map(|(k, n)| format!("{k} {n}")).collect();
        let mut all = blake3::Hasher::new();
        for hash in self.traces.values() {
            all.update(hash.as_bytes());
        }
        let hash = all.finalize().to_hex();
        format!(
            "{} s of swarm time, {} incarnations of the manager, {} disk operations, {} commands acknowledged, {} asked again, {} records\n{}\ntraces {}",
            self.seconds,
            self.incarnations,
            self.operations,
            self.acked,
            self.unknown,
            self.records,
            kinds.join(", "),
            &hash[..16],
        )
    }
}

/// The first line in which two traces differ.
fn difference(one: &str, other: &str) -> Option<String> {
    if one == other {
        return None;
    }
    let (mut a, mut b) = (one.lines(), other.lines());
    loop {
        let (x, y) = (a.next(), b.next());
        if x != y || x.is_none() {
            let show = |line: Option<&str>| line.unwrap_or("(the end)").to_owned();
            return Some(format!("- {}\n+ {}", show(x), show(y)));
        }
    }
}
