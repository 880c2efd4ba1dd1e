//! A network with what is on it: containers of this machine, the nodes it spans and, when asked, every service's tasks.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use bollard_stubs::models;

use skein_events::id::NodeId;
use skein_events::network::Network;
use skein_events::state::State;
use skein_events::task::Task;

/// Docker's answer to an inspection.
pub(super) fn model(
    state: &State,
    network: &Network,
    local: Option<NodeId>,
    verbose: bool,
) -> models::NetworkInspect {
    let joined = joined(state, network);
    let models::Network {
        name,
        id,
        created,
        scope,
        driver,
        enable_ipv4,
        enable_ipv6,
        ipam,
        internal,
        attachable,
        ingress,
        config_from,
        config_only,
        options,
        labels,
        peers: _,
    } = super::model(network);
    models::NetworkInspect {
        name,
        id,
        created,
        scope,
        driver,
        enable_ipv4,
        enable_ipv6,
        ipam,
        internal,
        attachable,
        ingress,
        config_from,
        config_only,
        options,
        labels,
        peers: Some(peers(state, &joined)),
        containers: Some(containers(state, network, &joined, local)),
        services: verbose.then(|| services(state, &joined)),
        status: None,
    }
}

/// Who holds an address on the network, by address.
fn joined<'a>(state: &'a State, network: &Network) -> Vec<(Ipv4Addr, &'a Arc<Task>)> {
    let low = (network.id, Ipv4Addr::UNSPECIFIED);
    let held = state.index.addresses.range(low..).take_while(|((n, _), _)| *n == network.id);
    held.filter_map(|((_, ip), task)| Some((*ip, state.tasks.get(task)?))).collect()
}

fn full_name(state: &State, task: &Task) -> String {
    format!("{}.{}", state.task_name(task), task.id)
}

/// Containers of this machine by their ids.
fn containers(
    state: &State,
    network: &Network,
    joined: &[(Ipv4Addr, &Arc<Task>)],
    local: Option<NodeId>,
) -> HashMap<String, models::EndpointResource> {
    let here = joined.iter().filter(|(_, task)| local.is_some() && task.node == local);
    here.filter_map(|(ip, task)| {
        let mac = task.legs.iter().find(|l| l.network == network.id)?.mac;
        let endpoint = models::EndpointResource {
            name: Some(full_name(state, task)),
            endpoint_id: None,
            mac_address: Some(mac.to_string()),
            ipv4_address: Some(format!("{ip}/{}", network.subnet.prefix())),
            ipv6_address: Some(String::new()),
        };
        Some((task.status.container.clone()?, endpoint))
    })
    .collect()
}

/// The nodes the network spans, by id.
fn peers(state: &State, joined: &[(Ipv4Addr, &Arc<Task>)]) -> Vec<models::PeerInfo> {
    let spanned: BTreeMap<NodeId, Ipv4Addr> = joined
        .iter()
        .filter_map(|(_, task)| state.nodes.get(&task.node?))
        .map(|node| (node.id, node.address))
        .collect();
    let peer = |(id, address): (NodeId, Ipv4Addr)| models::PeerInfo {
        name: Some(id.short()),
        ip: Some(address.to_string()),
    };
    spanned.into_iter().map(peer).collect()
}

/// Services by name, each with its tasks on the network.
fn services(
    state: &State,
    joined: &[(Ipv4Addr, &Arc<Task>)],
) -> HashMap<String, serde_json::Value> {
    let mut tasks: BTreeMap<String, Vec<models::NetworkTaskInfo>> = BTreeMap::new();
    for (ip, task) in joined {
        let address = task.node.and_then(|n| state.nodes.get(&n)).map(|n| n.address.to_string());
        let info = models::NetworkTaskInfo {
            name: Some(full_name(state, task)),
            endpoint_id: None,
            endpoint_ip: Some(ip.to_string()),
            info: Some(HashMap::from([("Host IP".to_owned(), address.unwrap_or_default())])),
        };
        tasks.entry(state.version_of(task).name.to_string()).or_default().push(info);
    }
    let service = |tasks| models::ServiceInfo {
        vip: Some(String::new()),
        ports: Some(Vec::new()),
        local_lb_index: Some(0),
        tasks: Some(tasks),
    };
    let value = |service| serde_json::to_value(service).expect("a service's tasks are JSON");
    tasks.into_iter().map(|(name, tasks)| (name, value(service(tasks)))).collect()
}
