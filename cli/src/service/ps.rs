//! `skein service ps`: the tasks of services, the newest of each slot first, its forerunners below it.

use std::collections::BTreeMap;

use bollard_stubs::models::{Node, Service, Task};
use jiff::Timestamp;

use crate::args::{At, Listing};
use crate::client::{Client, Query, encode};
use crate::failure::Failure;
use crate::node;
use crate::screen::{Cell, Column, human};
use crate::session::Session;

/// List the tasks of services
#[derive(Debug, clap::Args)]
pub(crate) struct Ps {
    /// Services, by name or id
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
    /// Show ids of nodes and services in place of their names
    #[arg(long)]
    no_resolve: bool,
    #[command(flatten)]
    listing: Listing,
}

const COLUMNS: [Column; 10] = [
    Column::new("ID", "ID"),
    Column::new("Name", "NAME"),
    Column::new("Image", "IMAGE"),
    Column::new("Node", "NODE"),
    Column::new("DesiredState", "DESIRED STATE"),
    Column::new("CurrentState", "CURRENT STATE"),
    Column::new("Error", "ERROR"),
    Column::new("Ports", "PORTS"),
    Column::extra("ContainerID", "CONTAINER ID"),
    Column::extra("PID", "PID"),
];

type Row = [Cell; COLUMNS.len()];

/// Longest error shown unless `--no-trunc`, as Docker's.
const ERROR_LENGTH: usize = 30;

impl Ps {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let (found, missing) = resolve(&session.client, &self.services, &self.listing.at).await?;
        if !found.is_empty() {
            self.show(session, &found).await?;
        }
        if missing.is_empty() { Ok(()) } else { Err(Failure::failed(missing.join("\n"))) }
    }

    async fn show(
        &self,
        session: &mut Session,
        services: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let mut filters = node::filters(session, &self.listing.filter, &self.listing.at).await?;
        filters.extend(services.keys().map(|id| ("service".to_owned(), id.clone())));
        let path = format!("/tasks{}", Query::default().filtered(&filters));
        let tasks: Vec<Task> = session.client.read(&path, &self.listing.at).await?;
        let (services, hosts) = if self.no_resolve {
            (&BTreeMap::new(), BTreeMap::new())
        } else {
            (services, hosts(&session.client, &tasks, &self.listing.at).await?)
        };
        show(session, &self.listing, tasks, services, &hosts).await
    }
}

/// Ids and names of the services meant, and a sentence for each text that means none.
async fn resolve(
    client: &Client,
    wanted: &[String],
    at: &At,
) -> Result<(BTreeMap<String, String>, Vec<String>), Failure> {
    let mut found = BTreeMap::new();
    let mut missing = Vec::new();
    for text in wanted {
        match client.read::<Service>(&format!("/services/{}", encode(text)), at).await {
            Ok(service) => {
                let name = service.spec.and_then(|spec| spec.name).unwrap_or_default();
                found.insert(service.id.unwrap_or_default(), name);
            }
            Err(failure) if failure.is_not_found() => {
                missing.push(format!("no such service: {text}"));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok((found, missing))
}

/// Host names by node id, for whoever shows tasks; a node that is gone keeps its id for a name.
pub(crate) async fn hosts(
    client: &Client,
    tasks: &[Task],
    at: &At,
) -> Result<BTreeMap<String, String>, Failure> {
    if tasks.is_empty() {
        return Ok(BTreeMap::new());
    }
    let nodes: Vec<Node> = client.read("/nodes", at).await?;
    let host = |node: Node| {
        Some((node.id?, node.description.and_then(|about| about.hostname).unwrap_or_default()))
    };
    Ok(nodes.into_iter().filter_map(host).collect())
}

/// Shows tasks; ids alone are whole, as Docker's.
pub(crate) async fn show(
    session: &mut Session,
    listing: &Listing,
    tasks: Vec<Task>,
    services: &BTreeMap<String, String>,
    hosts: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let now = session.moment(&listing.at).await?;
    let rows = rows(tasks, services, hosts, listing.no_trunc || listing.quiet, now);
    session.screen.list(listing, &COLUMNS, &rows)
}

fn rows(
    tasks: Vec<Task>,
    services: &BTreeMap<String, String>,
    hosts: &BTreeMap<String, String>,
    whole: bool,
    now: Timestamp,
) -> Vec<Row> {
    let mut named: Vec<(String, Task)> =
        tasks.into_iter().map(|task| (name(&task, services), task)).collect();
    named.sort_by(|(a, x), (b, y)| {
        human::natural(a, b).then_with(|| y.created_at.cmp(&x.created_at))
    });
    let mut rows = Vec::with_capacity(named.len());
    let mut before = String::new();
    for (name, task) in named {
        let shown = if name == before { format!(" \\_ {name}") } else { name.clone() };
        rows.push(row(&name, shown, &task, hosts, whole, now));
        before = name;
    }
    rows
}

/// `service.slot`, or `service.node` where the mode has no slots.
fn name(task: &Task, services: &BTreeMap<String, String>) -> String {
    let service = task.service_id.as_deref().unwrap_or_default();
    let service = services.get(service).map_or(service, String::as_str);
    match task.slot {
        Some(slot) if slot > 0 => format!("{service}.{slot}"),
        _ => format!("{service}.{}", task.node_id.as_deref().unwrap_or_default()),
    }
}

fn row(
    name: &str,
    shown: String,
    task: &Task,
    hosts: &BTreeMap<String, String>,
    whole: bool,
    now: Timestamp,
) -> Row {
    let id = task.id.as_deref().unwrap_or_default();
    let image = task.spec.clone().and_then(|spec| spec.container_spec).and_then(|spec| spec.image);
    let image = image.unwrap_or_default();
    let node = task.node_id.as_deref().unwrap_or_default();
    let node = hosts.get(node).map_or(node, String::as_str).to_owned();
    let desired = task.desired_state.as_ref().map(|state| human::title(&state.to_string()));
    let desired = desired.unwrap_or_default();
    let status = task.status.clone().unwrap_or_default();
    let state = status.state.map(|state| human::title(&state.to_string())).unwrap_or_default();
    let current = format!("{state} {}", human::ago(&status.timestamp.unwrap_or_default(), now));
    let error = status.err.unwrap_or_default();
    let container = status.container_status.unwrap_or_default();
    [
        Cell::id(id, whole),
        Cell::from(shown).whole(name),
        human::image(&image, whole).into(),
        node.into(),
        desired.into(),
        current.into(),
        Cell::from(quoted(&error, whole)).whole(error),
        "".into(),
        container.container_id.unwrap_or_default().into(),
        container.pid.unwrap_or_default().into(),
    ]
}

fn quoted(error: &str, whole: bool) -> String {
    if error.is_empty() {
        String::new()
    } else if whole || error.chars().count() <= ERROR_LENGTH {
        format!("\"{error}\"")
    } else {
        format!("\"{}…\"", error.chars().take(ERROR_LENGTH - 1).collect::<String>())
    }
}
