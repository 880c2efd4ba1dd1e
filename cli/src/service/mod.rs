//! `skein service`: what is to run, and how many of it.
//! Only the list of sub-commands.

mod converge;
mod create;
mod inspect;
mod logs;
mod ls;
mod option;
mod pin;
mod pretty;
pub(crate) mod ps;
mod revise;
mod rm;
mod rollback;
mod scale;
mod update;

use crate::failure::Failure;
use crate::session::Session;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Service {
    Create(Box<create::Create>),
    Inspect(inspect::Inspect),
    Logs(logs::Logs),
    Ls(ls::Ls),
    Ps(ps::Ps),
    Update(Box<update::Update>),
    Rollback(rollback::Rollback),
    Scale(scale::Scale),
    Rm(rm::Rm),
}

impl Service {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(session).await,
            Self::Inspect(inspect) => inspect.run(session).await,
            Self::Logs(logs) => logs.run(session).await,
            Self::Ls(ls) => ls.run(session).await,
            Self::Ps(ps) => ps.run(session).await,
            Self::Update(update) => update.run(session).await,
            Self::Rollback(rollback) => rollback.run(session).await,
            Self::Scale(scale) => scale.run(session).await,
            Self::Rm(rm) => rm.run(session).await,
        }
    }
}
