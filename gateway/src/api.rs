//! What clients can ask of the gateway.
//!
//! [`Operations`] is what can be done, whatever the transport; [`HttpApi`] is the door for HTTP with JSON. An
//! [`Error`] is the only way in which an operation fails.

mod cursor;
mod error;
mod health;
mod http;
mod metrics;
mod operations;
mod selector;
mod view;

pub use self::cursor::Cursors;
pub use self::error::Error;
pub use self::http::{HttpApi, HttpLimits};
pub use self::metrics::ApiMetrics;
pub use self::operations::Operations;
