//! Tasks: one attempt to run a container.

pub mod spec;
