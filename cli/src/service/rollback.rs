//! `skein service rollback`: back to the spec before the last change; once more undoes that.

use super::option::Waiting;
use super::revise;
use crate::args::Because;
use crate::failure::Failure;
use crate::session::Session;

/// Go back to what a service was before its last change
#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    because: Because,
    /// Service, by name or id
    service: String,
}

impl Rollback {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let read = revise::read(&session.client, &self.service).await?;
        let spec = read.spec()?;
        let id = read.send(session, &spec, "rollback=previous&", &self.because).await?;
        session.screen.line(&self.service)?;
        self.waiting.wait(session, &id).await
    }
}
