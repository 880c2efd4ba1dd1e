//! `skein system prune`: what a machine keeps and nobody needs. Ended containers go by themselves, so it is images.

use crate::args::Because;
use crate::failure::Failure;
use crate::image;
use crate::session::Session;

/// Remove what nobody needs: images without a name, layers of none
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Remove all images that no container uses, not only those without a name
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only what matches: label=KEY[=VALUE], label!=KEY[=VALUE], until=TIME|AGE
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::parse::key_value)]
    filter: Vec<(String, String)>,
    #[command(flatten)]
    because: Because,
}

impl Prune {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let Self { all, force, filter, because } = self;
        image::Prune { all, force, filter, because }.run(session).await
    }
}
