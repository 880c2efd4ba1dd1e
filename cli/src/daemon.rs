//! The composition root: builds every part of the daemon and joins them.
//! The one file that knows every crate.

use crate::args::DaemonArgs;

/// Runs the daemon until it is told to stop.
pub fn run(args: DaemonArgs) -> anyhow::Result<()> {
    anyhow::bail!("this build has no daemon for {}", args.data_root.display())
}
