//! The hands: actors that carry commands to the log and effects to the world, and choose nothing.

#![forbid(unsafe_code)]

pub mod clock;
pub mod log;
pub mod noun;
