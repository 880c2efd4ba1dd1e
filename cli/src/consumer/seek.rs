//! `skein consumer seek`: reads again, or leaves out.

use hyper::Method;
use serde_json::json;

use crate::args::Because;
use crate::client::{self, encode};
use crate::failure::Failure;
use crate::session::Session;

/// Let a consumer go on somewhere else
#[derive(Debug, clap::Args)]
pub(crate) struct Seek {
    /// Its name
    #[arg(value_name = "CONSUMER")]
    name: String,
    /// What it reads next: a position, start or now
    #[arg(value_name = "@N|start|now")]
    to: String,
    #[command(flatten)]
    because: Because,
}

impl Seek {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let path = format!("/skein/v1/consumers/{}/seek", encode(&self.name));
        let body = client::json(&json!({ "to": self.to }));
        session.client.order(Method::POST, &path, body, &self.because).await?;
        session.screen.line(format_args!("{} reads on from {}", self.name, self.to))
    }
}
