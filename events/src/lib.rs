//! The rules of Skein, pure: what can happen, what may happen, what should happen next, and what it looks like.
//! No clock, entropy, environment, disk or network is reachable from here (DESIGN invariant 1).

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

pub mod id;
pub mod name;
pub mod record;
pub mod task;
pub mod time;
pub mod unit;
pub mod view;
