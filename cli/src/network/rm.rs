//! `skein network rm`.

use crate::args::Because;
use crate::failure::Failure;
use crate::session::{self, Session};

/// Remove networks
#[derive(Debug, clap::Args)]
#[command(visible_alias = "remove")]
pub(crate) struct Rm {
    /// Networks, by name or id
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
    #[command(flatten)]
    because: Because,
}

impl Rm {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        session::remove(session, "/networks", &self.networks, &self.because).await
    }
}
