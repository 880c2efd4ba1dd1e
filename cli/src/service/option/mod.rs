//! Options that describe what a service's tasks are: one file a group, each with its part of the request.
//! Nothing is defaulted here: what the user did not say is not sent, the swarm decides and writes it down.

mod container;
mod endpoint;
mod mode;
mod placement;
mod resources;
mod restart;

pub(super) use container::Container;
pub(super) use endpoint::{Attachment, Endpoint};
pub(super) use mode::Mode;
pub(super) use placement::Placement;
pub(super) use resources::Resources;
pub(super) use restart::Restart;
