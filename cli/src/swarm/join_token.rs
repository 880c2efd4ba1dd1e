//! `skein swarm join-token`: the secret with which a node may join, per role.

use bollard_stubs::models::{Node, Swarm};
use serde_json::Value;

use crate::args::At;
use crate::client::encode;
use crate::failure::Failure;
use crate::session::Session;

/// What a node becomes when it joins.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Role {
    Worker,
    Manager,
}

/// Show the token with which a node joins
#[derive(Debug, clap::Args)]
pub(crate) struct JoinToken {
    /// What the node is to become
    #[arg(value_enum)]
    role: Role,
    /// Show only the token
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    at: At,
}

impl JoinToken {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let swarm: Swarm = session.client.read("/swarm", &self.at).await?;
        let tokens = swarm.join_tokens.unwrap_or_default();
        let (role, token) = match self.role {
            Role::Worker => ("worker", tokens.worker),
            Role::Manager => ("manager", tokens.manager),
        };
        let token = token.unwrap_or_default();
        if self.quiet {
            return session.screen.line(token);
        }
        let join = how_to_join(session, role, &token).await?;
        session.screen.line(join)
    }
}

/// The command another node has to run, with this manager's address in it.
pub(super) async fn how_to_join(
    session: &Session,
    role: &str,
    token: &str,
) -> Result<String, Failure> {
    let info: Value = session.client.read("/info", &At::default()).await?;
    let id = info["Swarm"]["NodeID"].as_str().unwrap_or_default();
    let node: Node = session.client.read(&format!("/nodes/{}", encode(id)), &At::default()).await?;
    let address = node.manager_status.and_then(|status| status.addr).unwrap_or_default();
    Ok(format!(
        "To add a {role} to this swarm, run the following command:\n\n    skein swarm join --token {token} {address}\n"
    ))
}
