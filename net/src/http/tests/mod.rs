//! The API over a real unix socket, real HTTP and a real State; only log and containers are in memory.

mod client;
mod docker;
mod exec;
mod fake;
mod health;
mod hostile;
mod logs;
mod skein;
