//! The same life again and again: a service is made, scaled up, scaled down, removed. In the end nothing of it is left on
//! the machine, and the daemon is no heavier than it was in the middle. Not a figure: it passes or fails.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::daemon::Ground;
use crate::machine::Machine;
use crate::tasks;

/// Looks in the course of a run.
const LOOKS: usize = 20;
/// What the daemon may grow by in a cycle, KiB, in the second half of a run: in the first its caches fill.
const SLOPE_MAX: f64 = 4.0;
/// A short run says nothing about memory.
const CYCLES_FOR_A_SLOPE: usize = 200;
/// Files the daemon may have open more than before: connections of this program, threads of its pool.
const FILES_MORE: usize = 4;

pub(crate) fn run(skein: &Path, cycles: usize) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ground = Ground::new(skein)?;
        let (daemon, mut client) = tasks::prepare(&ground).await?;
        let before = Machine::look(&daemon)?;
        let begun = Instant::now();
        let mut memory = Vec::new();
        for n in 0..cycles {
            if n % (cycles / LOOKS).max(1) == 0 {
                memory.push((n as f64, daemon.anonymous_memory()? as f64));
            }
            let name = format!("soak-{n}");
            client.post("/services/create", &tasks::service(&name, 2, Duration::ZERO)).await?;
            tasks::until_running(&mut client, 2).await?;
            for count in [4, 1] {
                tasks::scale(&mut client, &name, count, Duration::ZERO).await?;
                tasks::until_running(&mut client, count).await?;
            }
            client.ask("DELETE", &format!("/services/{name}"), "").await?;
            let none = |tasks: &serde_json::Value| tasks.as_array().is_some_and(Vec::is_empty);
            tasks::until(&mut client, "/tasks", none).await?;
        }
        let ended = Instant::now();
        loop {
            let now = Machine::look(&daemon)?;
            if now.is_back_at(&before) && now.files <= before.files + FILES_MORE {
                break;
            }
            ensure!(ended.elapsed() < tasks::PATIENCE, "left {now:?}, before it was {before:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        memory.push((cycles as f64, daemon.anonymous_memory()? as f64));
        let half = &memory[memory.len() / 2..];
        let slope = slope(half);
        ensure!(
            cycles < CYCLES_FOR_A_SLOPE || slope <= SLOPE_MAX,
            "the daemon grows by {slope:.2} KiB a cycle: {memory:?}"
        );
        let text = format!(
            "{cycles} cycles in {:.0} s: nothing is left; {} KiB before, {} KiB after, {slope:.2} KiB a cycle in the second half\n",
            begun.elapsed().as_secs_f64(),
            memory[0].1,
            memory[memory.len() - 1].1
        );
        tasks::remove_all(&mut client).await?;
        daemon.leave(&mut client).await?;
        Ok(text)
    })
}

/// Of the line through points with the least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / count, y + p.1 / count));
    let over: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let under: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    if under > 0.0 { over / under } else { 0.0 }
}
