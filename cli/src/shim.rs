//! `skein shim`: the process that stays beside one container while daemons come and go.
//! Hidden, because only the daemon starts it; the work is the runtime crate's.

use std::ffi::OsString;

use crate::failure::Failure;

/// Arguments as the runtime crate wrote them when it started this process.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Shim {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Runs the shim until its container has ended.
pub(crate) fn run(shim: Shim) -> Result<(), Failure> {
    Err(Failure::failed(format!("no shim for {} arguments", shim.arguments.len())))
}
