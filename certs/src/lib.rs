//! Certificates for developing and testing scalegate: never for production, where a real authority issues them.
//!
//! # Layout
//!
//! - [`authority`]: a [`CertificateAuthority`] signs leaves and revocation lists in memory
//! - [`leaf`]: a [`LeafSpec`] says what a certificate holds, the right and the wrong alike
//! - [`validity`]: from when to when
//! - [`read`]: what a certificate or revocation list in a file holds
//! - [`files`]: whole files with the right mode, or none
//! - [`development`]: the set of files that `make certs` keeps fresh
//!
//! Tests that need an odd certificate make it from the first two:
//!
//! ```
//! use scalegate_certs::{CertificateAuthority, LeafSpec, Validity};
//!
//! # fn main() -> Result<(), scalegate_certs::CertError> {
//! let authority = CertificateAuthority::new("test", Validity::days(1))?;
//! let ambiguous = LeafSpec::client("two").uri("spiffe://test/a").uri("spiffe://test/b");
//! let issued = authority.issue(&ambiguous)?;
//! assert!(issued.cert_pem.starts_with("-----BEGIN CERTIFICATE-----"));
//! # Ok(())
//! # }
//! ```

pub mod authority;
pub mod development;
pub mod files;
pub mod leaf;
pub mod read;
pub mod validity;

pub use authority::{CertError, CertificateAuthority, Issued, Serial};
pub use development::{DevelopmentError, Options, refresh};
pub use leaf::{LeafSpec, Profile, Purpose};
pub use validity::Validity;
