//! `skein service scale`: how many tasks services are to have.

use hyper::Method;
use serde_json::Value;

use super::converge;
use crate::args::{At, Because};
use crate::client::{encode, json};
use crate::failure::Failure;
use crate::parse;
use crate::session::Session;

/// Set the number of tasks of replicated services
#[derive(Debug, clap::Args)]
pub(crate) struct Scale {
    /// Return at once instead of waiting until the tasks run
    #[arg(short, long)]
    detach: bool,
    /// Services with the number of tasks each is to have
    #[arg(required = true, value_name = "SERVICE=REPLICAS", value_parser = target)]
    targets: Vec<(String, i64)>,
    #[command(flatten)]
    because: Because,
}

fn target(text: &str) -> Result<(String, i64), String> {
    let (service, replicas) =
        parse::key_value(text).map_err(|_| "expected SERVICE=REPLICAS, like web=5".to_owned())?;
    Ok((service, parse::replicas(&replicas)?))
}

impl Scale {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let mut scaled = Vec::new();
        let mut refused = Vec::new();
        for (service, replicas) in &self.targets {
            match scale(session, service, *replicas, &self.because).await {
                Ok(id) => {
                    session.screen.line(format_args!("{service} scaled to {replicas}"))?;
                    scaled.push(id);
                }
                Err(failure @ (Failure::Refused { .. } | Failure::Failed { .. })) => {
                    refused.push(format!("{service}: {}", failure.say().unwrap_or_default()));
                }
                Err(failure) => return Err(failure),
            }
        }
        if !self.detach {
            for id in &scaled {
                converge::wait(session, id).await?;
            }
        }
        if refused.is_empty() { Ok(()) } else { Err(Failure::failed(refused.join("\n"))) }
    }
}

/// Sends the spec back as it was read but for the number, so that nothing this program does not know is lost.
async fn scale(
    session: &Session,
    service: &str,
    replicas: i64,
    because: &Because,
) -> Result<String, Failure> {
    let path = format!("/services/{}?insertDefaults=false", encode(service));
    let mut found: Value = session.client.read(&path, &At::default()).await?;
    let mode = &mut found["Spec"]["Mode"];
    if mode.get("Replicated").is_some_and(Value::is_object) {
        mode["Replicated"]["Replicas"] = replicas.into();
    } else if mode.get("ReplicatedJob").is_some_and(Value::is_object) {
        mode["ReplicatedJob"]["TotalCompletions"] = replicas.into();
    } else {
        return Err(Failure::failed(
            "scale can only be used with replicated or replicated-job mode",
        ));
    }
    let id = found["ID"].as_str().unwrap_or(service).to_owned();
    let version = found["Version"]["Index"].as_u64().unwrap_or_default();
    let path = format!("/services/{}/update?version={version}", encode(&id));
    let answer: Value =
        session.client.change(Method::POST, &path, json(&found["Spec"]), because).await?;
    drop(answer); // warnings about registries, which no update of a number can have
    Ok(id)
}
