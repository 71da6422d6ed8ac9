//! Whether what was loaded may take the place of what serves: never the worse that of the better.

use std::path::PathBuf;

use jiff::Timestamp;
use thiserror::Error;

use super::authorities::Authorities;
use super::tls::{Server, Tls};
use crate::identity::{TrustDomain, Validity};

/// Why what serves is better than what was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SuccessionError {
    /// The new server certificate has expired.
    #[error(
        "{}: the new certificate has ended at {not_after}, and the one that serves holds until {serves_until}: issue it anew",
        file.display()
    )]
    Expired {
        /// The file.
        file: PathBuf,
        /// The new certificate's end.
        not_after: Timestamp,
        /// The end of the one that serves.
        serves_until: Timestamp,
    },
    /// The new server certificate is not valid yet.
    #[error(
        "{}: the new certificate holds from {not_before} on only, and the one that serves holds now; it will be tried again",
        file.display()
    )]
    Early {
        /// The file.
        file: PathBuf,
        /// The new certificate's beginning.
        not_before: Timestamp,
    },
    /// No valid client CA would be left for a trust domain that has one now.
    #[error(
        "none of the new client CAs of trust domain {0} is valid now, but a CA in use is: all of that domain's clients would be refused; the files will be tried again"
    )]
    NoValidCa(TrustDomain),
    /// A new revocation list is past its `nextUpdate`.
    #[error("the new revocation list of {issuer} is past its nextUpdate, {next_update}: publish a fresh one")]
    ListOver {
        /// The issuer.
        issuer: String,
        /// Its end.
        next_update: Timestamp,
    },
    /// A revocation list is older than the one of the same issuer that serves.
    #[error(
        "the revocation list of {issuer} is older than the one that serves (by its number or its thisUpdate): it could bring back what was revoked since"
    )]
    ListOlder {
        /// The issuer.
        issuer: String,
    },
    /// A client CA that had a revocation list has none now.
    #[error(
        "client CA {issuer} had a revocation list and has none now: what it has revoked would get in again (to give it up, restart the gateway)"
    )]
    ListGone {
        /// The CA.
        issuer: String,
    },
}

/// Checks that `new` may take the place of `serving`.
pub(super) fn check(serving: &Tls, new: &Tls, now: Timestamp) -> Result<(), SuccessionError> {
    check_server(&serving.server, &new.server, now)?;
    if let Some(domain) = new.authorities.lost_domain(&serving.authorities, now) {
        return Err(SuccessionError::NoValidCa(domain.clone()));
    }
    check_lists(&serving.authorities, &new.authorities, now)
}

fn check_server(serving: &Server, new: &Server, now: Timestamp) -> Result<(), SuccessionError> {
    // Of two that do not hold, the newer one is as good.
    if new.holds(now) || !serving.holds(now) || new == serving {
        return Ok(());
    }
    let (file, Validity { not_before, not_after }) = (new.file.clone(), new.validity);
    Err(if not_after < now {
        SuccessionError::Expired { file, not_after, serves_until: serving.validity.not_after }
    } else {
        SuccessionError::Early { file, not_before }
    })
}

fn check_lists(serving: &Authorities, new: &Authorities, now: Timestamp) -> Result<(), SuccessionError> {
    for list in &new.lists {
        let issuer = list.issuer.clone();
        let before = serving.lists.iter().find(|before| before.is_of_same_issuer(list));
        if before.is_some_and(|before| list.is_older_than(before)) {
            return Err(SuccessionError::ListOlder { issuer });
        }
        // One that has ended while it serves must not keep a new certificate of the server out.
        let was_over = before.is_some_and(|before| before.is_over(now));
        if let Some(next_update) = list.next_update
            && list.is_over(now)
            && !was_over
        {
            return Err(SuccessionError::ListOver { issuer, next_update });
        }
    }
    match new.lost_list(serving) {
        Some(issuer) => Err(SuccessionError::ListGone { issuer: issuer.to_owned() }),
        None => Ok(()),
    }
}
