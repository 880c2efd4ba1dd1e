//! `skein image inspect`.

use crate::args::Inspecting;
use crate::client::encode;
use crate::failure::Failure;
use crate::session::{self, Session};

/// Show all that is known about images
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Images, by name or id
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    #[command(flatten)]
    inspecting: Inspecting,
}

impl Inspect {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let paths = self.images.iter().map(|image| format!("/images/{}/json", encode(image)));
        session::inspect_all(session, paths, &self.inspecting).await
    }
}
