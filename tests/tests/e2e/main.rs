//! Whole stories on the real machine: daemons as processes, containers, sockets, Docker's own client.
//! Each test has a network namespace and roots of its own and leaves nothing, also when it fails. Needs root and
//! the binary `skein` of the same build; `make test` makes both.

#![expect(clippy::print_stderr, reason = "what a failed test leaves for its reader")]

mod beside;
#[cfg(feature = "failpoints")]
mod crash;
mod daemon;
mod disk;
mod host;
mod lasting;
mod network;
mod past;
mod private;
mod registry;
mod resolvers;
mod scenario;
mod supervised;
mod terminal;
mod thread;
