//! `skein service logs`: what the tasks of a service said, each line with its task before it.

use std::collections::BTreeMap;

use bollard_stubs::models::{Node, Service, Task};
use tokio::io::AsyncReadExt as _;

use crate::args::At;
use crate::client::{Client, Frames, Stream, encode};
use crate::failure::Failure;
use crate::parse;
use crate::screen::human;
use crate::session::Session;

/// Show what the tasks of a service, or one task, said
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Go on as more is said
    #[arg(short, long)]
    follow: bool,
    /// Lines of each task from the end, or all
    #[arg(short = 'n', long, value_name = "N", default_value = "all", hide_default_value = true, value_parser = tail)]
    tail: String,
    /// Lines since this time (2026-11-23T14:02:11Z), this long ago (42m), or these seconds since 1970
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show the time of each line
    #[arg(short, long)]
    timestamps: bool,
    /// Do not shorten ids of tasks
    #[arg(long)]
    no_trunc: bool,
    /// Leave out the ids of tasks
    #[arg(long)]
    no_task_ids: bool,
    /// Show ids of nodes and services in place of their names
    #[arg(long)]
    no_resolve: bool,
    /// Show lines as they are, without their tasks
    #[arg(long)]
    raw: bool,
    /// Show what the log driver says of each line
    #[arg(long)]
    details: bool,
    /// Service or task, by name or id
    #[arg(value_name = "SERVICE|TASK")]
    target: String,
}

fn tail(text: &str) -> Result<String, String> {
    if text != "all" && text.parse::<u64>().is_err() {
        return Err("a number of lines, or all".to_owned());
    }
    Ok(text.to_owned())
}

impl Logs {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let target = target(&session.client, &self.target).await?;
        if target.tty && !self.raw {
            return Err(Failure::failed("tty service logs only supported with --raw"));
        }
        let mut path = format!("{}/logs?stdout=1&stderr=1&tail={}", target.path, self.tail);
        for (wanted, name) in [
            (self.follow, "follow"),
            (self.timestamps, "timestamps"),
            (self.details || !self.raw, "details"),
        ] {
            if wanted {
                path = format!("{path}&{name}=1");
            }
        }
        if let Some(since) = &self.since {
            path = format!("{path}&since={}", moment(since, session.now)?);
        }
        let mut output = session.client.bytes(&path).await?;
        if target.tty {
            let mut buffer = vec![0; 16 << 10];
            loop {
                match output.read(&mut buffer).await? {
                    0 => return Ok(()),
                    read => session.screen.raw(&buffer[..read])?,
                }
            }
        }
        let mut frames = Frames::new(output);
        let mut names = Names { wide: target.slots.to_string().len(), known: BTreeMap::new() };
        while let Some((stream, line)) = frames.whole().await? {
            let line = if self.raw {
                line
            } else {
                self.named(session, &mut names, stream, &line).await?
            };
            match stream {
                Stream::Out => session.screen.raw(&line)?,
                Stream::Err => session.screen.raw_error(&line)?,
            }
        }
        Ok(())
    }

    /// `[TIME ]TASK@NODE    | [DETAILS ]TEXT` of `[TIME ]DETAILS TEXT`.
    async fn named(
        &self,
        session: &Session,
        names: &mut Names,
        stream: Stream,
        line: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let strange = || Failure::Strange {
            request: "logs".to_owned(),
            reason: format!("a line without its task: {}", String::from_utf8_lossy(line)),
        };
        let blank = |bytes: &[u8]| bytes.iter().position(|byte| *byte == b' ');
        let mut rest = line;
        let mut shown = Vec::with_capacity(line.len());
        if self.timestamps {
            let end = blank(rest).ok_or_else(strange)?;
            shown.extend_from_slice(&rest[..=end]);
            rest = &rest[end + 1..];
        }
        let end = blank(rest).ok_or_else(strange)?;
        let details = std::str::from_utf8(&rest[..end]).map_err(|_| strange())?;
        let mut others = Vec::new();
        let (mut node, mut service, mut task) = (None, None, None);
        for pair in details.split(',') {
            match pair.split_once('=') {
                Some(("com.docker.swarm.node.id", id)) => node = Some(id),
                Some(("com.docker.swarm.service.id", id)) => service = Some(id),
                Some(("com.docker.swarm.task.id", id)) => task = Some(id),
                _ => others.push(pair),
            }
        }
        let (Some(node), Some(service), Some(task)) = (node, service, task) else {
            return Err(strange());
        };
        let name = self.name(&session.client, names, node, service, task).await?;
        let name = session.screen.tinted(stream == Stream::Err, &name);
        shown.extend_from_slice(format!("{name}    | ").as_bytes());
        if self.details {
            shown.extend_from_slice(others.join(",").as_bytes());
            shown.push(b' ');
        }
        shown.extend_from_slice(&rest[end + 1..]);
        Ok(shown)
    }

    /// `SERVICE.SLOT.TASK@NODE`, as wide as the service's highest slot makes it; each looked up once.
    async fn name(
        &self,
        client: &Client,
        names: &mut Names,
        node: &str,
        service: &str,
        task: &str,
    ) -> Result<String, Failure> {
        if let Some(known) = names.known.get(task) {
            return Ok(known.clone());
        }
        let at = At::default();
        let (mut node_name, mut service_name) = (node.to_owned(), service.to_owned());
        if !self.no_resolve {
            let found: Node = client.read(&format!("/nodes/{}", encode(node)), &at).await?;
            if let Some(host) = found.description.and_then(|about| about.hostname) {
                node_name = host;
            }
            let found: Service =
                client.read(&format!("/services/{}", encode(service)), &at).await?;
            if let Some(name) = found.spec.and_then(|spec| spec.name) {
                service_name = name;
            }
        }
        let found: Task = client.read(&format!("/tasks/{}", encode(task)), &at).await?;
        let mut name = service_name;
        let slot = found.slot.filter(|slot| *slot > 0).map(|slot| slot.to_string());
        if let Some(slot) = &slot {
            name = format!("{name}.{slot}");
        }
        if !self.no_task_ids {
            name = format!("{name}.{}", human::short(task, self.no_trunc));
        }
        let digits = slot.map_or(1, |slot| slot.len());
        let name = format!("{name}@{node_name}{}", " ".repeat(names.wide.saturating_sub(digits)));
        names.known.insert(task.to_owned(), name.clone());
        Ok(name)
    }
}

/// Names of tasks that have said something.
struct Names {
    /// Digits of the highest slot.
    wide: usize,
    /// By id.
    known: BTreeMap<String, String>,
}

/// What a text means: a service, or else a task.
struct Target {
    path: String,
    tty: bool,
    /// The highest slot.
    slots: i64,
}

async fn target(client: &Client, text: &str) -> Result<Target, Failure> {
    let path = format!("/services/{}", encode(text));
    match client.read::<Service>(&path, &At::default()).await {
        Ok(service) => {
            let spec = service.spec.unwrap_or_default();
            let container = spec.task_template.and_then(|task| task.container_spec);
            let replicated = spec.mode.and_then(|mode| mode.replicated);
            return Ok(Target {
                path,
                tty: container.and_then(|container| container.tty) == Some(true),
                slots: replicated.and_then(|mode| mode.replicas).unwrap_or(1),
            });
        }
        Err(failure) if failure.is_not_found() => {}
        Err(failure) => return Err(failure),
    }
    let path = format!("/tasks/{}", encode(text));
    match client.read::<Task>(&path, &At::default()).await {
        Ok(task) => {
            let container = task.spec.and_then(|spec| spec.container_spec);
            Ok(Target {
                path,
                tty: container.and_then(|container| container.tty) == Some(true),
                slots: task.slot.unwrap_or(1),
            })
        }
        Err(failure) if failure.is_not_found() => {
            Err(Failure::failed(format!("no such task or service: {text}")))
        }
        Err(failure) => Err(failure),
    }
}

/// Seconds since 1970, with a fraction.
fn moment(text: &str, now: jiff::Timestamp) -> Result<String, Failure> {
    let wrong = || {
        Failure::Usage(format!(
            "invalid value for --since: {text} is no time: 2026-11-23T14:02:11Z, or 42m"
        ))
    };
    // Before a duration, which 0 is as well: seconds since 1970, so that 0 is everything.
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Ok(text.to_owned());
    }
    let at = if let Some(at) = parse::time(text) {
        at
    } else {
        let ago = parse::duration(text).map_err(|_| wrong())?;
        now.checked_sub(jiff::SignedDuration::from_nanos(ago)).map_err(|_| wrong())?
    };
    let nanos = at.as_nanosecond();
    Ok(format!("{}.{:09}", nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000)))
}
