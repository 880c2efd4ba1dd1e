//! `skein volume inspect`.

use crate::args::Inspecting;
use crate::failure::Failure;
use crate::session::{self, Session};

/// Show all that is known about volumes
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Volumes, by name
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
    #[command(flatten)]
    inspecting: Inspecting,
}

impl Inspect {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        session::inspect(session, "/volumes", &self.volumes, &self.inspecting).await
    }
}
