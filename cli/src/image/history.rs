//! `skein image history`.

use jiff::Timestamp;
use serde::Deserialize;

use crate::args::Listing;
use crate::client::encode;
use crate::failure::Failure;
use crate::screen::{Cell, Column, human};
use crate::session::Session;

/// Show the steps an image was built in
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// Image, by name or id
    #[arg(value_name = "IMAGE")]
    image: String,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Step {
    id: String,
    created: i64,
    created_by: String,
    size: i64,
    comment: String,
}

const COLUMNS: [Column; 5] = [
    Column::new("ID", "IMAGE"),
    Column::new("CreatedSince", "CREATED"),
    Column::new("CreatedBy", "CREATED BY"),
    Column::new("Size", "SIZE"),
    Column::new("Comment", "COMMENT"),
];
/// Characters of a step's command that a table shows.
const COMMAND: usize = 45;

impl History {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let Self { image, listing } = self;
        if let Some((key, _)) = listing.filter.first() {
            let text = format!("invalid filter '{key}': the steps of an image are not filtered");
            return Err(Failure::Usage(text));
        }
        let path = format!("/images/{}/history", encode(&image));
        let steps: Vec<Step> = session.client.read(&path, &listing.at).await?;
        let now = session.now;
        let rows: Vec<_> = steps.iter().map(|step| row(step, listing.no_trunc, now)).collect();
        session.screen.list(&listing, &COLUMNS, &rows)
    }
}

fn row(step: &Step, whole: bool, now: Timestamp) -> [Cell; COLUMNS.len()] {
    let Step { id, created, created_by, size, comment } = step;
    let at = Timestamp::from_second(*created).map(|at| at.to_string()).unwrap_or_default();
    let since = if *created > 0 { human::ago(&at, now) } else { "N/A".to_owned() };
    let command = if whole || created_by.chars().count() <= COMMAND {
        created_by.clone()
    } else {
        created_by.chars().take(COMMAND - 1).chain(['…']).collect()
    };
    [
        if id.starts_with('<') { id.as_str().into() } else { Cell::id(id, whole) },
        since.into(),
        command.into(),
        human::size(*size).into(),
        comment.as_str().into(),
    ]
}
