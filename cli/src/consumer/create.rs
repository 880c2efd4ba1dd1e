//! `skein consumer create`: a reader that keeps its place.

use hyper::Method;
use serde_json::json;

use crate::args::Because;
use crate::client;
use crate::failure::Failure;
use crate::session::Session;

/// Create a named reader of the log
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Its name
    name: String,
    /// What it reads first: a position, start or now
    #[arg(long, value_name = "@N|start|now", default_value = "start")]
    from: String,
    #[command(flatten)]
    because: Because,
}

impl Create {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let body = client::json(&json!({ "name": self.name, "from": self.from }));
        session.client.order(Method::POST, "/skein/v1/consumers", body, &self.because).await?;
        session.screen.line(self.name)
    }
}
