//! Whether a client may: the only place that makes a [`Permit`].

mod action;
mod budget;
pub mod document;
mod engine;
mod permit;
mod rego;

pub use action::{Action, Get, Release, Set};
pub use budget::Budget;
pub use engine::{Engine, EngineError};
pub use permit::{DecisionId, Denied, Permit};
