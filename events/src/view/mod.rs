//! Projections: what others need to know of State, computed and never stored.

pub mod absence;
pub mod assignment;
pub mod diff;
pub mod dns;
pub mod field;
pub mod overlay;
mod shown;
pub mod summary;
pub mod whole;
