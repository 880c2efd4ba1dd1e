//! `skein image import`: an image of one layer out of an archive of a root file system.

use std::path::Path;

use serde::Deserialize;

use super::{body, file};
use crate::args::Change;
use crate::client::Query;
use crate::failure::Failure;
use crate::session::{self, Session};

/// Make an image of an archive of a root file system
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// Archive to read; - is standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// Name of the image
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
    /// Instruction of a Dockerfile, like 'CMD ["sh"]'; may be given several times
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    #[command(flatten)]
    given: Change,
}

/// The daemon's answer: the image's id.
#[derive(Deserialize)]
struct Message {
    status: Option<String>,
    error: Option<String>,
}

impl Import {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        if self.file.contains("://") {
            return Err(Failure::Usage(format!(
                "image import reads no address: download {} and import the file",
                self.file
            )));
        }
        let body = match self.file.as_str() {
            "-" => body(session::standard_input()?),
            path => file(Path::new(path)).await?,
        };
        let mut query = Query::default().with("fromSrc", "-").with_some("repo", self.name);
        for change in &self.change {
            query = query.with("changes", change);
        }
        // The reason is Docker's commit message too: it stays in the image as well as in the log.
        let query = query.with_some("message", self.given.reason.message.as_ref());
        let path = format!("/images/create{query}");
        let mut lines =
            session.client.upload(&path, "application/x-tar", body, &self.given.into()).await?;
        while let Some(line) = lines.next().await? {
            let Message { status, error } = serde_json::from_slice(&line).map_err(|error| {
                Failure::Strange { request: path.clone(), reason: error.to_string() }
            })?;
            if let Some(error) = error {
                return Err(Failure::failed(error));
            }
            if let Some(id) = status {
                session.screen.line(id)?;
            }
        }
        Ok(())
    }
}
