//! `skein node ps`: the tasks of nodes, shown as `service ps` shows those of services.

use std::collections::BTreeMap;

use bollard_stubs::models::{Node, Service, Task};

use super::named;
use crate::args::Listing;
use crate::client::{Query, encode};
use crate::failure::Failure;
use crate::service::ps::{hosts, show};
use crate::session::Session;

/// List the tasks on nodes
#[derive(Debug, clap::Args)]
pub(crate) struct Ps {
    /// Nodes, by host name or id; self is the one asked
    #[arg(value_name = "NODE", default_value = "self")]
    nodes: Vec<String>,
    #[command(flatten)]
    listing: Listing,
}

impl Ps {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let at = &self.listing.at;
        let mut filters = super::filters(session, &self.listing.filter, at).await?;
        for node in named(session, self.nodes, at).await? {
            let path = format!("/nodes/{}", encode(&node));
            let node: Node = session.client.read(&path, at).await?;
            filters.push(("node".to_owned(), node.id.unwrap_or_default()));
        }
        let path = format!("/tasks{}", Query::default().filtered(&filters));
        let tasks: Vec<Task> = session.client.read(&path, at).await?;
        let services: Vec<Service> = session.client.read("/services", at).await?;
        let names: BTreeMap<String, String> = services
            .into_iter()
            .filter_map(|service| Some((service.id?, service.spec?.name?)))
            .collect();
        let hosts = hosts(&session.client, &tasks, at).await?;
        show(session, &self.listing, tasks, &names, &hosts).await
    }
}
