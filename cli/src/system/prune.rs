//! `skein system prune`: what a machine and its swarm keep and nobody needs, one kind after another.
//! Each kind is pruned as its own command does it; ended containers go by themselves, what they said goes here.

use hyper::Method;
use serde::Deserialize;

use crate::args::Because;
use crate::client::{Query, nothing};
use crate::failure::Failure;
use crate::session::{self, Session};
use crate::{image, network, volume};

/// Remove what nobody needs: logs of ended tasks, networks no service joins, images without a name, layers of none
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Remove all images that no container uses, not only those without a name
    #[arg(short, long)]
    all: bool,
    /// Volumes without a name of their own too, and what is in them
    #[arg(long)]
    volumes: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only what matches: label=KEY[=VALUE], label!=KEY[=VALUE], until=TIME|AGE (not with --volumes)
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::parse::key_value)]
    filter: Vec<(String, String)>,
    #[command(flatten)]
    because: Because,
}

impl Prune {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let Self { all, volumes, force, filter, because } = self;
        if volumes && filter.iter().any(|(key, _)| key == "until") {
            // Docker's sentence: a volume that is old is no volume nobody needs.
            let text = "the \"until\" filter is not supported with \"--volumes\"";
            return Err(Failure::Usage(text.to_owned()));
        }
        if because.condition.dry_run {
            return rehearsed(session, all, volumes, &filter, &because).await;
        }
        session::confirmed(session, force, &warning(all, volumes)).await?;
        let mut bytes = logs_pruned(session, &filter, &because).await?;
        let removed = network::pruned(session, &filter, &because).await?;
        if !removed.is_empty() {
            session.screen.line("Deleted Networks:")?;
            removed.iter().try_for_each(|name| session.screen.line(name))?;
            session.screen.line("")?;
        }
        if volumes {
            bytes += volume::pruned(session, &filter, &because).await?;
        }
        bytes += image::pruned(session, all, &filter, &because).await?;
        session::reclaimed(session, bytes)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pruned {
    #[serde(default)]
    containers_deleted: Option<Vec<String>>,
    #[serde(default)]
    space_reclaimed: i64,
}

/// Removes what ended containers said, and tells of which; the bytes that are free again.
async fn logs_pruned(
    session: &mut Session,
    filter: &[(String, String)],
    because: &Because,
) -> Result<i64, Failure> {
    let path = format!("/containers/prune{}", Query::default().filtered(filter));
    let pruned: Pruned = session.client.change(Method::POST, &path, nothing(), because).await?;
    let gone = pruned.containers_deleted.unwrap_or_default();
    if !gone.is_empty() {
        session.screen.line("Deleted Logs:")?;
        gone.iter().try_for_each(|id| session.screen.line(id))?;
        session.screen.line("")?;
    }
    Ok(pruned.space_reclaimed)
}

/// Tells of each kind what would go. Each stands alone: none of them makes another one needed less.
async fn rehearsed(
    session: &mut Session,
    all: bool,
    volumes: bool,
    filter: &[(String, String)],
    because: &Because,
) -> Result<(), Failure> {
    let logs = logs_pruned(session, filter, because).await.map(drop);
    told(session, "Logs", logs)?;
    let networks = network::pruned(session, filter, because).await.map(drop);
    told(session, "Networks", networks)?;
    if volumes {
        let volumes = volume::pruned(session, filter, because).await.map(drop);
        told(session, "Volumes", volumes)?;
    }
    let images = image::pruned(session, all, filter, because).await.map(drop);
    told(session, "Images", images)
}

fn told(session: &mut Session, kind: &str, outcome: Result<(), Failure>) -> Result<(), Failure> {
    match outcome {
        Err(Failure::Rehearsed(text)) => session.screen.line(format_args!("{kind}: {text}")),
        other => other,
    }
}

fn warning(all: bool, volumes: bool) -> String {
    let mut kinds = vec!["all logs of ended tasks", "all networks that no service joins"];
    if volumes {
        kinds.push("all volumes without a name that no container uses, and what is in them");
    }
    kinds.push(if all { "all images that no container uses" } else { "all images without a name" });
    let kinds: Vec<String> = kinds.iter().map(|kind| format!("  - {kind}")).collect();
    format!("This will remove:\n{}\n", kinds.join("\n"))
}
