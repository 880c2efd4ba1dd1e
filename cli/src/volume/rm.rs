//! `skein volume rm`.

use crate::args::Removal;
use crate::failure::Failure;
use crate::session::{self, Session};

/// Remove volumes and what is in them
///
/// A volume that a container uses stays, also with --force.
#[derive(Debug, clap::Args)]
#[command(visible_alias = "remove")]
pub(crate) struct Rm {
    /// Volumes, by name
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
    /// Do not mind one that is not there
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    removal: Removal,
}

impl Rm {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let query = if self.force { "?force=1" } else { "" };
        session::remove_so(session, "/volumes", &self.volumes, query, &self.removal.into()).await
    }
}
