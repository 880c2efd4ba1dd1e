//! Networks as Docker shows and asks for them: overlays of the swarm, nothing else.
//! What is on a network stands in `joined`, because only `inspect` asks for it.

mod joined;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bollard_stubs::models;

use skein_events::command::{Command, NewNetwork};
use skein_events::event::Event;
use skein_events::id::{NetworkId, ServiceId};
use skein_events::network::{Network, NetworkSpec};
use skein_events::refusal::Refusal;
use skein_events::state;
use skein_events::task::TaskState;
use skein_events::unit::Subnet;
use skein_events::view::summary;

use crate::backend::{Failure, Rehearsal};
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::filters::{Filters, ListQuery, YES_NO, truthy};
use crate::http::moment::{At, rfc3339};
use crate::http::{App, Path, Query, committed, json};

use super::{map, sorted, unsupported};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/networks", get(list))
        .route("/networks/create", post(create))
        .route("/networks/prune", post(prune))
        .route("/networks/{id}", get(inspect).delete(remove))
}

/// How long tasks of removed services may take to leave a network before its removal is refused: Docker's grace for a stop
/// and a moment.
const LEAVING_MAX: std::time::Duration = std::time::Duration::from_secs(15);

async fn list(At(state): At, Query(query): Query<ListQuery>) -> Result<Response, ApiError> {
    let known = ["dangling", "driver", "id", "label", "name", "scope", "type"];
    let filters = query.filters(&known)?;
    filters.one_of("dangling", &YES_NO)?;
    filters.one_of("type", &["custom", "builtin"])?;
    filters.one_of("scope", &["swarm", "local", "global"])?;
    let (ids, names) = (filters.patterns("id")?, filters.patterns("name")?);
    let networks: Vec<models::Network> = state
        .networks
        .values()
        .filter(|n| {
            ids.fit(&n.id.to_string())
                && names.fit(n.spec.name.as_str())
                && filters.exact("driver", "overlay")
                && filters.exact("scope", "swarm")
                && filters.exact("type", "custom")
                && filters.labels(&n.spec.labels)
                && (filters.get("dangling").is_empty()
                    || filters
                        .get("dangling")
                        .iter()
                        .any(|d| truthy(Some(d)) != is_used(&state, n)))
        })
        .map(|n| model(n))
        .collect();
    Ok(json(StatusCode::OK, &networks))
}

/// Whether a service joins it.
fn is_used(state: &state::State, network: &Network) -> bool {
    let first = (network.id, ServiceId::from_random([0; 16]));
    state.index.network_services.range(first..).next().is_some_and(|(n, _)| *n == network.id)
}

#[derive(Debug, Default, serde::Deserialize)]
struct InspectQuery {
    scope: Option<String>,
    verbose: Option<String>,
}

async fn inspect(
    State(app): State<App>,
    At(state): At,
    Path(name): Path<String>,
    Query(query): Query<InspectQuery>,
) -> Result<Response, ApiError> {
    let elsewhere = query.scope.is_some_and(|s| !s.is_empty() && s != "swarm");
    if elsewhere {
        return Err(Refusal::NotFound { noun: "network", name }.into());
    }
    let id = summary::network(&state, &name)?;
    let network = state.networks.get(&id).expect("a name found means an object");
    let local = app.backend.local().node;
    let verbose = truthy(query.verbose.as_deref());
    Ok(json(StatusCode::OK, &joined::model(&state, network, local, verbose)))
}

async fn create(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(request): Json<models::NetworkCreateRequest>,
) -> Result<Response, ApiError> {
    let new = requested(request)?;
    let done = app.backend.submit(caller, Command::CreateNetwork(new)).await?;
    let id = done.batch.entries.iter().find_map(|entry| {
        if let Event::NetworkCreated(created) = &entry.event { Some(created.id) } else { None }
    });
    let id = id.ok_or_else(super::other_request)?;
    let body = models::NetworkCreateResponse { id: id.to_string(), warning: String::new() };
    Ok(committed(json(StatusCode::CREATED, &body), done.last))
}

async fn remove(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let id = summary::network(&*app.backend.state()?, &name)?;
    let _ = tokio::time::timeout(LEAVING_MAX, until_left(&app, id)).await;
    let done = app.backend.submit(caller, Command::RemoveNetwork(id)).await?;
    Ok(committed(StatusCode::NO_CONTENT.into_response(), done.last))
}

/// Waits while no service joins the network any more and tasks of those that did are on their way out: whoever removes a
/// stack removes its network right after its services.
async fn until_left(app: &App, id: NetworkId) -> Result<(), Failure> {
    let mut news = app.backend.head()?;
    loop {
        news.borrow_and_update();
        let state = app.backend.state()?;
        if !is_left(&state, id) || news.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// Whether only tasks on their way out have addresses there.
fn is_left(state: &state::State, id: NetworkId) -> bool {
    let Some(network) = state.networks.get(&id) else { return false };
    let first = (id, network.subnet.base());
    let mut leaving = false;
    for (_, task) in state.index.addresses.range(first..).take_while(|((n, _), _)| *n == id) {
        match state.tasks.get(task) {
            Some(task) if task.desired > TaskState::Running => leaving = true,
            Some(_) | None => return false,
        }
    }
    leaving && !is_used(state, network)
}

/// Removes every network nobody is on. One that is joined meanwhile is passed over: each removal is decided by itself.
async fn prune(
    State(app): State<App>,
    Caller(caller): Caller,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let filters = query.filters(&["label", "label!", "until"])?;
    let until = filters.until(app.backend.wall())?;
    let state = match app.backend.state() {
        // A machine outside a swarm has nothing to remove; `docker system prune` asks nevertheless.
        Err(Failure::Refused(Refusal::NotInSwarm)) => {
            let nothing = models::NetworkPruneResponse { networks_deleted: None };
            return Ok(json(StatusCode::OK, &nothing));
        }
        state => state?,
    };
    let wanted = |n: &&std::sync::Arc<Network>| {
        !is_used(&state, n) && until.is_none_or(|until| n.created <= until) && chosen(&filters, n)
    };
    let (mut removed, mut last, mut rehearsed) = (Vec::new(), None, None);
    for network in state.networks.values().filter(wanted) {
        // One request id has one effect, and this request has many.
        let caller = crate::backend::Caller { request: None, ..caller.clone() };
        match app.backend.submit(caller, Command::RemoveNetwork(network.id)).await {
            Ok(done) => {
                removed.push(network.spec.name.to_string());
                last = Some(done.last);
            }
            Err(Failure::Refused(Refusal::InUse { .. } | Refusal::NotFound { .. })) => {}
            Err(Failure::Rehearsed(next)) => Rehearsal::add(&mut rehearsed, *next),
            Err(failure) => return Err(failure.into()),
        }
    }
    if let Some(rehearsal) = rehearsed {
        return Err(Failure::Rehearsed(Box::new(rehearsal)).into());
    }
    let networks_deleted = (!removed.is_empty()).then_some(removed);
    let body = json(StatusCode::OK, &models::NetworkPruneResponse { networks_deleted });
    Ok(match last {
        Some(last) => committed(body, last),
        None => body,
    })
}

/// Whether the labels asked for are there, and those not wanted are not.
fn chosen(filters: &Filters, network: &Network) -> bool {
    filters.labels(&network.spec.labels) && filters.without_labels(&network.spec.labels)
}

/// What Docker's request asks for, or why that cannot be had.
fn requested(request: models::NetworkCreateRequest) -> Result<NewNetwork, ApiError> {
    let models::NetworkCreateRequest {
        name,
        driver,
        scope,
        internal,
        attachable,
        ingress,
        config_only,
        config_from,
        ipam,
        enable_ipv4,
        enable_ipv6,
        options,
        labels,
    } = request;
    match driver.as_deref().unwrap_or("bridge") {
        "overlay" => {}
        "" | "bridge" | "host" | "none" | "null" | "macvlan" | "ipvlan" => {
            return Err(unsupported("only overlay networks are there: add --driver overlay").into());
        }
        other => {
            let shown: String = other.chars().take(64).collect();
            return Err(ApiError::not_found(format!("plugin \"{shown}\" not found")));
        }
    }
    if !matches!(scope.as_deref().unwrap_or(""), "" | "swarm" | "global") {
        return Err(unsupported("overlay networks belong to the swarm: leave out --scope").into());
    }
    if ingress == Some(true) {
        return Err(unsupported("ingress networks are not there yet: leave out --ingress").into());
    }
    let template = config_from.and_then(|c| c.network).is_some_and(|n| !n.is_empty());
    if config_only == Some(true) || template {
        return Err(unsupported(
            "networks made from templates are not there: leave out --config-only and --config-from",
        )
        .into());
    }
    if enable_ipv6 == Some(true) || enable_ipv4 == Some(false) {
        return Err(unsupported("networks are IPv4 only: leave out --ipv6 and --ipv4=false").into());
    }
    let Addresses { subnet, gateway, ip_range } = addresses(ipam)?;
    let spec = NetworkSpec {
        name: name.parse().map_err(|e| Refusal::Invalid(format!("invalid network name: {e}")))?,
        internal: internal.unwrap_or(false),
        attachable: attachable.unwrap_or(false),
        labels: sorted(labels),
        options: sorted(options),
    };
    // The backend knows what the machine has in use.
    Ok(NewNetwork { spec, subnet, gateway, ip_range, occupied: Vec::new() })
}

/// The addresses a user wants a network to have.
#[derive(Default)]
struct Addresses {
    subnet: Option<Subnet>,
    gateway: Option<Ipv4Addr>,
    ip_range: Option<Subnet>,
}

/// Why a text is no subnet of a network: Docker's sentence where it is no block at all.
fn no_subnet(text: &str) -> Refusal {
    let shown: String = text.chars().take(64).collect();
    let parts = text.split_once('/');
    let prefix = parts.and_then(|(_, bits)| bits.parse::<u8>().ok());
    match (parts.map(|(address, _)| address.parse::<IpAddr>()), prefix) {
        (Some(Ok(IpAddr::V6(_))), Some(0..=128)) => {
            unsupported("networks are IPv4 only: give an IPv4 --subnet")
        }
        (Some(Ok(IpAddr::V4(address))), Some(bits @ 0..=32)) => {
            let block = Subnet::containing(address, bits);
            Refusal::Invalid(format!(
                "Invalid subnet {shown} : it has bits set beyond its prefix, it should be {block}"
            ))
        }
        _ => Refusal::Invalid(format!("Invalid subnet {shown} : invalid CIDR address: {shown}")),
    }
}

fn addresses(ipam: Option<models::Ipam>) -> Result<Addresses, Refusal> {
    let none = Addresses::default();
    let Some(models::Ipam { driver, config, options }) = ipam else { return Ok(none) };
    if !matches!(driver.as_deref().unwrap_or(""), "" | "default") {
        return Err(unsupported("only the default IPAM driver is there: leave out --ipam-driver"));
    }
    if options.is_some_and(|o| !o.is_empty()) {
        return Err(unsupported("IPAM options are not there: leave out --ipam-opt"));
    }
    let mut blocks = config.unwrap_or_default().into_iter();
    let Some(first) = blocks.next() else { return Ok(none) };
    if blocks.next().is_some() {
        return Err(unsupported("a network has one subnet: give --subnet once"));
    }
    let models::IpamConfig { subnet, ip_range, gateway, auxiliary_addresses } = first;
    if auxiliary_addresses.is_some_and(|a| !a.is_empty()) {
        return Err(unsupported("reserved addresses are not there: leave out --aux-address"));
    }
    let subnet =
        subnet.filter(|s| !s.is_empty()).map(|text| text.parse().map_err(|_| no_subnet(&text)));
    let gateway = gateway.filter(|g| !g.is_empty()).map(|text| {
        text.parse().map_err(|_| {
            let shown: String = text.chars().take(64).collect();
            Refusal::Invalid(format!("invalid gateway {shown}: it must be an IPv4 address"))
        })
    });
    let ip_range = ip_range.filter(|r| !r.is_empty()).map(|text| {
        text.parse().map_err(|_| {
            let shown: String = text.chars().take(64).collect();
            Refusal::Invalid(format!(
                "invalid ip-range {shown}: it must be a CIDR such as 10.0.9.128/25"
            ))
        })
    });
    let (subnet, gateway, ip_range) =
        (subnet.transpose()?, gateway.transpose()?, ip_range.transpose()?);
    if gateway.is_some() && subnet.is_none() {
        return Err(Refusal::Invalid("a gateway needs a subnet: add --subnet".to_owned()));
    }
    if ip_range.is_some() && subnet.is_none() {
        return Err(Refusal::Invalid("an ip-range needs a subnet: add --subnet".to_owned()));
    }
    Ok(Addresses { subnet, gateway, ip_range })
}

fn model(network: &Network) -> models::Network {
    let Network { id, spec, subnet, gateway, ip_range, vni, next_host: _, created, last: _ } =
        network;
    let NetworkSpec { name, internal, attachable, labels, options } = spec;
    let mut options = map(options);
    options.insert("com.docker.network.driver.overlay.vxlanid_list".to_owned(), vni.0.to_string());
    models::Network {
        name: Some(name.to_string()),
        id: Some(id.to_string()),
        created: Some(rfc3339(*created)),
        scope: Some("swarm".to_owned()),
        driver: Some("overlay".to_owned()),
        enable_ipv4: Some(true),
        enable_ipv6: Some(false),
        ipam: Some(models::Ipam {
            driver: Some("default".to_owned()),
            config: Some(vec![models::IpamConfig {
                subnet: Some(subnet.to_string()),
                ip_range: ip_range.map(|range| range.to_string()),
                gateway: Some(gateway.to_string()),
                auxiliary_addresses: None,
            }]),
            options: None,
        }),
        internal: Some(*internal),
        attachable: Some(*attachable),
        ingress: Some(false),
        config_from: Some(models::ConfigReference { network: Some(String::new()) }),
        config_only: Some(false),
        options: Some(options),
        labels: Some(if labels.is_empty() { HashMap::new() } else { map(labels) }),
        peers: None,
    }
}
