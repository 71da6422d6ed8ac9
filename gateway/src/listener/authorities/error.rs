//! Why the CAs of clients cannot be used.

use std::path::PathBuf;

use thiserror::Error;

use crate::pem::{PemError, Place};

/// Why client CAs and their revocation lists cannot be used. Each error names its file.
#[derive(Debug, Error)]
pub enum AuthoritiesError {
    /// A file is no usable PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A client CA cannot be used.
    #[error("{place}: cannot be a client CA: {cause}")]
    Ca {
        /// Which certificate.
        place: Place,
        /// Why.
        cause: String,
    },
    /// The list of denied clients cannot be used.
    #[error("{}: is not a valid list of denied clients: {cause}", file.display())]
    Denied {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: String,
    },
    /// A revocation list cannot be used.
    #[error("{place}: is not a valid revocation list: {cause}")]
    RevocationList {
        /// Which list.
        place: Place,
        /// Why.
        cause: String,
    },
}
