//! `skein node`: the members of the swarm.
//! Only the list of sub-commands.

mod ls;

use crate::failure::Failure;
use crate::session::Session;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Node {
    Ls(ls::Ls),
}

impl Node {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Ls(ls) => ls.run(session).await,
        }
    }
}
