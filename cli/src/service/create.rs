//! `skein service create`: the request made of the option groups in `option/`, one file a group.

use bollard_stubs::models::{ServiceCreateResponse, ServiceSpec, TaskSpec, TaskSpecContainerSpec};
use hyper::Method;

use super::option::{Given, Mode, Shared, Waiting};
use super::{pin, revise};
use crate::args::Because;
use crate::client::{Client, json};
use crate::failure::Failure;
use crate::session::Session;

/// Create a service
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    waiting: Waiting,
    /// Name of the service; also its name in DNS
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    mode: Mode,
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    because: Because,
    /// Image of the tasks
    image: String,
    /// Command in place of the image's, with its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Create {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let Self { waiting, name, mode, given, shared, because, image, command } = self;
        let resolve = !shared.no_resolve_image;
        let mut spec = spec(&session.client, name, mode, given, shared, image, command).await?;
        let unpinned = if resolve { pin::pin(&session.client, &mut spec).await? } else { None };
        let created: ServiceCreateResponse =
            session.client.change(Method::POST, "/services/create", json(&spec), &because).await?;
        for warning in created.warnings.into_iter().flatten().chain(unpinned) {
            session.screen.note(warning)?;
        }
        let id = created.id.unwrap_or_default();
        session.screen.line(&id)?;
        waiting.wait(session, &id).await
    }
}

async fn spec(
    client: &Client,
    name: Option<String>,
    mode: Mode,
    given: Given,
    shared: Shared,
    image: String,
    command: Vec<String>,
) -> Result<ServiceSpec, Failure> {
    let container = TaskSpecContainerSpec {
        image: Some(image),
        args: (!command.is_empty()).then_some(command),
        ..TaskSpecContainerSpec::default()
    };
    let template = TaskSpec {
        networks: revise::attachments(client, &given.network).await?,
        container_spec: Some(container),
        ..TaskSpec::default()
    };
    let mut spec = ServiceSpec {
        name,
        task_template: Some(template),
        mode: Some(mode.into_model()?),
        ..ServiceSpec::default()
    };
    given.lists()?.put_into(&mut spec);
    shared.put_into(&mut spec)?;
    Ok(spec)
}
