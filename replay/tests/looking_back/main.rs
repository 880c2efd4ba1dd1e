//! Looking back on stories that were lived through in memory.

#![allow(clippy::unwrap_used, reason = "in helpers of tests too, a failed unwrap fails the test")]

mod past;
mod reasons;
#[path = "../../../events/tests/rules/world.rs"]
#[allow(dead_code, reason = "shared with the tests of the rules, which use all of it")]
mod world;
