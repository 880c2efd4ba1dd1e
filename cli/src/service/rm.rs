//! `skein service rm`.

use crate::args::Because;
use crate::failure::Failure;
use crate::session::{self, Session};

/// Remove services and stop their tasks
#[derive(Debug, clap::Args)]
#[command(visible_alias = "remove")]
pub(crate) struct Rm {
    /// Services, by name or id
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
    #[command(flatten)]
    because: Because,
}

impl Rm {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        session::remove(session, "/services", &self.services, &self.because).await
    }
}
