//! `skein volume prune`.

use bollard_stubs::models::VolumePruneResponse;
use hyper::Method;

use crate::args::Because;
use crate::client::{Query, nothing};
use crate::failure::Failure;
use crate::parse;
use crate::session::{self, Session};

/// Remove volumes of this node that no container uses
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Those with a name of their own too
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those that match: label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::key_value)]
    filter: Vec<(String, String)>,
    #[command(flatten)]
    because: Because,
}

impl Prune {
    pub(crate) async fn run(mut self, session: &mut Session) -> Result<(), Failure> {
        let warning = if self.all {
            "This will remove all volumes that no container uses, and what is in them."
        } else {
            "This will remove all volumes without a name that no container uses, and what is in them."
        };
        session::confirmed(session, self.force || self.because.condition.dry_run, warning).await?;
        if self.all {
            self.filter.push(("all".to_owned(), "true".to_owned()));
        }
        let bytes = pruned(session, &self.filter, &self.because).await?;
        session::reclaimed(session, bytes)
    }
}

/// Prunes and tells what went; the bytes that are free again.
pub(crate) async fn pruned(
    session: &mut Session,
    filter: &[(String, String)],
    because: &Because,
) -> Result<i64, Failure> {
    let path = format!("/volumes/prune{}", Query::default().filtered(filter));
    let pruned: VolumePruneResponse =
        session.client.change(Method::POST, &path, nothing(), because).await?;
    let deleted = pruned.volumes_deleted.unwrap_or_default();
    if !deleted.is_empty() {
        session.screen.line("Deleted Volumes:")?;
        deleted.iter().try_for_each(|name| session.screen.line(name))?;
        session.screen.line("")?;
    }
    Ok(pruned.space_reclaimed.unwrap_or(0))
}
