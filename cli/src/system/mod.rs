//! `skein system`: this machine as a whole.
//! Only the list of sub-commands.

mod df;
pub(crate) mod info;
mod prune;

use crate::failure::Failure;
use crate::session::Session;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum System {
    Df(df::Df),
    Info(info::Info),
    Prune(prune::Prune),
}

impl System {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Df(df) => df.run(session).await,
            Self::Info(info) => info.run(session).await,
            Self::Prune(prune) => prune.run(session).await,
        }
    }
}
