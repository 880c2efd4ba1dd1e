//! `skein consumer rm`: forgets a reader's place.

use crate::args::Because;
use crate::failure::Failure;
use crate::session::{Session, remove};

/// Remove consumers
#[derive(Debug, clap::Args)]
#[command(visible_alias = "remove")]
pub(crate) struct Rm {
    /// Their names
    #[arg(value_name = "CONSUMER", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    because: Because,
}

impl Rm {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        remove(session, "/skein/v1/consumers", &self.names, &self.because).await
    }
}
