//! `skein consumer`: named readers of the log, whose place is kept in the log.
//! Only the list of sub-commands; reading itself is `skein tail --consumer`.

mod create;
mod ls;
mod rm;
mod seek;

use crate::failure::Failure;
use crate::session::Session;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Consumer {
    Create(create::Create),
    Ls(ls::Ls),
    Seek(seek::Seek),
    Rm(rm::Rm),
}

impl Consumer {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(session).await,
            Self::Ls(ls) => ls.run(session).await,
            Self::Seek(seek) => seek.run(session).await,
            Self::Rm(rm) => rm.run(session).await,
        }
    }
}
