//! `skein volume rm`.

use hyper::Method;

use crate::args::Because;
use crate::client::{encode, nothing};
use crate::failure::Failure;
use crate::session::Session;

/// Remove volumes and what is in them
///
/// A volume that a container uses stays, also with --force.
#[derive(Debug, clap::Args)]
#[command(visible_alias = "remove")]
pub(crate) struct Rm {
    /// Volumes, by name
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
    /// Do not mind one that is not there
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    because: Because,
}

impl Rm {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let force = if self.force { "?force=1" } else { "" };
        let mut refused = None;
        for volume in &self.volumes {
            let path = format!("/volumes/{}{force}", encode(volume));
            match session.client.order(Method::DELETE, &path, nothing(), &self.because).await {
                Ok(()) => session.screen.line(volume)?,
                Err(failure @ Failure::Refused { .. }) => {
                    if let Some(earlier) = refused.replace(failure) {
                        session.screen.note(earlier)?;
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        refused.map_or(Ok(()), Err)
    }
}
