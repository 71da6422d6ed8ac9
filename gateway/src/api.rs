//! What clients can ask of the gateway.
//!
//! [`Operations`] is what can be done, whatever the transport; [`HttpApi`] is the door for HTTP with JSON: it makes an
//! operation of a request, has it performed, and renders what comes of it. An [`Error`] is the only way in which that fails.

mod cursor;
mod error;
mod health;
mod http;
mod metrics;
mod operation;
mod operations;
mod selector;
mod view;

pub use self::cursor::Cursors;
pub use self::error::Error;
pub use self::http::{HttpApi, HttpLimits};
pub use self::metrics::ApiMetrics;
pub use self::operations::Operations;
