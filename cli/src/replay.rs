//! `skein replay`: the whole state of the swarm at a moment, from a running daemon or from the data root of a stopped one.

use std::path::PathBuf;

use serde_json::{Value, json};
use skein_events::view::whole;

use crate::args::{At, Moment};
use crate::failure::Failure;
use crate::session::Session;

/// Fold the log to a state and print it
///
/// All there is of the swarm as JSON, or its digest, which is the same on every manager. A stopped
/// node's log is read from its data root; not a byte of it is changed.
#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// Fold up to there; without it, everything
    #[arg(long, visible_alias = "at", value_name = "@N|-10m|TIME", allow_hyphen_values = true)]
    to: Option<Moment>,
    /// Data root of a node whose daemon does not run
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Print only the position and the digest
    #[arg(long)]
    digest: bool,
}

impl Replay {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let answer = match &self.data_root {
            None => session.client.read("/skein/v1/state", &At { at: self.to }).await?,
            Some(root) => stopped(root, self.to.as_ref())?,
        };
        let answer: Value = answer;
        if self.digest {
            let digest = answer["digest"].as_str().unwrap_or_default();
            return session.screen.line(format_args!("@{} {digest}", answer["position"]));
        }
        let state = serde_json::to_string_pretty(&answer["state"]).expect("JSON is JSON");
        session.screen.line(state)
    }
}

fn stopped(root: &std::path::Path, to: Option<&Moment>) -> Result<Value, Failure> {
    let moment = to.map(|moment| moment.to_string().parse()).transpose().map_err(Failure::Usage)?;
    let mut state = skein_actors::offline::state(root, moment).map_err(|failure| {
        let text = format!("{}: {failure}", root.display());
        let hint = "a node whose daemon runs is asked without --data-root".to_owned();
        Failure::Failed { text, hint: Some(hint) }
    })?;
    let digest = state.digest().to_string();
    Ok(json!({ "position": state.position.0, "digest": digest, "state": whole::json(&state) }))
}
