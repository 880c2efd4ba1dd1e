//! `skein image load`: images from an archive as `docker save` writes it, or an OCI layout, without any registry.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use serde::Deserialize;

use super::{body, file};
use crate::args::Change;
use crate::failure::Failure;
use crate::session::{self, Session};

/// Load images from an archive
#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    /// Archive to read; standard input when absent
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Do not report progress
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    change: Change,
}

/// One message of the daemon's answer.
#[derive(Deserialize)]
struct Message {
    stream: Option<String>,
    error: Option<String>,
}

impl Load {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let body = match &self.input {
            Some(path) => file(path).await?,
            None if std::io::stdin().is_terminal() => {
                return Err(Failure::Usage(
                    "image load reads an archive: name it with -i FILE or pipe it in".to_owned(),
                ));
            }
            None => body(session::standard_input()?),
        };
        let path = format!("/images/load?quiet={}", u8::from(self.quiet));
        let mut lines =
            session.client.upload(&path, "application/x-tar", body, &self.change.into()).await?;
        while let Some(line) = lines.next().await? {
            let message: Message = serde_json::from_slice(&line).map_err(|error| {
                Failure::Strange { request: path.clone(), reason: error.to_string() }
            })?;
            if let Some(error) = message.error {
                return Err(Failure::failed(error));
            }
            if let Some(text) = message.stream {
                session.screen.line(text.trim_end())?;
            }
        }
        Ok(())
    }
}
