//! Whether a node meets a constraint. Values compare without case; a key that nobody knows is met by no node, as in Swarm.

use std::net::Ipv4Addr;

use crate::node::{Node, Role};
use crate::task::placement::{Constraint, Operator};
use crate::unit::Subnet;

/// The first constraint the node does not meet.
pub fn unmet<'a>(constraints: &'a [Constraint], node: &Node) -> Option<&'a Constraint> {
    constraints.iter().find(|constraint| !meets(constraint, node))
}

fn meets(constraint: &Constraint, node: &Node) -> bool {
    let Constraint { key, operator, value } = constraint;
    let wanted = match operator {
        Operator::Is => true,
        Operator::IsNot => false,
    };
    // A label the node does not have is the empty text, so it differs from every value.
    let found = match key.to_ascii_lowercase().as_str() {
        "node.id" => same(&node.id.to_string(), value),
        "node.hostname" => same(&node.description.hostname, value),
        "node.ip" => match within(value, node.address) {
            Some(within) => within,
            None => return false,
        },
        "node.role" => same(
            match node.role {
                Role::Worker => "worker",
                Role::Manager => "manager",
            },
            value,
        ),
        "node.platform.os" => same(&node.description.os, value),
        "node.platform.arch" => {
            same(architecture(&node.description.architecture), architecture(value))
        }
        _ => match label(key, node) {
            Some(label) => same(label, value),
            None => return false,
        },
    };
    found == wanted
}

fn same(left: &str, right: &str) -> bool {
    left.to_lowercase() == right.to_lowercase()
}

/// The value behind a key of labels, empty if the node has no such label; `None` for any other key.
/// Machines have no labels of their own yet, so those are all empty.
pub(super) fn label<'a>(key: &str, node: &'a Node) -> Option<&'a str> {
    let under = |prefix: &str| {
        key.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix))?;
        key.get(prefix.len()..).filter(|rest| !rest.is_empty())
    };
    if let Some(name) = under("node.labels.") {
        let found = node.labels.iter().find(|(key, _)| key == name);
        return Some(found.map_or("", |(_, value)| value.as_str()));
    }
    under("engine.labels.").map(|_| "")
}

/// Whether the address is the value, or lies inside it; `None` if the value is neither address nor block.
fn within(value: &str, address: Ipv4Addr) -> Option<bool> {
    if let Ok(block) = value.parse::<Subnet>() {
        return Some(block.contains(address));
    }
    value.parse::<Ipv4Addr>().ok().map(|one| one == address)
}

/// Docker's and the kernel's names of one architecture.
fn architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
