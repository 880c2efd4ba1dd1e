//! `skein replay`: the whole state of the swarm at a moment, from a running daemon or from a data root.

use std::path::PathBuf;

use serde_json::{Value, json};
use skein_actors::offline::{self, Found};
use skein_events::view::whole;

use crate::args::{At, Host, Moment};
use crate::client::Client;
use crate::failure::Failure;
use crate::session::Session;

/// Fold the log to a state and print it
///
/// All there is of the swarm as JSON, or its digest, which is the same on every manager. With the data
/// root of a stopped node its log is read there, and not a byte of it is changed; with that of a running
/// one its daemon is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// Fold up to there; without it, everything
    #[arg(long, visible_alias = "at", value_name = "@N|-10m|TIME", allow_hyphen_values = true)]
    to: Option<Moment>,
    /// Data root of a node, in place of a daemon to talk to
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Print only the position and the digest
    #[arg(long)]
    digest: bool,
}

impl Replay {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        const PATH: &str = "/skein/v1/state";
        let at = At { at: self.to };
        let answer: Value = match &self.data_root {
            None => session.client.read(PATH, &at).await?,
            Some(root) => match looked_at(root, at.at.as_ref())? {
                Found::Running { host } => {
                    let host: Host = host.parse().map_err(Failure::failed)?;
                    Client::new(host).read(PATH, &at).await?
                }
                Found::Stopped(mut state) => {
                    let (position, digest) = (state.position.0, state.digest().to_string());
                    json!({ "position": position, "digest": digest, "state": whole::json(&state) })
                }
            },
        };
        if self.digest {
            let digest = answer["digest"].as_str().unwrap_or_default();
            return session.screen.line(format_args!("@{} {digest}", answer["position"]));
        }
        let state = serde_json::to_string_pretty(&answer["state"]).expect("JSON is JSON");
        session.screen.line(state)
    }
}

/// The log of a data root that no daemon uses, or the daemon that uses it.
fn looked_at(root: &std::path::Path, to: Option<&Moment>) -> Result<Found, Failure> {
    let moment = to.map(|moment| moment.to_string().parse()).transpose().map_err(Failure::Usage)?;
    offline::state(root, moment).map_err(|failure| {
        let text = format!("{}: {failure}", root.display());
        let hint = "a node whose daemon runs is asked without --data-root".to_owned();
        Failure::Failed { text, hint: Some(hint) }
    })
}
