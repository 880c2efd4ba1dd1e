//! The rules, tested from outside: decisions, planners, projections and the properties that hold for all of them.

#![allow(clippy::unwrap_used, reason = "in helpers of tests too, a failed unwrap fails the test")]

mod decide;
mod global;
mod golden;
mod names;
mod parsers;
mod schedule;
mod story;
mod update;
mod walk;
mod world;
