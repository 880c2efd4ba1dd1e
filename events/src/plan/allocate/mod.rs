//! What the swarm hands out: subnets, VNIs, addresses. Pure searches for something free; `decide` writes what was found.

pub mod address;
pub mod subnet;
pub mod vni;
