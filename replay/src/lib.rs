//! Looking back: pure functions over a history of records. What was the state, why is an object as it is, what
//! happened to it, do the checkpoints hold.
//! Reads nothing by itself: the caller brings batches whose chain was checked, so the same answers come from a disk,
//! a backup or a test.

#![forbid(unsafe_code)]

mod aside;
pub mod at;
pub mod audit;
pub mod catalog;
pub mod history;
pub mod step;
mod text;
pub mod why;
