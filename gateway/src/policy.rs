//! Whether a client may: the only place that makes a [`Permit`].

mod action;
pub mod document;
mod permit;

pub use action::{Action, Get, Release, Set};
pub use permit::{DecisionId, Denied, Permit};
