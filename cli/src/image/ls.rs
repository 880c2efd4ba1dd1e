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
    /// Only images of this repository, or with this name; * stands for anything
    #[arg(value_name = "REPOSITORY[:TAG]")]
    repository: Option<String>,
    /// Accepted as Docker's: no image is hidden
    #[arg(short, long)]
    all: bool,
    /// Show the digests of manifests
    #[arg(long)]
    digests: bool,
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

const DIGESTS: [Column; 7] = [
    Column::new("Repository", "REPOSITORY"),
    Column::new("Tag", "TAG"),
    Column::new("Digest", "DIGEST"),
    Column::new("ID", "IMAGE ID"),
    Column::new("CreatedSince", "CREATED"),
    Column::new("Size", "SIZE"),
    Column::extra("CreatedAt", "CREATED AT"),
];

impl Ls {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let mut listing = self.listing;
        listing.filter.extend(self.repository.map(|name| ("reference".to_owned(), name)));
        let filtered = Query::default().filtered(&listing.filter);
        let mut images: Vec<ImageSummary> =
            session.client.read(&format!("/images/json{filtered}"), &listing.at).await?;
        images.sort_by_key(|image| std::cmp::Reverse(image.created));
        let rows = || images.iter().flat_map(rows);
        let (whole, now) = (listing.no_trunc, session.now);
        if self.digests {
            let rows: Vec<_> = rows().map(|row| row.with_digest(whole, now)).collect();
            session.screen.list(&listing, &DIGESTS, &rows)
        } else {
            let rows: Vec<_> = rows().map(|row| row.plain(whole, now)).collect();
            session.screen.list(&listing, &COLUMNS, &rows)
        }
    }
}

/// One line of the list.
struct Line<'a> {
    image: &'a ImageSummary,
    repository: &'a str,
    tag: &'a str,
    digest: &'a str,
}

/// One line a tag; an image without one has a line of its repository, or one of nothing.
fn rows(image: &ImageSummary) -> Vec<Line<'_>> {
    const NONE: &str = "<none>";
    let digest_of = |repository: &str| {
        let parts = image.repo_digests.iter().filter_map(|name| name.split_once('@'));
        parts.filter(|(of, _)| *of == repository).map(|(_, digest)| digest).next().unwrap_or(NONE)
    };
    let tags = image.repo_tags.iter().filter_map(|name| name.rsplit_once(':'));
    let mut lines: Vec<Line<'_>> = tags
        .map(|(repository, tag)| Line { image, repository, tag, digest: digest_of(repository) })
        .collect();
    if lines.is_empty() {
        let named = image.repo_digests.first().and_then(|name| name.split_once('@'));
        let (repository, digest) = named.unwrap_or((NONE, NONE));
        lines.push(Line { image, repository, tag: NONE, digest });
    }
    lines
}

impl Line<'_> {
    fn plain(&self, whole: bool, now: Timestamp) -> [Cell; COLUMNS.len()] {
        let Self { image, repository, tag, digest: _ } = self;
        let created =
            Timestamp::from_second(image.created).map(|at| at.to_string()).unwrap_or_default();
        // Builders that want equal bytes leave the time out, which arrives as the year 1 or as 1970's first second.
        let since = if image.created > 0 { human::ago(&created, now) } else { "N/A".to_owned() };
        [
            (*repository).into(),
            (*tag).into(),
            Cell::id(&image.id, whole),
            since.into(),
            human::size(image.size).into(),
            created.into(),
        ]
    }

    fn with_digest(&self, whole: bool, now: Timestamp) -> [Cell; DIGESTS.len()] {
        let [repository, tag, id, since, size, created] = self.plain(whole, now);
        [repository, tag, self.digest.into(), id, since, size, created]
    }
}
