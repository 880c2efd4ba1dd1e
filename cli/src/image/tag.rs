//! `skein image tag`.

use hyper::Method;
use skein_events::reference::Reference;

use crate::args::Because;
use crate::client::{Query, encode, nothing};
use crate::failure::Failure;
use crate::session::Session;

/// Give an image a further name
#[derive(Debug, clap::Args)]
pub(crate) struct Tag {
    /// Image, by name or id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The name it gets
    #[arg(value_name = "NAME[:TAG]")]
    name: Reference,
    #[command(flatten)]
    because: Because,
}

impl Tag {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let query = Query::default()
            .with("repo", &self.name.familiar_repository())
            .with_some("tag", self.name.tag());
        let path = format!("/images/{}/tag{query}", encode(&self.image));
        session.client.order(Method::POST, &path, nothing(), &self.because).await
    }
}
