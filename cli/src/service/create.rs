//! `skein service create`: the request made of the option groups in `option/`, one file a group.

use bollard_stubs::models::{
    NetworkAttachmentConfig, ServiceCreateResponse, ServiceSpec, TaskSpec, TaskSpecContainerSpec,
};
use hyper::Method;
use serde_json::Value;

use super::converge;
use super::option::{Container, Endpoint, Mode, Placement, Resources, Restart};
use crate::args::{At, Because};
use crate::client::{Client, encode, json};
use crate::failure::Failure;
use crate::parse;
use crate::session::Session;

/// Create a service
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Return at once instead of waiting until the tasks run
    #[arg(short, long)]
    detach: bool,
    /// Print only the id
    #[arg(short, long)]
    quiet: bool,
    /// Name of the service; also its name in DNS
    #[arg(long)]
    name: Option<String>,
    /// Label of the service
    #[arg(short, long, value_name = "KEY[=VALUE]", value_parser = parse::label)]
    label: Vec<(String, String)>,
    #[command(flatten)]
    mode: Mode,
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    container: Container,
    #[command(flatten)]
    restart: Restart,
    #[command(flatten)]
    resources: Resources,
    #[command(flatten)]
    placement: Placement,
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
        let detach = self.detach || self.quiet;
        let because = self.because.clone();
        let spec = self.spec(&session.client).await?;
        let created: ServiceCreateResponse =
            session.client.change(Method::POST, "/services/create", json(&spec), &because).await?;
        for warning in created.warnings.into_iter().flatten() {
            session.screen.note(warning)?;
        }
        let id = created.id.unwrap_or_default();
        session.screen.line(&id)?;
        if detach { Ok(()) } else { converge::wait(session, &id).await }
    }

    async fn spec(self, client: &Client) -> Result<ServiceSpec, Failure> {
        let container = TaskSpecContainerSpec {
            image: Some(self.image),
            args: (!self.command.is_empty()).then_some(self.command),
            ..TaskSpecContainerSpec::default()
        };
        let template = TaskSpec {
            container_spec: Some(self.container.put_into(container)?),
            restart_policy: self.restart.policy(),
            resources: self.resources.amounts(),
            placement: self.placement.rules(),
            networks: attachments(client, &self.endpoint.network).await?,
            ..TaskSpec::default()
        };
        Ok(ServiceSpec {
            name: self.name,
            labels: (!self.label.is_empty()).then(|| self.label.into_iter().collect()),
            task_template: Some(template),
            mode: Some(self.mode.into_model()?),
            endpoint_spec: self.endpoint.spec(),
            ..ServiceSpec::default()
        })
    }
}

/// Names are sent as ids, so that the service keeps its network when another gets the name.
async fn attachments(
    client: &Client,
    networks: &[super::option::Attachment],
) -> Result<Option<Vec<NetworkAttachmentConfig>>, Failure> {
    let mut attachments = Vec::with_capacity(networks.len());
    for network in networks {
        let path = format!("/networks/{}?scope=swarm", encode(&network.target));
        let found: Value = client.read(&path, &At::default()).await?;
        attachments.push(NetworkAttachmentConfig {
            target: Some(found["Id"].as_str().unwrap_or(&network.target).to_owned()),
            aliases: (!network.aliases.is_empty()).then(|| network.aliases.clone()),
            driver_opts: None,
        });
    }
    Ok((!attachments.is_empty()).then_some(attachments))
}
