//! `skein system df`: what images, containers, volumes and logs take on this machine's disk.

use jiff::Timestamp;
use serde::Deserialize;

use crate::args::At;
use crate::failure::Failure;
use crate::screen::{Cell, Column, human};
use crate::session::Session;

/// Show how much of the disk is used
#[derive(Debug, clap::Args)]
pub(crate) struct Df {
    /// Show every image, container, volume and log
    #[arg(short, long)]
    verbose: bool,
    /// Form of the list: table, json, or a Go template
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: crate::screen::Form,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Usage {
    layers_size: i64,
    /// Of them, those of downloads that did not end.
    partial_size: i64,
    images: Vec<Image>,
    containers: Vec<Container>,
    volumes: Vec<Volume>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Image {
    id: String,
    repo_tags: Option<Vec<String>>,
    created: i64,
    size: i64,
    shared_size: i64,
    containers: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Container {
    id: String,
    names: Vec<String>,
    image: Option<String>,
    status: String,
    state: String,
    size_rw: i64,
    /// It is gone; what it said is left.
    only_log: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Volume {
    name: String,
    usage_data: Option<VolumeUsage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct VolumeUsage {
    size: i64,
    ref_count: i64,
}

const SUMMARY: [Column; 5] = [
    Column::new("Type", "TYPE"),
    Column::new("TotalCount", "TOTAL"),
    Column::new("Active", "ACTIVE"),
    Column::new("Size", "SIZE"),
    Column::new("Reclaimable", "RECLAIMABLE"),
];
const IMAGES: [Column; 7] = [
    Column::new("Name", "IMAGE"),
    Column::new("ID", "IMAGE ID"),
    Column::new("CreatedSince", "CREATED"),
    Column::new("Size", "SIZE"),
    Column::new("SharedSize", "SHARED SIZE"),
    Column::new("UniqueSize", "UNIQUE SIZE"),
    Column::new("Containers", "CONTAINERS"),
];
const CONTAINERS: [Column; 5] = [
    Column::new("ID", "CONTAINER ID"),
    Column::new("Image", "IMAGE"),
    Column::new("Size", "SIZE"),
    Column::new("Status", "STATUS"),
    Column::new("Names", "NAMES"),
];
const VOLUMES: [Column; 3] = [
    Column::new("Name", "VOLUME NAME"),
    Column::new("Links", "LINKS"),
    Column::new("Size", "SIZE"),
];

const LOGS: [Column; 3] =
    [Column::new("ID", "CONTAINER ID"), Column::new("Names", "NAMES"), Column::new("Size", "SIZE")];

impl Df {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let usage: Usage = session.client.read("/system/df", &At::default()).await?;
        if self.verbose {
            return usage.show_all(session);
        }
        let rows = usage.summary();
        session.screen.form(&self.format, &SUMMARY, &rows)
    }
}

fn row(kind: &str, total: usize, active: usize, size: i64, free: i64) -> [Cell; SUMMARY.len()] {
    let share = if size > 0 { free.saturating_mul(100) / size } else { 0 };
    let reclaimable = format!("{} ({share}%)", human::size(free));
    [
        kind.into(),
        total.to_string().into(),
        active.to_string().into(),
        human::size(size).into(),
        reclaimable.into(),
    ]
}

impl Usage {
    /// The containers that are there.
    fn there(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().filter(|c| !c.only_log)
    }

    fn summary(&self) -> [[Cell; SUMMARY.len()]; 4] {
        let idle = self.images.iter().filter(|image| image.containers == 0);
        let used = self.images.iter().filter(|image| image.containers > 0).count();
        let idle: i64 = idle.map(|image| image.size - image.shared_size).sum();
        let free = idle + self.partial_size;
        let running = self.there().filter(|c| c.state == "running");
        let written = |ended: bool| -> i64 {
            self.there().filter(|c| !ended || c.state != "running").map(|c| c.size_rw).sum()
        };
        let logs = self.containers.iter().filter(|c| c.only_log);
        let said: i64 = logs.clone().map(|c| c.size_rw).sum();
        let volume = |v: &Volume| v.usage_data.as_ref().map_or((0, 0), |u| (u.size, u.ref_count));
        let volumes: Vec<(i64, i64)> = self.volumes.iter().map(volume).collect();
        let unused = volumes.iter().filter(|(_, links)| *links == 0).map(|(size, _)| size).sum();
        [
            row("Images", self.images.len(), used, self.layers_size, free),
            row("Containers", self.there().count(), running.count(), written(false), written(true)),
            row(
                "Local Volumes",
                volumes.len(),
                volumes.iter().filter(|(_, links)| *links > 0).count(),
                volumes.iter().map(|(size, _)| size).sum(),
                unused,
            ),
            row("Ended Logs", logs.count(), 0, said, said),
        ]
    }

    fn show_all(&self, session: &mut Session) -> Result<(), Failure> {
        let table = crate::screen::Form::default();
        let now = session.now;
        let images: Vec<_> = self.images.iter().map(|image| image.row(now)).collect();
        let containers: Vec<_> = self.there().map(Container::row).collect();
        let logs: Vec<_> =
            self.containers.iter().filter(|c| c.only_log).map(Container::log_row).collect();
        let volume = |v: &Volume| {
            let usage = v.usage_data.as_ref();
            let links = usage.map_or(0, |u| u.ref_count).to_string();
            let size = human::size(usage.map_or(0, |u| u.size));
            [v.name.as_str().into(), links.into(), size.into()]
        };
        let volumes: Vec<[Cell; VOLUMES.len()]> = self.volumes.iter().map(volume).collect();
        session.screen.line("Images space usage:\n")?;
        session.screen.form(&table, &IMAGES, &images)?;
        if self.partial_size > 0 {
            let size = human::size(self.partial_size);
            session.screen.line(format_args!("\nDownloads that did not end: {size}"))?;
        }
        session.screen.line("\nContainers space usage:\n")?;
        session.screen.form(&table, &CONTAINERS, &containers)?;
        session.screen.line("\nLocal Volumes space usage:\n")?;
        session.screen.form(&table, &VOLUMES, &volumes)?;
        session.screen.line("\nLogs of ended tasks space usage:\n")?;
        session.screen.form(&table, &LOGS, &logs)
    }
}

impl Image {
    fn row(&self, now: Timestamp) -> [Cell; IMAGES.len()] {
        let Self { id, repo_tags, created, size, shared_size, containers } = self;
        let at = Timestamp::from_second(*created).map(|at| at.to_string()).unwrap_or_default();
        let since = if *created > 0 { human::ago(&at, now) } else { "N/A".to_owned() };
        let name = repo_tags.iter().flatten().next().map_or("<none>", String::as_str);
        [
            name.into(),
            Cell::id(id, false),
            since.into(),
            human::size(*size).into(),
            human::size(*shared_size).into(),
            human::size(size - shared_size).into(),
            containers.to_string().into(),
        ]
    }
}

impl Container {
    fn row(&self) -> [Cell; CONTAINERS.len()] {
        let Self { id, names, image, status, state: _, size_rw, only_log: _ } = self;
        [
            Cell::id(id, false),
            image.as_deref().unwrap_or("<none>").into(),
            human::size(*size_rw).into(),
            status.as_str().into(),
            names.join(", ").trim_start_matches('/').into(),
        ]
    }

    fn log_row(&self) -> [Cell; LOGS.len()] {
        let names = self.names.join(", ");
        let names = names.trim_start_matches('/');
        [Cell::id(&self.id, false), names.into(), human::size(self.size_rw).into()]
    }
}
