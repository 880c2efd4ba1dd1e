//! The machine: images, root file systems, containers and their shims, behind the one seam the node agent drives.
//! Decides nothing: it does what it is told, can be asked what there is, and leaves nothing behind after `remove`.
//!
//! ```text
//!  agent ──▶ trait Runtime ──▶ machine::Machine ──spawns──▶ shim (one process a container) ──▶ the container
//!                    ╲                 ╲──unix socket──────▶  owns its output, waits for it, outlives the daemon
//!                     fake::FakeRuntime (simulator)
//! ```

pub mod api;
pub mod check;
mod discard;
pub mod error;
pub mod fake;
pub mod heap;
pub mod image;
pub mod log;
pub mod machine;
mod private;
mod rootfs;
pub mod shim;
pub mod signal;
mod spec;
mod tree;
mod volume;
