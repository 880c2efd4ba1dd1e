//! `skein swarm join`: this node becomes a member of a swarm that exists.

use bollard_stubs::models::SwarmJoinRequest;
use hyper::Method;
use serde_json::Value;

use crate::args::{At, Reason};
use crate::client::json;
use crate::failure::Failure;
use crate::session::Session;

/// Join a swarm
#[derive(Debug, clap::Args)]
pub(crate) struct Join {
    /// Token of the role to join in, from: skein swarm join-token
    #[arg(long)]
    token: String,
    /// Address other nodes reach this one at
    #[arg(long, value_name = "ADDR[:PORT]", default_value = "", hide_default_value = true)]
    advertise_addr: String,
    /// Address to listen on for other nodes
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:2377")]
    listen_addr: String,
    /// A manager of the swarm
    #[arg(value_name = "HOST:PORT")]
    manager: String,
    #[command(flatten)]
    reason: Reason,
}

impl Join {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let request = SwarmJoinRequest {
            listen_addr: Some(self.listen_addr),
            advertise_addr: Some(self.advertise_addr),
            remote_addrs: Some(vec![self.manager]),
            join_token: Some(self.token),
            ..SwarmJoinRequest::default()
        };
        session
            .client
            .order(Method::POST, "/swarm/join", json(&request), &self.reason.into())
            .await?;
        let info: Value = session.client.read("/info", &At::default()).await?;
        let manages = info["Swarm"]["ControlAvailable"].as_bool().unwrap_or_default();
        let role = if manages { "manager" } else { "worker" };
        session.screen.line(format_args!("This node joined a swarm as a {role}."))
    }
}
