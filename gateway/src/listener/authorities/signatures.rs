//! Remembers which signatures of certificates and revocation lists were verified.
//!
//! That a key made a signature stays true, so it is computed once. Everything that can change is still checked in each
//! handshake: the path to a CA, validity and revocation. The signature with which a client proves that it has its key
//! differs in each handshake, and is never remembered.

use std::collections::HashSet;
use std::fmt;
use std::mem::take;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{self, SHA256};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{AlgorithmIdentifier, FipsStatus, InvalidSignature, SignatureVerificationAlgorithm};

/// How many signatures each of the two generations has. Together they take 2 MB at most.
const GENERATION: usize = 16 << 10;

/// The default algorithms. Those for certificates and revocation lists verify each signature once.
pub(in crate::listener) fn algorithms() -> WebPkiSupportedAlgorithms {
    // rustls takes only static algorithms.
    static REMEMBERING: LazyLock<Vec<Remembering>> = LazyLock::new(|| {
        let verified = Arc::default();
        let algorithms = default_provider().signature_verification_algorithms.all.iter();
        algorithms.map(|algorithm| Remembering { algorithm: *algorithm, verified: Arc::clone(&verified) }).collect()
    });
    static ALL: LazyLock<Vec<&dyn SignatureVerificationAlgorithm>> =
        LazyLock::new(|| REMEMBERING.iter().map(|algorithm| algorithm as _).collect());
    WebPkiSupportedAlgorithms { all: &ALL, ..default_provider().signature_verification_algorithms }
}

/// An algorithm that verifies each signature once.
struct Remembering {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    verified: Arc<Mutex<Verified>>,
}

/// Valid signatures, each as the digest of the algorithm, the key, the message and the signature, in two generations.
/// When the young one is full, it becomes the old one, and the old one is dropped. A signature that is used becomes young
/// again.
#[derive(Default)]
struct Verified {
    young: HashSet<[u8; 32]>,
    old: HashSet<[u8; 32]>,
}

impl SignatureVerificationAlgorithm for Remembering {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let digest = self.digest([key, message, signature]);
        if !self.verified().contains(&digest) {
            self.algorithm.verify_signature(key, message, signature)?;
            self.verified().add(digest);
        }
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }

    fn fips_status(&self) -> FipsStatus {
        self.algorithm.fips_status()
    }

    fn fips(&self) -> bool {
        self.algorithm.fips()
    }
}

impl Remembering {
    fn digest(&self, parts: [&[u8]; 3]) -> [u8; 32] {
        let mut context = digest::Context::new(&SHA256);
        let (of_key, of_signature) = (self.public_key_alg_id(), self.signature_alg_id());
        for part in [of_key.as_ref(), of_signature.as_ref()].into_iter().chain(parts) {
            // With its length, so that no part passes for the beginning of the next.
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }

    fn verified(&self) -> MutexGuard<'_, Verified> {
        // A panic while the lock was held loses signatures at most.
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Remembering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.algorithm.fmt(f)
    }
}

impl Verified {
    fn contains(&mut self, digest: &[u8; 32]) -> bool {
        let is_old = self.old.remove(digest);
        if is_old {
            self.add(*digest);
        }
        is_old || self.young.contains(digest)
    }

    fn add(&mut self, digest: [u8; 32]) {
        if self.young.len() >= GENERATION {
            self.old = take(&mut self.young);
        }
        self.young.insert(digest);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use rustls::pki_types::alg_id;

    use super::*;

    /// Takes signatures that equal the message.
    #[derive(Debug)]
    struct Counting(AtomicU32);

    impl SignatureVerificationAlgorithm for Counting {
        fn verify_signature(&self, _: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
            self.0.fetch_add(1, Relaxed);
            if message == signature { Ok(()) } else { Err(InvalidSignature) }
        }

        fn public_key_alg_id(&self) -> AlgorithmIdentifier {
            alg_id::ECDSA_P256
        }

        fn signature_alg_id(&self) -> AlgorithmIdentifier {
            alg_id::ECDSA_SHA256
        }
    }

    #[test]
    fn a_valid_signature_is_verified_once_and_an_invalid_one_each_time() {
        static COUNTING: Counting = Counting(AtomicU32::new(0));
        let remembering = Remembering { algorithm: &COUNTING, verified: Arc::default() };
        let verify = |key: &str, message: &str, signature: &str| {
            let verified = remembering.verify_signature(key.as_bytes(), message.as_bytes(), signature.as_bytes());
            (verified.is_ok(), COUNTING.0.load(Relaxed))
        };
        assert_eq!(verify("key", "text", "text"), (true, 1));
        assert_eq!(verify("key", "text", "text"), (true, 1));
        assert_eq!(verify("keyt", "ext", "ext"), (true, 2), "other bytes of the same text");
        assert_eq!(verify("key", "text", "other"), (false, 3));
        assert_eq!(verify("key", "text", "other"), (false, 4));
        assert_eq!(verify("key", "text", "text"), (true, 4));
    }

    #[test]
    fn what_is_used_is_kept_and_the_rest_is_dropped() {
        let mut verified = Verified::default();
        let digest = |number: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            digest
        };
        for number in 0..10 * GENERATION {
            verified.add(digest(number));
            assert!(verified.contains(&digest(0)) && verified.contains(&digest(number)));
        }
        assert!(!verified.contains(&digest(1)));
        assert!(verified.young.len() + verified.old.len() <= 2 * GENERATION);
    }

    #[test]
    fn only_the_algorithms_of_certificates_remember() {
        let (ours, default) = (algorithms(), default_provider().signature_verification_algorithms);
        assert_eq!(ours.all.len(), default.all.len());
        let is_default =
            |one: &dyn SignatureVerificationAlgorithm| default.all.iter().any(|other| std::ptr::addr_eq(one, *other));
        assert!(!ours.all.iter().any(|one| is_default(*one)));
        assert!(ours.mapping.iter().flat_map(|(_, each)| *each).all(|one| is_default(*one)));
    }
}
