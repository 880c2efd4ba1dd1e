//! The inside of a container's root file system, handled from outside: paths, users, the overlay mount.

mod copy;
pub(crate) mod mount;
pub(crate) mod overlay;
pub(crate) mod path;
pub(crate) mod prepare;
pub(crate) mod user;
