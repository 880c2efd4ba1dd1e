//! Options of `skein daemon`.
//! Apart from the composition root, so that the root holds no help texts.

use std::path::PathBuf;

use super::Host;

/// How the daemon writes its own diagnostics to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One readable line each.
    Text,
    /// One JSON object a line.
    Json,
}

/// Run the daemon in the foreground
///
/// Several daemons with different roots and hosts live side by side. SIGTERM stops the daemon and
/// leaves its containers running; the next start takes them over again.
#[derive(Clone, Debug, clap::Args)]
pub struct DaemonArgs {
    /// What must outlive a reboot: the log, images, identities
    #[arg(long, value_name = "DIR", default_value = "/var/lib/skein")]
    pub data_root: PathBuf,
    /// What a reboot may clear: sockets, mounts, container state
    #[arg(long, value_name = "DIR", default_value = "/run/skein")]
    pub run_root: PathBuf,
    /// Form of the daemon's own diagnostics; how much of them: RUST_LOG
    #[arg(long, value_name = "FORM", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Socket to serve, filled in from the global --host
    #[arg(skip)]
    pub host: PathBuf,
}

impl DaemonArgs {
    /// The same arguments with the socket the global `--host` names.
    pub(crate) fn at(self, host: &Host) -> Self {
        Self { host: host.socket().to_owned(), ..self }
    }
}
