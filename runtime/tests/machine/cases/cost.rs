//! What a container costs here: time from nothing to running, and the memory its shim holds meanwhile.
//! The limits are far above what is usual, so that only a mistake of kind fails; the figures are printed.

use std::time::{Duration, Instant};

use skein_runtime::api::Runtime as _;

use super::adopt::parent;
use crate::rig::{Rig, words};

const RUNS: usize = 15;

pub(crate) fn time_and_memory() {
    let rig = Rig::new();
    let mut started = Vec::new();
    let mut whole = Vec::new();
    for _ in 0..RUNS {
        let mut container = rig.container("");
        container.spec.args = words(&["true"]);
        let from = now();
        rig.start(&container);
        started.push(from.elapsed());
        rig.run(rig.machine.wait(container.id)).unwrap();
        rig.run(rig.machine.remove(container.id)).unwrap();
        whole.push(from.elapsed());
    }
    let container = rig.container("while :; do sleep 0.05; done");
    let pid = rig.start(&container);
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", parent(pid))).unwrap();
    let kib = |key: &str| -> u64 {
        let line = rollup.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let exec = now();
    assert_eq!(rig.shell(container.id, "true").code, 0);
    println!(
        "started {:?}, whole {:?}, exec {:?}; shim {} KiB PSS, {} KiB of its own",
        median(&mut started),
        median(&mut whole),
        exec.elapsed(),
        kib("Pss:"),
        kib("Pss_Anon:"),
    );
    assert!(median(&mut started) < Duration::from_secs(1));
    assert!(kib("Pss_Anon:") < 6 << 10);
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[expect(clippy::disallowed_methods, reason = "measures real processes")]
fn now() -> Instant {
    Instant::now()
}
