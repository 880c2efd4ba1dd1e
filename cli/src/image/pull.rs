//! `skein image pull`: an image from its registry, as whom Docker's configuration file says.

use serde::Deserialize;
use skein_events::reference::Reference;

use crate::args::Change;
use crate::client::Query;
use crate::failure::Failure;
use crate::login;
use crate::session::Session;

/// Pull an image from its registry
///
/// A pull that ended in between is gone on with by the next one. Name and password are those of "docker login", read from
/// $DOCKER_CONFIG/config.json or ~/.docker/config.json.
#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    /// Image to pull; docker.io is the registry when none is named
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: String,
    /// Say only the image's name
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    change: Change,
}

/// One message of the daemon's answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    status: Option<String>,
    id: Option<String>,
    error: Option<String>,
}

impl Pull {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let name: Reference = self.name.parse().map_err(|e| Failure::Usage(format!("{e}")))?;
        let auth = login::to(name.host())?;
        let query = Query::default()
            .with("fromImage", &name.familiar_repository())
            .with("tag", name.digest().or_else(|| name.tag()).unwrap_or("latest"));
        if name.tag().is_none() && name.digest().is_none() && !self.quiet {
            session.screen.line("Using default tag: latest")?;
        }
        let path = format!("/images/create{query}");
        let mut lines = session.client.pull(&path, auth.as_deref(), &self.change.into()).await?;
        while let Some(line) = lines.next().await? {
            let Message { status, id, error } = serde_json::from_slice(&line).map_err(|error| {
                Failure::Strange { request: path.clone(), reason: error.to_string() }
            })?;
            if let Some(error) = error {
                return Err(Failure::failed(error));
            }
            // How far a layer has come is for terminals that draw it; a line each is enough here.
            let Some(status) = status.filter(|s| !self.quiet && s != "Downloading") else {
                continue;
            };
            session.screen.line(match id {
                Some(id) => format!("{id}: {status}"),
                None => status,
            })?;
        }
        session.screen.line(name.familiar())
    }
}
