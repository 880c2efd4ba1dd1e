//! Decisions about networks.

use crate::codec::NewEvent;
use crate::command::{NewNetwork, Occupied};
use crate::id::NetworkId;
use crate::network::event::{NetworkCreated, NetworkRemoved};
use crate::network::{MTU_MIN, MTU_OPTION};
use crate::plan::allocate;
use crate::refusal::Refusal;
use crate::state::State;
use crate::unit::Subnet;

use super::{Context, check};

pub(super) fn create(
    state: &State,
    new: &NewNetwork,
    context: &mut Context,
) -> Result<Vec<NewEvent>, Refusal> {
    let name = &new.spec.name;
    if state.index.network_names.contains_key(&name.folded()) {
        return Err(Refusal::NetworkExists { name: name.to_string() });
    }
    check::labels(&new.spec.labels)?;
    if check::size_of(&new.spec.labels) > check::SPEC_MAX {
        return Err(Refusal::TooLarge("the network's labels", check::SPEC_MAX));
    }
    options(&new.spec.options)?;
    let subnet = match new.subnet {
        Some(subnet) => given(state, subnet, &new.occupied)?,
        None => allocate::subnet::free(state, &new.occupied).ok_or_else(|| {
            Refusal::Subnet(
                "could not find an available subnet in the default address pool, beside the networks and what this node has in use itself: give one with --subnet"
                    .to_owned(),
            )
        })?,
    };
    let gateway = new
        .gateway
        .or_else(|| subnet.nth(1))
        .filter(|g| subnet.contains(*g) && *g != subnet.base() && *g != subnet.last());
    let gateway = gateway.ok_or_else(|| {
        Refusal::Subnet(format!("the gateway is not an address for hosts in subnet {subnet}"))
    })?;
    if let Some(range) = new.ip_range {
        inside(subnet, range)?;
    }
    let ip_range = new.ip_range;
    let vni = allocate::vni::free(state)
        .ok_or_else(|| Refusal::Subnet("no VXLAN identifier is left".to_owned()))?;
    let id = NetworkId::from_random(context.ids.bytes16());
    Ok(vec![NetworkCreated { id, spec: new.spec.clone(), subnet, gateway, ip_range, vni }.into()])
}

/// A part of the network's addresses, with at least one for a task.
fn inside(subnet: Subnet, range: Subnet) -> Result<(), Refusal> {
    if range.prefix() < subnet.prefix() || !subnet.contains(range.base()) {
        return Err(Refusal::Subnet(format!("ip-range {range} is not inside subnet {subnet}")));
    }
    if range.prefix() > 30 {
        return Err(Refusal::Subnet(format!("ip-range {range} must have a prefix of at most 30")));
    }
    Ok(())
}

/// Whether every option is one the overlay carries out: none is taken and then ignored.
fn options(options: &[(String, String)]) -> Result<(), Refusal> {
    for (key, value) in options {
        match key.as_str() {
            MTU_OPTION => {
                if !value.parse::<u16>().is_ok_and(|mtu| mtu >= MTU_MIN) {
                    let shown: String = value.chars().take(64).collect();
                    return Err(Refusal::Invalid(format!(
                        "invalid {MTU_OPTION} {shown:?}: a whole number from {MTU_MIN} to {}",
                        u16::MAX
                    )));
                }
            }
            "encrypted" => {
                return Err(Refusal::Unsupported(
                    "encrypted networks are not there yet: create the network without -o encrypted, and keep its nodes on a network you trust"
                        .to_owned(),
                ));
            }
            key => {
                let shown: String = key.chars().take(64).collect();
                return Err(Refusal::Unsupported(format!(
                    "network option {shown:?} is not supported: leave it out; {MTU_OPTION} is the one there is"
                )));
            }
        }
    }
    Ok(())
}

/// Addresses no host can have on a network: <https://www.iana.org/assignments/iana-ipv4-special-registry>.
const NOT_FOR_HOSTS: [(&str, &str); 5] = [
    ("0.0.0.0/8", "\"this network\""),
    ("127.0.0.0/8", "for a host's own use"),
    ("169.254.0.0/16", "for one link only"),
    ("224.0.0.0/4", "for multicast"),
    ("240.0.0.0/4", "reserved"),
];

/// A block of the user's choice: big enough, for hosts, and nobody else's.
fn given(state: &State, subnet: Subnet, occupied: &[Occupied]) -> Result<Subnet, Refusal> {
    if !(8..=29).contains(&subnet.prefix()) {
        return Err(Refusal::Subnet(format!(
            "subnet {subnet} must have a prefix between 8 and 29"
        )));
    }
    for (block, meaning) in NOT_FOR_HOSTS {
        let block: Subnet = block.parse().expect("a block of a table of ours");
        if block.overlaps(subnet) {
            return Err(Refusal::Subnet(format!(
                "subnet {subnet} overlaps with {block}, which is {meaning}: no container could be reached there"
            )));
        }
    }
    if let Some(other) = state.networks.values().find(|n| n.subnet.overlaps(subnet)) {
        return Err(Refusal::Subnet(format!(
            "subnet {subnet} overlaps with {} of network {}",
            other.subnet, other.spec.name
        )));
    }
    // The end of the sentence is Docker's.
    match occupied.iter().find(|o| o.block.overlaps(subnet)) {
        Some(Occupied { block, by }) => Err(Refusal::Subnet(format!(
            "subnet {subnet} overlaps with {block} {by}: Pool overlaps with other one on this address space"
        ))),
        None => Ok(subnet),
    }
}

pub(super) fn remove(state: &State, id: NetworkId) -> Result<Vec<NewEvent>, Refusal> {
    let network = check::network(state, id)?;
    let what = || format!("network {}", network.spec.name);
    let user = state.services.values().find(|s| state.index.network_services.contains(&(id, s.id)));
    if let Some(service) = user {
        return Err(Refusal::InUse { what: what(), by: format!("service {}", service.spec.name) });
    }
    let first = (id, network.subnet.base());
    let holder = state.index.addresses.range(first..).next().filter(|((n, _), _)| *n == id);
    if let Some((_, task)) = holder {
        return Err(Refusal::InUse { what: what(), by: format!("task {task}") });
    }
    // Tasks without an address yet may still join it.
    let waiting = state
        .index
        .pending
        .iter()
        .filter_map(|t| state.tasks.get(t))
        .find(|t| state.version_of(t).task.networks.iter().any(|a| a.network == id));
    match waiting {
        Some(task) => Err(Refusal::InUse { what: what(), by: format!("task {}", task.id) }),
        None => Ok(vec![NetworkRemoved { id }.into()]),
    }
}
