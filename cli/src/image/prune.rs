//! `skein image prune`.

use hyper::Method;
use serde::Deserialize;

use super::Step;
use crate::args::Because;
use crate::client::{Query, nothing};
use crate::failure::Failure;
use crate::session::{self, Session};

/// Remove images that nobody needs
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Remove all images that no container uses, not only those without a name
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only what matches: label=KEY[=VALUE], label!=KEY[=VALUE], until=TIME|AGE
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::parse::key_value)]
    filter: Vec<(String, String)>,
    #[command(flatten)]
    because: Because,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pruned {
    #[serde(default)]
    images_deleted: Option<Vec<Step>>,
    #[serde(default)]
    space_reclaimed: i64,
}

impl Prune {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let Self { all, force, filter, because } = self;
        let what = if all { "images that no container uses" } else { "images without a name" };
        let force = force || because.condition.dry_run;
        session::confirmed(session, force, &format!("This will remove all {what}.")).await?;
        let bytes = pruned(session, all, &filter, &because).await?;
        session::reclaimed(session, bytes)
    }
}

/// Prunes and tells what went; the bytes that are free again.
pub(crate) async fn pruned(
    session: &mut Session,
    all: bool,
    filter: &[(String, String)],
    because: &Because,
) -> Result<i64, Failure> {
    let mut filters = vec![("dangling".to_owned(), (!all).to_string())];
    // `label!=x` parses as the key `label!`.
    filters.extend(filter.iter().cloned());
    let path = format!("/images/prune{}", Query::default().filtered(&filters));
    let pruned: Pruned = session.client.change(Method::POST, &path, nothing(), because).await?;
    let steps = pruned.images_deleted.unwrap_or_default();
    if !steps.is_empty() {
        session.screen.line("Deleted Images:")?;
        steps.iter().try_for_each(|step| step.show(session))?;
        session.screen.line("")?;
    }
    Ok(pruned.space_reclaimed)
}
