//! `skein service scale`: how many tasks services are to have.

use super::option::Waiting;
use super::revise;
use crate::args::Because;
use crate::failure::Failure;
use crate::parse;
use crate::session::Session;

/// Set the number of tasks of replicated services
#[derive(Debug, clap::Args)]
pub(crate) struct Scale {
    #[command(flatten)]
    waiting: Waiting,
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
        let (mut refused, mut code) = (Vec::new(), 0);
        for (service, replicas) in &self.targets {
            match scale(session, service, *replicas, &self.because).await {
                Ok(id) => {
                    session.screen.line(format_args!("{service} scaled to {replicas}"))?;
                    scaled.push(id);
                }
                Err(Failure::Rehearsed(text)) => session.screen.line(text)?,
                Err(failure @ (Failure::Refused { .. } | Failure::Failed { .. })) => {
                    code = failure.exit_code();
                    refused.push(format!("{service}: {}", failure.say().unwrap_or_default()));
                }
                Err(failure) => return Err(failure),
            }
        }
        for id in &scaled {
            self.waiting.wait(session, id).await?;
        }
        if refused.is_empty() {
            return Ok(());
        }
        session.screen.note(refused.join("\n"))?;
        Err(Failure::Exit(code))
    }
}

/// Sends the spec back as it was read but for the number.
async fn scale(
    session: &mut Session,
    service: &str,
    replicas: i64,
    because: &Because,
) -> Result<String, Failure> {
    let read = revise::read(&session.client, service).await?;
    let mut spec = read.spec()?;
    let mode = spec.mode.get_or_insert_default();
    if let Some(replicated) = &mut mode.replicated {
        replicated.replicas = Some(replicas);
    } else if let Some(job) = &mut mode.replicated_job {
        job.total_completions = Some(replicas);
    } else {
        return Err(Failure::failed(
            "scale can only be used with replicated or replicated-job mode",
        ));
    }
    read.send(session, &spec, "", because).await
}
