//! `skein network ls`.

use bollard_stubs::models::Network;

use crate::args::Listing;
use crate::client::Query;
use crate::failure::Failure;
use crate::screen::{Cell, Column, human};
use crate::session::Session;

/// List networks
#[derive(Debug, clap::Args)]
#[command(visible_alias = "list")]
pub(crate) struct Ls {
    #[command(flatten)]
    listing: Listing,
}

const COLUMNS: [Column; 9] = [
    Column::new("ID", "NETWORK ID"),
    Column::new("Name", "NAME"),
    Column::new("Driver", "DRIVER"),
    Column::new("Scope", "SCOPE"),
    Column::extra("IPv4", "IPV4"),
    Column::extra("IPv6", "IPV6"),
    Column::extra("Internal", "INTERNAL"),
    Column::extra("Labels", "LABELS"),
    Column::extra("CreatedAt", "CREATED AT"),
];

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
        let rows: Vec<_> = networks.iter().map(|network| row(network, listing.no_trunc)).collect();
        session.screen.list(&listing, &COLUMNS, &rows)
    }
}

fn row(network: &Network, whole: bool) -> [Cell; COLUMNS.len()] {
    let text = |text: &Option<String>| Cell::from(text.as_deref().unwrap_or_default());
    let flag = |value: Option<bool>| Cell::from(value.unwrap_or_default().to_string());
    [
        Cell::id(network.id.as_deref().unwrap_or_default(), whole),
        text(&network.name),
        text(&network.driver),
        text(&network.scope),
        flag(network.enable_ipv4),
        flag(network.enable_ipv6),
        flag(network.internal),
        Cell::labels(network.labels.iter().flatten()),
        text(&network.created),
    ]
}
