//! `skein network inspect`.

use crate::args::Inspecting;
use crate::client::{Query, encode};
use crate::failure::Failure;
use crate::session::{self, Session};

/// Show networks and what is on them
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Show the tasks of every service on the network, on all nodes
    #[arg(short, long)]
    verbose: bool,
    /// Networks, by name or id
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
    #[command(flatten)]
    inspecting: Inspecting,
}

impl Inspect {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let query = Query::default().with_some("verbose", self.verbose.then_some(true));
        let paths = self.networks.iter().map(|name| format!("/networks/{}{query}", encode(name)));
        session::inspect_all(session, paths, &self.inspecting).await
    }
}
