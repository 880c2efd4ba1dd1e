//! `skein service update`: a service's spec with some of it changed, the rest as it was.

use bollard_stubs::models::{NetworkAttachmentConfig, ServiceSpec};

use super::option::{Changed, Shared, Waiting};
use super::{pin, revise};
use crate::args::Because;
use crate::client::Client;
use crate::failure::Failure;
use crate::parse;
use crate::session::Session;

/// Change a service
#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    #[command(flatten)]
    waiting: Waiting,
    /// Image of the tasks
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Arguments in place of the image's command
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    args: Option<String>,
    /// Replace all tasks, even if nothing changes
    #[arg(long)]
    force: bool,
    /// Go back to the spec before the last change
    #[arg(long)]
    rollback: bool,
    /// Number of tasks
    #[arg(long, value_name = "N", value_parser = parse::replicas)]
    replicas: Option<i64>,
    #[command(flatten)]
    changed: Changed,
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    because: Because,
    /// Service, by name or id
    service: String,
}

impl Update {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let Self {
            waiting,
            image,
            args,
            force,
            rollback,
            replicas,
            changed,
            shared,
            because,
            service,
        } = self;
        let read = revise::read(&session.client, &service).await?;
        let before = read.spec()?;
        let mut spec = before.clone();
        let resolve = image.is_some() && !shared.no_resolve_image;
        networks(&session.client, &mut spec, &changed).await?;
        changed.lists().put_into(&mut spec);
        shared.put_into(&mut spec)?;
        let task = spec.task_template.get_or_insert_default();
        let container = task.container_spec.get_or_insert_default();
        if image.is_some() {
            container.image = image;
        }
        if let Some(args) = args {
            container.args = Some(parse::words(&args).map_err(Failure::Usage)?);
        }
        if force {
            task.force_update = Some(task.force_update.unwrap_or(0) + 1);
        }
        if let Some(replicas) = replicas {
            count(&mut spec, replicas)?;
        }
        if rollback && spec != before {
            return Err(Failure::Usage(
                "other flags may not be combined with --rollback".to_owned(),
            ));
        }
        let unpinned = if resolve { pin::pin(&session.client, &mut spec).await? } else { None };
        let query = if rollback { "rollback=previous&" } else { "" };
        let id = read.send(session, &spec, query, &because).await?;
        unpinned.map_or(Ok(()), |warning| session.screen.note(warning))?;
        session.screen.line(&service)?;
        waiting.wait(session, &id).await
    }
}

fn count(spec: &mut ServiceSpec, replicas: i64) -> Result<(), Failure> {
    let replicated = spec.mode.as_mut().and_then(|mode| mode.replicated.as_mut());
    let replicated = replicated
        .ok_or_else(|| Failure::failed("replicas can only be used with replicated mode"))?;
    replicated.replicas = Some(replicas);
    Ok(())
}

/// Leaves networks, then joins others.
async fn networks(
    client: &Client,
    spec: &mut ServiceSpec,
    changed: &Changed,
) -> Result<(), Failure> {
    if changed.network_add.is_empty() && changed.network_rm.is_empty() {
        return Ok(());
    }
    let on_service = spec.networks.take();
    let task = spec.task_template.get_or_insert_default();
    let mut now = task.networks.take().or(on_service).unwrap_or_default();
    for name in &changed.network_rm {
        let id = revise::network_id(client, name).await?;
        now.retain(|attachment| attachment.target.as_ref() != Some(&id));
    }
    for attachment in revise::attachments(client, &changed.network_add).await?.unwrap_or_default() {
        let target = |other: &NetworkAttachmentConfig| other.target == attachment.target;
        if now.iter().any(target) {
            let id = attachment.target.unwrap_or_default();
            return Err(Failure::failed(format!("service is already attached to network {id}")));
        }
        now.push(attachment);
    }
    task.networks = (!now.is_empty()).then_some(now);
    Ok(())
}
