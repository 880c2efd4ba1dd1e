//! `skein network ls`.

use bollard_stubs::models::Network;
use serde_json::json;

use crate::args::Listing;
use crate::client::Query;
use crate::failure::Failure;
use crate::screen::{Row, human};
use crate::session::Session;

/// List networks
#[derive(Debug, clap::Args)]
#[command(visible_alias = "list")]
pub(crate) struct Ls {
    #[command(flatten)]
    listing: Listing,
}

const HEADERS: [&str; 4] = ["NETWORK ID", "NAME", "DRIVER", "SCOPE"];

impl Ls {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let listing = self.listing;
        let path = format!("/networks{}", Query::default().filtered(&listing.filter));
        let mut networks: Vec<Network> = session.client.read(&path, &listing.at).await?;
        networks.sort_by(|a, b| {
            human::natural(
                a.name.as_deref().unwrap_or_default(),
                b.name.as_deref().unwrap_or_default(),
            )
        });
        let rows: Vec<Row> =
            networks.iter().map(|network| row(network, listing.no_trunc)).collect();
        session.screen.list(&listing, &HEADERS, &rows)
    }
}

fn row(network: &Network, whole: bool) -> Row {
    let id = network.id.clone().unwrap_or_default();
    let name = network.name.clone().unwrap_or_default();
    let driver = network.driver.clone().unwrap_or_default();
    let scope = network.scope.clone().unwrap_or_default();
    let flag = |value: Option<bool>| value.unwrap_or_default().to_string();
    let mut labels: Vec<String> =
        network.labels.iter().flatten().map(|(k, v)| format!("{k}={v}")).collect();
    labels.sort_unstable();
    let json = json!({
        "CreatedAt": network.created, "Driver": driver, "ID": id, "IPv4": flag(network.enable_ipv4),
        "IPv6": flag(network.enable_ipv6), "Internal": flag(network.internal),
        "Labels": labels.join(","), "Name": name, "Scope": scope,
    });
    let id = human::short(&id, whole);
    Row { id: id.clone(), cells: vec![id, name, driver, scope], json }
}
