//! `skein network prune`.

use bollard_stubs::models::NetworkPruneResponse;
use hyper::Method;

use crate::args::Because;
use crate::client::{Query, nothing};
use crate::failure::Failure;
use crate::parse;
use crate::session::{self, Session};

/// Remove all networks that no service joins
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those that match: until=AGE, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::key_value)]
    filter: Vec<(String, String)>,
    #[command(flatten)]
    because: Because,
}

impl Prune {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let warning = "This will remove all networks that no service joins.";
        let dry_run = self.because.condition.dry_run;
        session::confirmed(session, self.force || dry_run, warning).await?;
        let removed = pruned(session, &self.filter, &self.because).await?;
        if dry_run {
            return session::nothing_to_do(session);
        }
        removed.iter().try_for_each(|name| session.screen.line(name))
    }
}

/// Prunes; the names of what went.
pub(crate) async fn pruned(
    session: &mut Session,
    filter: &[(String, String)],
    because: &Because,
) -> Result<Vec<String>, Failure> {
    let path = format!("/networks/prune{}", Query::default().filtered(filter));
    let pruned: NetworkPruneResponse =
        session.client.change(Method::POST, &path, nothing(), because).await?;
    Ok(pruned.networks_deleted.unwrap_or_default())
}
