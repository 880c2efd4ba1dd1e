//! Options of `skein daemon`.
//! Apart from the composition root, so that the root holds no help texts.

use std::net::SocketAddr;
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

/// How much the daemon says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// Everything, for those who look for a fault.
    Trace,
    /// What each part does.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

impl LogLevel {
    /// The filter: more than `info` only of Skein's own parts, because the libraries' is a flood.
    pub(crate) fn filter(self) -> &'static str {
        match self {
            Self::Trace => "info,skein=trace,openraft=warn,hickory=warn",
            Self::Debug => "info,skein=debug,openraft=warn,hickory=warn",
            Self::Info => "info,openraft=warn,hickory=warn",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
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
    /// Form of the daemon's own diagnostics on standard error
    #[arg(long, value_name = "FORM", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// How much of them; RUST_LOG goes before it and can name single modules
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
    /// Serve Prometheus metrics, /healthz and /readyz there, to whoever reaches it; Docker's is 127.0.0.1:9323
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics_addr: Option<SocketAddr>,
    /// Registry that may do without encryption and a trusted certificate, as those of this machine may; may be given several times
    #[arg(long, value_name = "HOST[:PORT]", value_parser = skein_runtime::image::parse_insecure)]
    pub insecure_registry: Vec<String>,
    /// Let no program in a container gain privileges, as by a set-user-id bit: sudo, ping and mail programs may need it
    #[arg(long)]
    pub no_new_privileges: bool,
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

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use crate::args::{Arguments, Command};

    /// Lines of the unit that packages install.
    fn unit(key: &str) -> Vec<&'static str> {
        let lines = include_str!("../../../packaging/skein.service").lines();
        lines
            .filter_map(|line| line.split_once('='))
            .filter(|(k, _)| *k == key)
            .map(|(_, v)| v)
            .collect()
    }

    #[test]
    fn the_unit_starts_a_daemon_and_leaves_containers_alone() {
        assert_eq!(unit("KillMode"), ["process"], "docs/adr/0003-shim.md");
        assert_eq!(unit("Type"), ["notify"]);
        assert_eq!(unit("RuntimeDirectoryPreserve"), ["yes"]);
        let [line] = unit("ExecStart")[..] else { panic!("one command") };
        let words = line.split(' ').filter(|word| !word.starts_with('$'));
        let words = words.chain(["--log-format", "json", "--log-level", "warn"]);
        let matches = crate::args::command().try_get_matches_from(words).unwrap();
        let parsed = Arguments::from_arg_matches(&matches).unwrap();
        let Command::Daemon(daemon) = parsed.command else { panic!("not a daemon: {parsed:?}") };
        assert_eq!(daemon.run_root.to_str(), Some("/run/skein"), "the unit's RuntimeDirectory");
        assert_eq!(daemon.data_root.to_str(), Some("/var/lib/skein"), "its StateDirectory");
    }
}
