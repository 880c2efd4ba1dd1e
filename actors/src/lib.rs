//! The hands: actors that carry commands to the log and effects to the world, and choose nothing.

#![forbid(unsafe_code)]

pub mod agent;
pub mod backend;
pub mod clock;
mod condition;
pub mod consensus;
pub mod dispatch;
mod health;
pub mod history;
pub mod images;
pub mod log;
pub mod member;
pub mod noun;
pub mod offline;
pub mod reasons;
pub mod rehearsal;
pub mod snapshots;
pub mod spawner;
pub mod swarm;
pub mod vault;
mod volumes;
pub mod witness;
