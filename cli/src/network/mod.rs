//! `skein network`: networks across nodes.
//! Only the list of sub-commands.

mod create;
mod inspect;
mod ls;
mod prune;
mod rm;

use crate::failure::Failure;
use crate::session::Session;

pub(crate) use prune::pruned;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Network {
    Create(create::Create),
    Inspect(inspect::Inspect),
    Ls(ls::Ls),
    Prune(prune::Prune),
    Rm(rm::Rm),
}

impl Network {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(session).await,
            Self::Inspect(inspect) => inspect.run(session).await,
            Self::Ls(ls) => ls.run(session).await,
            Self::Prune(prune) => prune.run(session).await,
            Self::Rm(rm) => rm.run(session).await,
        }
    }
}
