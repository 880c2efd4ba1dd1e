//! `skein node`: the members of the swarm.
//! Only the list of sub-commands, and how a node is named.

mod inspect;
mod ls;
mod ps;
mod update;

use serde_json::Value;

use crate::args::At;
use crate::failure::Failure;
use crate::session::Session;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Node {
    Inspect(inspect::Inspect),
    Ls(ls::Ls),
    Ps(ps::Ps),
    Update(update::Update),
}

impl Node {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Inspect(inspect) => inspect.run(session).await,
            Self::Ls(ls) => ls.run(session).await,
            Self::Ps(ps) => ps.run(session).await,
            Self::Update(update) => update.run(session).await,
        }
    }
}

fn hostname(node: &bollard_stubs::models::Node) -> &str {
    node.description.as_ref().and_then(|about| about.hostname.as_deref()).unwrap_or_default()
}

/// The nodes meant, with `self` made the id of the one asked.
async fn named(session: &Session, mut nodes: Vec<String>, at: &At) -> Result<Vec<String>, Failure> {
    if nodes.iter().any(|node| node == "self") {
        let info: Value = session.client.read("/info", at).await?;
        // Outside a swarm there is none: the daemon says so when it is asked for the node.
        let own = info["Swarm"]["NodeID"].as_str().filter(|id| !id.is_empty());
        let own = own.unwrap_or("self").to_owned();
        nodes.iter_mut().filter(|node| *node == "self").for_each(|node| node.clone_from(&own));
    }
    Ok(nodes)
}

/// Filters of tasks, `node=self` among them made that of the node asked.
pub(crate) async fn filters(
    session: &Session,
    filters: &[(String, String)],
    at: &At,
) -> Result<Vec<(String, String)>, Failure> {
    let (nodes, mut others): (Vec<_>, Vec<_>) =
        filters.iter().cloned().partition(|(key, _)| key == "node");
    let nodes = nodes.into_iter().map(|(_, node)| node).collect();
    let nodes = named(session, nodes, at).await?;
    others.extend(nodes.into_iter().map(|node| ("node".to_owned(), node)));
    Ok(others)
}
