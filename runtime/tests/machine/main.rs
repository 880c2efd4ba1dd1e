//! Real containers: root, overlayfs, cgroups, namespaces. A program of its own, since a shim is this binary run again.
//! `machine [--list] [--exact] [name]` runs the tests one after another, each with a machine of its own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program; without libtest clippy does not know it for one"
)]

mod cases;
mod rig;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some(skein_runtime::shim::COMMAND) => return skein_runtime::shim::main(),
        Some("daemon") => return cases::adopt::daemon(&args[1..]),
        _ => {}
    }
    let exact = args.iter().any(|arg| arg == "--exact");
    let names: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let wanted = |name: &str| {
        // nextest asks `--format terse`; the word after it is no test.
        let mut filters = names.iter().filter(|filter| filter.as_str() != "terse").peekable();
        filters.peek().is_none()
            || filters
                .any(|filter| if exact { *filter == name } else { name.contains(filter.as_str()) })
    };
    if args.iter().any(|arg| arg == "--ignored") {
        return ExitCode::SUCCESS;
    }
    let mut failed = Vec::new();
    for (name, test) in cases::ALL {
        if !wanted(name) {
            continue;
        }
        if args.iter().any(|arg| arg == "--list") {
            println!("{name}: test");
            continue;
        }
        if catch_unwind(AssertUnwindSafe(test)).is_ok() {
            println!("test {name} ... ok");
        } else {
            println!("test {name} ... FAILED");
            failed.push(name);
        }
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
