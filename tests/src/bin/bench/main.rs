//! `make bench`: the project's figures, each beside the limit it is held against, measured in the same run.
//! Prints a report in Markdown; with `--write FILE` also puts it between that file's two markers. It passes no verdict:
//! a figure that misses its aim is shown as missed.
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

mod asker;
mod client;
mod creates;
mod daemon;
mod disk;
mod fixture;
mod machine;
mod many;
mod names;
mod planning;
mod replay;
mod report;
mod scale;
mod soak;
mod start;
mod tasks;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use report::Report;

/// Measures a build of Skein.
#[derive(Parser)]
struct Args {
    /// The `skein` binary to measure.
    #[arg(long, env = "SKEIN_BIN")]
    skein: PathBuf,
    /// Put the report between the markers of this file.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Only these figures.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Figure>,
    /// How long each load runs, in seconds.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Records of the replayed history.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Containers started.
    #[arg(long, default_value_t = 25)]
    starts: usize,
    /// Measure nothing: live so many lives of a service, and fail if anything of them is left.
    #[arg(long, value_name = "CYCLES")]
    soak: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Figure {
    Creates,
    Replay,
    Planning,
    Start,
    Scale,
    Names,
    Many,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(cycles) = args.soak {
        let said = soak::run(&args.skein, cycles).context("soak")?;
        return Ok(std::io::stdout().write_all(said.as_bytes())?);
    }
    let wanted = |figure| args.only.is_empty() || args.only.contains(&figure);
    let mut report = Report::of_this_machine()?;
    let length = Duration::from_secs_f64(args.seconds);
    if wanted(Figure::Creates) {
        creates::measure(&args.skein, length, &mut report).context("creates")?;
    }
    if wanted(Figure::Replay) || wanted(Figure::Planning) {
        let history = fixture::history(args.records);
        if wanted(Figure::Replay) {
            replay::measure(&history, &mut report).context("replay")?;
        }
        if wanted(Figure::Planning) {
            planning::measure(history.state, &mut report);
        }
    }
    if wanted(Figure::Start) {
        start::measure(&args.skein, args.starts, &mut report).context("start of a container")?;
    }
    if wanted(Figure::Scale) {
        scale::measure(&args.skein, &mut report).context("tasks of one service")?;
    }
    if wanted(Figure::Names) {
        names::measure(&args.skein, length, &mut report).context("names")?;
    }
    if wanted(Figure::Many) {
        many::measure(&args.skein, length, &mut report).context("many services")?;
    }
    let text = report.finish()?;
    std::io::stdout().write_all(text.as_bytes())?;
    if let Some(file) = args.write {
        report::replace(&file, &text)?;
    }
    Ok(())
}

/// The middle value; the upper one of two.
fn median<T: Ord + Copy>(values: &mut [T]) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}
