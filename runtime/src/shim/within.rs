//! Whether what a user asks for is within what the daemon itself may set: tried on the shim, which has its rights, and
//! undone. Before the container is made, because the container library would only say that something failed.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

use crate::error::Error;
use crate::spec::Options;

const OOM_SCORE: &str = "/proc/self/oom_score_adj";
const OPEN_FILES: &str = "/proc/sys/fs/nr_open";

/// An error names the option and the most there is.
pub(super) fn within(options: &Options) -> Result<(), Error> {
    let Options { capabilities: _, rlimits, oom_score_adj, new_privileges: _ } = options;
    rlimits.iter().try_for_each(rlimit)?;
    if *oom_score_adj < 0 { oom_score(*oom_score_adj) } else { Ok(()) }
}

fn rlimit(asked: &Value) -> Result<(), Error> {
    let kind = asked["type"].as_str().unwrap_or_default();
    let Some(resource) = resource(kind) else { return Ok(()) };
    // The largest number is no limit.
    let amount = |value: &Value| value.as_u64().filter(|amount| *amount != u64::MAX);
    let (soft, hard) = (amount(&asked["soft"]), amount(&asked["hard"]));
    let own = getrlimit(resource);
    let may = |maximum: Option<u64>| {
        if own.maximum.is_none_or(|own| maximum.is_some_and(|maximum| maximum <= own)) {
            // A limit below ours is not tried, it could not be undone; of open files the kernel has a most of its own.
            let most = open_files().filter(|_| resource == Resource::Nofile);
            return most.is_none_or(|most| maximum.is_some_and(|maximum| maximum <= most));
        }
        let tried = setrlimit(resource, Rlimit { current: own.current, maximum });
        let undone = setrlimit(resource, own);
        tried.is_ok() && undone.is_ok()
    };
    if may(hard) {
        return Ok(());
    }
    let most = match open_files().filter(|_| resource == Resource::Nofile) {
        Some(most) if may(Some(most)) => Some(most),
        Some(_) | None => own.maximum,
    };
    let said =
        |amount: Option<u64>| amount.map_or_else(|| "-1".to_owned(), |amount| amount.to_string());
    let name = kind.trim_start_matches("RLIMIT_").to_ascii_lowercase();
    Err(Error::BadSetting {
        message: format!(
            "--ulimit {name}={}:{}: the daemon itself may set no more than {}",
            said(soft),
            said(hard),
            said(most)
        ),
    })
}

fn open_files() -> Option<u64> {
    fs::read_to_string(OPEN_FILES).ok()?.trim().parse().ok()
}

fn oom_score(asked: i32) -> Result<(), Error> {
    let Some(own) = fs::read_to_string(OOM_SCORE).ok().and_then(|text| text.trim().parse().ok())
    else {
        return Ok(());
    };
    let may = |score: i32| fs::write(OOM_SCORE, score.to_string()).is_ok();
    // Of a process without the right the kernel keeps the least to itself; it is found by asking.
    let (mut refused, mut least) = (asked.saturating_sub(1), own);
    while least - refused > 1 {
        let score = refused + (least - refused) / 2;
        if may(score) { least = score } else { refused = score }
    }
    may(own);
    if least <= asked {
        return Ok(());
    }
    Err(Error::BadSetting {
        message: format!("--oom-score-adj {asked}: the daemon itself may set no less than {least}"),
    })
}

fn resource(kind: &str) -> Option<Resource> {
    Some(match kind {
        "RLIMIT_CORE" => Resource::Core,
        "RLIMIT_CPU" => Resource::Cpu,
        "RLIMIT_DATA" => Resource::Data,
        "RLIMIT_FSIZE" => Resource::Fsize,
        "RLIMIT_LOCKS" => Resource::Locks,
        "RLIMIT_MEMLOCK" => Resource::Memlock,
        "RLIMIT_MSGQUEUE" => Resource::Msgqueue,
        "RLIMIT_NICE" => Resource::Nice,
        "RLIMIT_NOFILE" => Resource::Nofile,
        "RLIMIT_NPROC" => Resource::Nproc,
        "RLIMIT_RSS" => Resource::Rss,
        "RLIMIT_RTPRIO" => Resource::Rtprio,
        "RLIMIT_RTTIME" => Resource::Rttime,
        "RLIMIT_SIGPENDING" => Resource::Sigpending,
        "RLIMIT_STACK" => Resource::Stack,
        _ => return None,
    })
}
