//! `skein service ls`.

use bollard_stubs::models::{
    EndpointPortConfig, EndpointPortConfigPublishModeEnum, Service, ServiceSpecMode,
};

use crate::args::Listing;
use crate::client::Query;
use crate::failure::Failure;
use crate::screen::{Cell, Column, human};
use crate::session::Session;

/// List services
#[derive(Debug, clap::Args)]
#[command(visible_alias = "list")]
pub(crate) struct Ls {
    #[command(flatten)]
    listing: Listing,
}

const COLUMNS: [Column; 7] = [
    Column::new("ID", "ID"),
    Column::new("Name", "NAME"),
    Column::new("Mode", "MODE"),
    Column::new("Replicas", "REPLICAS"),
    Column::new("Image", "IMAGE"),
    Column::new("Ports", "PORTS"),
    Column::extra("Labels", "LABELS"),
];

impl Ls {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let listing = self.listing;
        let query = Query::default().filtered(&listing.filter).with("status", "true");
        let mut services: Vec<Service> =
            session.client.read(&format!("/services{query}"), &listing.at).await?;
        services.sort_by(|a, b| human::natural(name(a), name(b)));
        let rows: Vec<_> = services.iter().map(|service| row(service, listing.no_trunc)).collect();
        session.screen.list(&listing, &COLUMNS, &rows)
    }
}

fn name(service: &Service) -> &str {
    service.spec.as_ref().and_then(|spec| spec.name.as_deref()).unwrap_or_default()
}

fn row(service: &Service, whole: bool) -> [Cell; COLUMNS.len()] {
    let id = service.id.as_deref().unwrap_or_default();
    let spec = service.spec.clone().unwrap_or_default();
    let template = spec.task_template.unwrap_or_default();
    let image = template.container_spec.and_then(|container| container.image).unwrap_or_default();
    let most = template.placement.and_then(|placement| placement.max_replicas).unwrap_or_default();
    let name = spec.name.unwrap_or_default();
    let mode = spec.mode.unwrap_or_default();
    let status = service.service_status.clone().unwrap_or_default();
    let (running, desired) = (status.running_tasks.unwrap_or(0), status.desired_tasks.unwrap_or(0));
    let replicas = match &mode {
        ServiceSpecMode { replicated_job: Some(job), .. } => format!(
            "{running}/{desired} ({}/{} completed)",
            status.completed_tasks.unwrap_or(0),
            job.total_completions.unwrap_or(1)
        ),
        ServiceSpecMode { replicated: Some(_), .. } if most > 0 => {
            format!("{running}/{desired} (max {most} per node)")
        }
        ServiceSpecMode { .. } => format!("{running}/{desired}"),
    };
    let mode = mode_name(&mode);
    let image = human::image(&image, whole);
    let ports = service
        .endpoint
        .as_ref()
        .and_then(|endpoint| endpoint.ports.as_deref())
        .unwrap_or_default();
    let ports = ports.iter().filter_map(port).collect::<Vec<_>>().join(", ");
    let labels = Cell::labels(spec.labels.iter().flatten());
    let [name, mode, replicas, image, ports] =
        [name.into(), mode.into(), replicas.into(), image.into(), ports.into()];
    [Cell::id(id, whole), name, mode, replicas, image, ports, labels]
}

fn mode_name(mode: &ServiceSpecMode) -> &'static str {
    match mode {
        ServiceSpecMode { global: Some(_), .. } => "global",
        ServiceSpecMode { replicated_job: Some(_), .. } => "replicated job",
        ServiceSpecMode { global_job: Some(_), .. } => "global job",
        ServiceSpecMode { .. } => "replicated",
    }
}

/// A port published on every node; one published on the task's host stands in `service ps`.
fn port(port: &EndpointPortConfig) -> Option<String> {
    if port.publish_mode == Some(EndpointPortConfigPublishModeEnum::HOST) {
        return None;
    }
    let protocol = port.protocol.as_ref().map(ToString::to_string).unwrap_or_default();
    Some(format!("*:{}->{}/{protocol}", port.published_port?, port.target_port?))
}
