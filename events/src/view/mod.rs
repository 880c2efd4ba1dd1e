//! Projections: what others need to know of State, computed and never stored.

pub mod assignment;
pub mod dns;
pub mod overlay;
pub mod summary;
