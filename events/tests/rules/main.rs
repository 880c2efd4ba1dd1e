//! The rules, tested from outside: decisions, planners, projections and the properties that hold for all of them.

mod story;
mod world;
