//! `skein consumer ls`: where each reader is, and how far behind.

use serde::Deserialize;

use crate::args::Listing;
use crate::failure::Failure;
use crate::log::short_time;
use crate::screen::{Cell, Column};
use crate::session::Session;

/// List the consumers of the log
#[derive(Debug, clap::Args)]
#[command(visible_alias = "list")]
pub(crate) struct Ls {
    #[command(flatten)]
    listing: Listing,
}

const COLUMNS: [Column; 5] = [
    Column::new("Name", "NAME"),
    Column::new("Position", "POSITION"),
    Column::new("Lag", "LAG"),
    Column::new("Acknowledged", "ACKNOWLEDGED"),
    Column::extra("Created", "CREATED"),
];

/// One consumer, as the daemon tells it.
#[derive(Deserialize)]
struct Consumer {
    name: String,
    position: u64,
    lag: u64,
    lag_is_more: bool,
    acknowledged: Option<String>,
    created: String,
}

impl Ls {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let listing = self.listing;
        if let Some((key, _)) = listing.filter.iter().find(|(key, _)| key != "name") {
            let text = format!("invalid filter '{key}': consumers are filtered by name");
            return Err(Failure::Usage(text));
        }
        let mut all: Vec<Consumer> =
            session.client.read("/skein/v1/consumers", &listing.at).await?;
        let named = |name: &str| listing.filter.iter().any(|(_, part)| name.contains(part));
        all.retain(|consumer| listing.filter.is_empty() || named(&consumer.name));
        let rows: Vec<_> = all.into_iter().map(row).collect();
        session.screen.list(&listing, &COLUMNS, &rows)
    }
}

fn row(consumer: Consumer) -> [Cell; COLUMNS.len()] {
    let Consumer { name, position, lag, lag_is_more, acknowledged, created } = consumer;
    let about = if lag_is_more { "up to " } else { "" };
    let shown = acknowledged.as_deref().map_or_else(|| "never".to_owned(), short_time);
    [
        name.into(),
        Cell::from(format!("@{position}")).whole(position),
        Cell::from(format!("{about}{lag}")).whole(lag),
        Cell::from(shown).whole(acknowledged),
        created.into(),
    ]
}
