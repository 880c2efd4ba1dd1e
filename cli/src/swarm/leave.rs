//! `skein swarm leave`: this node is no longer a member.

use hyper::Method;

use crate::args::Reason;
use crate::client::{Query, nothing};
use crate::failure::Failure;
use crate::session::Session;

/// Leave the swarm
#[derive(Debug, clap::Args)]
pub(crate) struct Leave {
    /// Leave even as the last manager, which ends the swarm
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    reason: Reason,
}

impl Leave {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let query = Query::default().with_some("force", self.force.then_some(1));
        let path = format!("/swarm/leave{query}");
        session.client.order(Method::POST, &path, nothing(), &self.reason.into()).await?;
        session.screen.line("Node left the swarm.")
    }
}
