//! The wires: how Skein speaks to clients, nodes and the kernel. No decisions are made here.

pub mod address;
pub mod backend;
pub mod ca;
pub mod dns;
pub mod http;
pub mod measures;
pub mod overlay;
pub mod session;
pub mod token;
