//! `skein image rm`.

use hyper::Method;

use super::Step;
use crate::args::{Because, Removal};
use crate::client::{encode, nothing};
use crate::failure::Failure;
use crate::session::Session;

/// Remove names of images, and images with their last name
///
/// A name goes alone; with the last one goes the image. An id means the image with all its names.
#[derive(Debug, clap::Args)]
#[command(visible_alias = "remove")]
pub(crate) struct Rm {
    /// Images, by name or id
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Remove it though it has several names or an ended container stands on it
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    removal: Removal,
}

impl Rm {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let because = Because::from(self.removal);
        let mut refused = None;
        for image in &self.images {
            let force = if self.force { "?force=1" } else { "" };
            let path = format!("/images/{}{force}", encode(image));
            let answer: Result<Vec<Step>, Failure> =
                session.client.change(Method::DELETE, &path, nothing(), &because).await;
            match answer {
                Ok(steps) => steps.iter().try_for_each(|step| step.show(session))?,
                Err(Failure::Rehearsed(text)) => session.screen.line(text)?,
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
