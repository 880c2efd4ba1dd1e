//! Options that many commands have: where the daemon is, as of when, why, and how lists are shown.
//! One definition each, so that they mean and read the same everywhere.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::screen::{Form, Shape};

/// Address of a daemon: `unix://` and an absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host(PathBuf);

impl Host {
    /// Where a daemon listens when nothing else is said.
    pub(crate) const DEFAULT: &str = "unix:///run/skein/skein.sock";

    /// The socket's path.
    pub(crate) fn socket(&self) -> &Path {
        &self.0
    }
}

impl FromStr for Host {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix://").map(Path::new) {
            Some(path) if path.is_absolute() => Ok(Self(path.to_owned())),
            _ => {
                Err("a host is unix:// and an absolute path, like unix:///run/skein/skein.sock"
                    .into())
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.0.display())
    }
}

/// A point of history as the user wrote it; the daemon resolves it, because only it knows the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment(String);

impl FromStr for Moment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let read = if let Some(position) = text.strip_prefix('@') {
            position.parse::<u64>().ok().map(|_| text.to_owned())
        } else if let Some(ago) = text.strip_prefix('-') {
            crate::parse::duration(ago).ok().map(|_| text.to_owned())
        } else if crate::parse::duration(text).is_ok() {
            // An age as `service logs` takes it.
            Some(format!("-{text}"))
        } else {
            crate::parse::time(text).map(|time| time.to_string())
        };
        read.map(Self).ok_or_else(|| {
            "a moment is a position (@8123), an age (10m) or a time (2026-11-23T14:02:11Z, 2026-11-23)"
                .to_owned()
        })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As of when a read command looks.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct At {
    /// Look at the swarm as it was then
    #[arg(long, value_name = "@N|-10m|TIME", allow_hyphen_values = true)]
    pub(crate) at: Option<Moment>,
}

/// Why a command that changes something is given.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Because {
    #[command(flatten)]
    pub(crate) reason: Reason,
    #[command(flatten)]
    pub(crate) condition: Condition,
}

/// The reason alone: of what makes or ends the log, so that it can be neither played through nor made to depend on it.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Reason {
    /// Reason, kept in the log beside what it caused
    #[arg(short = 'm', long, value_name = "REASON", value_parser = reason)]
    pub(crate) message: Option<String>,
}

/// Why something of this machine is removed, or whether it is only looked at.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Removal {
    #[command(flatten)]
    reason: Reason,
    /// Only show what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Only if this node has no record after this one, else exit code 3
    #[arg(long, value_name = "@N", value_parser = position)]
    if_at: Option<u64>,
}

/// Why something of this machine is made or changed, which cannot be played through.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Change {
    #[command(flatten)]
    pub(crate) reason: Reason,
    /// Only if this node has no record after this one, else exit code 3
    #[arg(long, value_name = "@N", value_parser = position)]
    if_at: Option<u64>,
}

impl From<Reason> for Because {
    fn from(reason: Reason) -> Self {
        Self { reason, condition: Condition::default() }
    }
}

impl From<Removal> for Because {
    fn from(removal: Removal) -> Self {
        let Removal { reason, dry_run, if_at } = removal;
        Self { reason, condition: Condition { dry_run, if_at } }
    }
}

impl From<Change> for Because {
    fn from(change: Change) -> Self {
        let Change { reason, if_at } = change;
        Self { reason, condition: Condition { dry_run: false, if_at } }
    }
}

/// Whether a command that changes something is carried out at all.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Condition {
    /// Only show what would happen: the records, who would write them, what planners make of it
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Only if what it changes has no record after this one, else exit code 3
    #[arg(long, value_name = "@N", value_parser = position)]
    pub(crate) if_at: Option<u64>,
}

/// A position: `@8123`.
pub(crate) fn position(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix('@').unwrap_or(text);
    digits.parse().map_err(|_| "a position is @ and a number, like @8123".to_owned())
}

/// A reason travels in a header, so it is one line.
fn reason(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("a reason is one line without control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Options of every command that shows a list.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Listing {
    /// Show only ids
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Show only what matches; the same key twice means either, different keys mean both
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = crate::parse::key_value)]
    pub(crate) filter: Vec<(String, String)>,
    /// Form of the list: table, json, or a Go template like '{{.ID}}' or 'table {{.ID}}\t{{.Name}}'
    #[arg(long, default_value = "table", hide_default_value = true)]
    pub(crate) format: Form,
    /// Do not shorten ids and errors
    #[arg(long)]
    pub(crate) no_trunc: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

/// Options of every command that shows whole objects.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Inspecting {
    /// Form of the objects: json, or a Go template like '{{.Spec.Name}}'; indented JSON when absent
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub(crate) format: Shape,
    #[command(flatten)]
    pub(crate) at: At,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_positions_ages_and_times() {
        let read = |text: &str| text.parse::<Moment>().map(|moment| moment.to_string());
        let local = |text: &str| {
            let time: jiff::civil::DateTime = text.parse().unwrap();
            jiff::tz::TimeZone::system().to_timestamp(time).unwrap().to_string()
        };
        for (text, sent) in [
            ("@8123", "@8123".to_owned()),
            ("-10m", "-10m".to_owned()),
            ("42m", "-42m".to_owned()),
            ("2026-11-23T14:02:11Z", "2026-11-23T14:02:11Z".to_owned()),
            ("2026-11-23T15:02:11+01:00", "2026-11-23T14:02:11Z".to_owned()),
            ("2026-11-26", local("2026-11-26T00:00:00")),
            ("2026-11-26T00:03", local("2026-11-26T00:03:00")),
        ] {
            assert_eq!(read(text), Ok(sent));
        }
        for wrong in ["", "-", "@", "8123", "yesterday", "-2026"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
