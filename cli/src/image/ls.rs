//! `skein image ls`.

use bollard_stubs::models::ImageSummary;
use jiff::Timestamp;

use crate::args::Listing;
use crate::client::Query;
use crate::failure::Failure;
use crate::screen::{Cell, Column, human};
use crate::session::Session;

/// List the images of this node
#[derive(Debug, clap::Args)]
#[command(visible_alias = "list")]
pub(crate) struct Ls {
    #[command(flatten)]
    listing: Listing,
}

const COLUMNS: [Column; 6] = [
    Column::new("Repository", "REPOSITORY"),
    Column::new("Tag", "TAG"),
    Column::new("ID", "IMAGE ID"),
    Column::new("CreatedSince", "CREATED"),
    Column::new("Size", "SIZE"),
    Column::extra("CreatedAt", "CREATED AT"),
];

impl Ls {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let listing = self.listing;
        let path = format!("/images/json{}", Query::default().filtered(&listing.filter));
        let mut images: Vec<ImageSummary> = session.client.read(&path, &listing.at).await?;
        images.sort_by_key(|image| std::cmp::Reverse(image.created));
        let rows: Vec<_> =
            images.iter().flat_map(|image| rows(image, listing.no_trunc, session.now)).collect();
        session.screen.list(&listing, &COLUMNS, &rows)
    }
}

/// One row a tag; an image without one has one row too.
fn rows(image: &ImageSummary, whole: bool, now: Timestamp) -> Vec<[Cell; COLUMNS.len()]> {
    const NONE: &str = "<none>:<none>";
    let nameless = [NONE.to_owned()];
    let names = if image.repo_tags.is_empty() { &nameless[..] } else { &image.repo_tags };
    let created =
        Timestamp::from_second(image.created).map(|at| at.to_string()).unwrap_or_default();
    // Builders that want equal bytes leave the time out, which arrives as the year 1 or as 1970's first second.
    let since = if image.created > 0 { human::ago(&created, now) } else { "N/A".to_owned() };
    let size = human::size(image.size);
    let row = |name: &String| {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "<none>"));
        [
            repository.into(),
            tag.into(),
            Cell::id(&image.id, whole),
            since.as_str().into(),
            size.as_str().into(),
            created.as_str().into(),
        ]
    };
    names.iter().map(row).collect()
}
