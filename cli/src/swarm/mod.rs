//! `skein swarm`: make, join and leave a swarm.
//! Only the list of sub-commands.

mod init;
mod join;
mod join_token;
mod leave;

use crate::failure::Failure;
use crate::session::Session;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Swarm {
    Init(init::Init),
    JoinToken(join_token::JoinToken),
    Join(join::Join),
    Leave(leave::Leave),
}

impl Swarm {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Init(init) => init.run(session).await,
            Self::JoinToken(join_token) => join_token.run(session).await,
            Self::Join(join) => join.run(session).await,
            Self::Leave(leave) => leave.run(session).await,
        }
    }
}
