//! The rules of Skein, pure: what can happen, what may happen, what should happen next, and what it looks like.
//! No clock, entropy, environment, disk or network is reachable from here (DESIGN invariant 1).

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

/// Whether a planted fault is on: never, but where the simulator checks itself.
macro_rules! mutated {
    ($mutant:ident) => {{
        #[cfg(feature = "mutants")]
        let on = crate::mutant::is(crate::mutant::Mutant::$mutant);
        #[cfg(not(feature = "mutants"))]
        let on = false;
        on
    }};
}

pub mod cluster;
pub mod codec;
pub mod command;
pub mod decide;
pub mod envelope;
pub mod event;
pub mod id;
pub mod kind;
#[cfg(feature = "mutants")]
pub mod mutant;
pub mod name;
pub mod network;
pub mod node;
pub mod plan;
pub mod record;
pub mod reference;
pub mod refusal;
pub mod service;
pub mod state;
pub mod task;
pub mod text;
pub mod time;
pub mod unit;
mod upcast;
pub mod view;
