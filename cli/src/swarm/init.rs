//! `skein swarm init`: this node becomes the first manager of a new swarm.

use bollard_stubs::models::{Swarm, SwarmInitRequest, SwarmSpec};
use hyper::Method;

use super::join_token::how_to_join;
use crate::args::{At, Reason};
use crate::client::json;
use crate::failure::Failure;
use crate::session::Session;

/// Make a swarm with this node as its first manager
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// Address other nodes reach this one at
    #[arg(long, value_name = "ADDR[:PORT]", default_value = "", hide_default_value = true)]
    advertise_addr: String,
    /// Address to listen on for other nodes
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:2377")]
    listen_addr: String,
    /// UDP port of the tunnels between nodes; 4789 unless given
    #[arg(long, value_name = "PORT")]
    data_path_port: Option<u16>,
    #[command(flatten)]
    reason: Reason,
}

impl Init {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let request = SwarmInitRequest {
            listen_addr: Some(self.listen_addr),
            advertise_addr: Some(self.advertise_addr),
            data_path_port: self.data_path_port.map(u32::from),
            spec: Some(SwarmSpec::default()),
            ..SwarmInitRequest::default()
        };
        let node: String = session
            .client
            .change(Method::POST, "/swarm/init", json(&request), &self.reason.into())
            .await?;
        session
            .screen
            .line(format_args!("Swarm initialized: current node ({node}) is now a manager.\n"))?;
        let swarm: Swarm = session.client.read("/swarm", &At::default()).await?;
        let tokens = swarm.join_tokens.unwrap_or_default();
        let join = how_to_join(session, "worker", &tokens.worker.unwrap_or_default()).await?;
        session.screen.line(format_args!(
            "{join}\nTo add a manager to this swarm, run 'skein swarm join-token manager' and follow the instructions."
        ))
    }
}
