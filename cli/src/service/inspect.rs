//! `skein service inspect`: everything about services, as JSON or laid out to be read.

use bollard_stubs::models::Service;
use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{pretty, revise};
use crate::args::{At, Inspecting};
use crate::client::encode;
use crate::failure::Failure;
use crate::session::Session;

/// Show everything about services
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Lay it out to be read
    #[arg(long, conflicts_with = "format")]
    pretty: bool,
    #[command(flatten)]
    inspecting: Inspecting,
    /// Services, by name or id
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
}

impl Inspect {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let Self { pretty, inspecting, services } = self;
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for service in &services {
            let path = format!("/services/{}?insertDefaults=true", encode(service));
            match session.client.read::<Box<RawValue>>(&path, &inspecting.at).await {
                Ok(value) => found.push(value),
                Err(failure) if failure.is_not_found() => {
                    missing.push(format!("no such service: {service}"));
                }
                Err(failure) => return Err(failure),
            }
        }
        if pretty {
            let now = session.moment(&inspecting.at).await?;
            for service in &found {
                show(session, service, &inspecting.at, now).await?;
            }
        } else {
            session.screen.objects(&inspecting.format, &found)?;
        }
        if missing.is_empty() { Ok(()) } else { Err(Failure::failed(missing.join("\n"))) }
    }
}

async fn show(
    session: &mut Session,
    service: &RawValue,
    at: &At,
    now: Timestamp,
) -> Result<(), Failure> {
    let mut service: Value = serde_json::from_str(service.get()).expect("it was read as JSON");
    service["Spec"] = revise::with_our_names(service["Spec"].take());
    let service: Service = serde_json::from_value(service).map_err(|error| Failure::Strange {
        request: "/services".to_owned(),
        reason: error.to_string(),
    })?;
    let task = service.spec.as_ref().and_then(|spec| spec.task_template.as_ref());
    let mut networks = Vec::new();
    for attachment in task.and_then(|task| task.networks.as_ref()).into_iter().flatten() {
        let id = attachment.target.clone().unwrap_or_default();
        let path = format!("/networks/{}?scope=swarm", encode(&id));
        // A network that went meanwhile keeps its id for a name.
        let found: Value = match session.client.read(&path, at).await {
            Ok(found) => found,
            Err(failure) if failure.is_not_found() => Value::Null,
            Err(failure) => return Err(failure),
        };
        networks.push(found["Name"].as_str().unwrap_or(&id).to_owned());
    }
    session.screen.told(&pretty::layout(&service, &networks, now))
}
