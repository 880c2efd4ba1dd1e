//! `skein volume ls`.

use bollard_stubs::models::{Volume, VolumeListResponse};

use crate::args::Listing;
use crate::client::Query;
use crate::failure::Failure;
use crate::screen::{Cell, Column, human};
use crate::session::Session;

/// List the volumes of this node
#[derive(Debug, clap::Args)]
#[command(visible_alias = "list")]
pub(crate) struct Ls {
    #[command(flatten)]
    listing: Listing,
}

const COLUMNS: [Column; 5] = [
    Column::new("Driver", "DRIVER"),
    Column::new("Name", "VOLUME NAME"),
    Column::extra("Mountpoint", "MOUNTPOINT"),
    Column::extra("Labels", "LABELS"),
    Column::extra("Scope", "SCOPE"),
];

impl Ls {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let listing = self.listing;
        let path = format!("/volumes{}", Query::default().filtered(&listing.filter));
        let answer: VolumeListResponse = session.client.read(&path, &listing.at).await?;
        let mut volumes = answer.volumes.unwrap_or_default();
        volumes.sort_by(|a, b| human::natural(&a.name, &b.name));
        let rows: Vec<_> = volumes.iter().map(row).collect();
        session.screen.list(&listing, &COLUMNS, &rows)
    }
}

fn row(volume: &Volume) -> [Cell; COLUMNS.len()] {
    [
        volume.driver.as_str().into(),
        volume.name.as_str().into(),
        volume.mountpoint.as_str().into(),
        Cell::labels(&volume.labels),
        "local".into(),
    ]
}
