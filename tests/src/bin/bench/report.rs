//! What was measured, as a page: the machine, then figures with their aims and limits.
//! Separate from the measuring, so that every figure looks the same.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context;

const BEGIN: &str = "<!-- figures of make bench: begin -->\n";
const END: &str = "<!-- figures of make bench: end -->";

/// Whether an aim was reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    /// There is none: the line is for understanding the others.
    None,
    /// So, in words, and whether it holds.
    Held(&'static str, bool),
}

/// A page in the making.
pub(crate) struct Report {
    text: String,
    load_before: String,
}

impl Report {
    /// Begins with what the figures depend on.
    pub(crate) fn of_this_machine() -> anyhow::Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| path.to_owned());
        let info = read("/proc/cpuinfo")?;
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let model = model.map_or("unknown", |(_, name)| name.trim());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let kernel = read("/proc/sys/kernel/osrelease")?;
        let memory = read("/proc/meminfo")?;
        let memory: u64 = memory
            .lines()
            .find_map(|line| {
                line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok()
            })
            .unwrap_or(0);
        let text = format!(
            "Machine: {cores} cores of {model}, {} GiB, Linux {}.\n",
            memory >> 20,
            kernel.trim()
        );
        Ok(Self { text, load_before: load()? })
    }

    /// Begins a table.
    pub(crate) fn table(&mut self, title: &str, limit: &str) {
        let _ = write!(
            self.text,
            "\n### {title}\n\n| figure | measured | limit: {limit} | ratio | aim |\n|---|---|---|---|---|\n"
        );
    }

    /// A figure beside its limit.
    pub(crate) fn figure(
        &mut self,
        what: &str,
        measured: &str,
        limit: &str,
        ratio: &str,
        aim: Aim,
    ) {
        let aim = match aim {
            Aim::None => "".to_owned(),
            Aim::Held(aim, true) => format!("{aim}: held"),
            Aim::Held(aim, false) => format!("{aim}: **missed**"),
        };
        let _ = writeln!(self.text, "| {what} | {measured} | {limit} | {ratio} | {aim} |");
    }

    /// A sentence.
    pub(crate) fn say(&mut self, text: &str) {
        let _ = write!(self.text, "\n{text}\n");
    }

    /// The page; says how busy the machine was with other things.
    pub(crate) fn finish(mut self) -> anyhow::Result<String> {
        let after = load()?;
        let line = format!(
            "Load averages over 1, 5 and 15 minutes: {} before the run, {after} after it.",
            self.load_before
        );
        self.say(&line);
        Ok(self.text)
    }
}

fn load() -> anyhow::Result<String> {
    let line = fs::read_to_string("/proc/loadavg")?;
    Ok(line.split_whitespace().take(3).collect::<Vec<_>>().join(", "))
}

/// Puts a page between the markers of a file.
pub(crate) fn replace(file: &Path, page: &str) -> anyhow::Result<()> {
    let old = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let (head, rest) = old.split_once(BEGIN).context("the file has no begin marker")?;
    let (_, tail) = rest.split_once(END).context("the file has no end marker")?;
    fs::write(file, format!("{head}{BEGIN}{page}{END}{tail}"))?;
    Ok(())
}

/// A number with its thousands apart.
pub(crate) fn grouped(n: f64) -> String {
    let digits = format!("{n:.0}");
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
