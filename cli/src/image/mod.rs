//! `skein image`: images of the node that is asked; they are no part of the swarm's state.
//! Only the list of sub-commands.

mod load;
mod ls;

use crate::failure::Failure;
use crate::session::Session;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Image {
    Load(load::Load),
    Ls(ls::Ls),
}

impl Image {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Load(load) => load.run(session).await,
            Self::Ls(ls) => ls.run(session).await,
        }
    }
}
