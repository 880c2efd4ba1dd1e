//! What only tests need: the simulator of a whole swarm.

#![forbid(unsafe_code)]

pub mod sim;
