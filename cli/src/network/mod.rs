//! `skein network`: networks across nodes.
//! Only the list of sub-commands.

mod create;
mod ls;
mod rm;

use crate::failure::Failure;
use crate::session::Session;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Network {
    Create(create::Create),
    Ls(ls::Ls),
    Rm(rm::Rm),
}

impl Network {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(session).await,
            Self::Ls(ls) => ls.run(session).await,
            Self::Rm(rm) => rm.run(session).await,
        }
    }
}
