//! `skein volume prune`.

use bollard_stubs::models::VolumePruneResponse;
use hyper::Method;

use crate::args::Because;
use crate::client::{Query, nothing};
use crate::failure::Failure;
use crate::parse;
use crate::screen::human;
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
        session::confirmed(session, self.force, warning).await?;
        if self.all {
            self.filter.push(("all".to_owned(), "true".to_owned()));
        }
        let path = format!("/volumes/prune{}", Query::default().filtered(&self.filter));
        let pruned: VolumePruneResponse =
            session.client.change(Method::POST, &path, nothing(), &self.because).await?;
        let deleted = pruned.volumes_deleted.unwrap_or_default();
        if !deleted.is_empty() {
            session.screen.line("Deleted Volumes:")?;
            deleted.iter().try_for_each(|name| session.screen.line(name))?;
            session.screen.line("")?;
        }
        let bytes = human::size(pruned.space_reclaimed.unwrap_or(0));
        session.screen.line(format!("Total reclaimed space: {bytes}"))
    }
}
