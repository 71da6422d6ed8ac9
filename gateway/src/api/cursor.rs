//! Where a list goes on: the last name that was looked at, sealed.
//!
//! A list may end on a Deployment that its caller may not see, so the cursor must not show the name; and one that the
//! caller made up would let it probe for names.
//!
//! Every gateway with the same server key opens the others' cursors, and those that were sealed under its own key before
//! the last rotation. While a new key is on its way to all of them, one that does not have it yet refuses the cursors of
//! those that do: the client begins its list anew.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::{error::Unspecified, rand};

use crate::hex;
use crate::identity::ClientIdentity;
use crate::workload::{WorkloadKind, WorkloadRef};

/// The longest namespace, a slash and the longest name, in bytes. All cursors are made as long, so that none shows the
/// length of a name.
const LONGEST: usize = 63 + 1 + 253;
/// What follows the name; no name has it.
const PADDING: u8 = b' ';

/// Seals and opens cursors.
#[derive(Debug)]
pub struct Cursors(ArcSwap<Keys>);

#[derive(Debug)]
struct Keys {
    current: Arc<LessSafeKey>,
    /// For cursors that were handed out before the last rotation.
    previous: Option<Arc<LessSafeKey>>,
}

impl Cursors {
    /// Cursors under a key derived from `secret`, which must have the entropy of a private key.
    ///
    /// # Errors
    ///
    /// When the cryptographic library fails, which it does for no secret that is known.
    pub fn new(secret: &[u8]) -> Result<Self, Unspecified> {
        Ok(Self(ArcSwap::from_pointee(Keys { current: derive(secret)?, previous: None })))
    }

    /// Seals by a key derived from `secret` from now on. What was sealed by the key before still opens.
    ///
    /// # Errors
    ///
    /// As [`Cursors::new`]; the key before stays.
    pub fn rotate(&self, secret: &[u8]) -> Result<(), Unspecified> {
        let previous = Some(self.0.load().current.clone());
        self.0.store(Arc::new(Keys { current: derive(secret)?, previous }));
        Ok(())
    }

    /// The cursor after `name`, for `client` and its list of that kind in `namespace`.
    pub(super) fn seal(
        &self,
        client: &ClientIdentity,
        namespace: Option<&str>,
        name: &WorkloadRef,
    ) -> Result<String, Unspecified> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce)?;
        let mut sealed = format!("{}/{}", name.namespace, name.name).into_bytes();
        sealed.resize(LONGEST.max(sealed.len()), PADDING);
        let scope = scope(client, name.kind, namespace);
        let once = Nonce::assume_unique_for_key(nonce);
        self.0.load().current.seal_in_place_append_tag(once, Aad::from(scope), &mut sealed)?;
        Ok(hex::encode([&nonce[..], &sealed].concat()))
    }

    /// What was sealed for the same client and list; `None` for anything else.
    pub(super) fn open(
        &self,
        client: &ClientIdentity,
        kind: WorkloadKind,
        namespace: Option<&str>,
        cursor: &str,
    ) -> Option<WorkloadRef> {
        let (bytes, scope) = (hex::decode(cursor)?, scope(client, kind, namespace));
        let keys = self.0.load();
        let mut keys = [Some(&keys.current), keys.previous.as_ref()].into_iter().flatten();
        let opened = keys.find_map(|key| open(key, &scope, &bytes))?;
        let padded = std::str::from_utf8(&opened).ok()?;
        let (namespace, name) = padded.trim_end_matches(char::from(PADDING)).split_once('/')?;
        Some(WorkloadRef::new(kind, namespace, name))
    }
}

fn derive(secret: &[u8]) -> Result<Arc<LessSafeKey>, Unspecified> {
    let key = Salt::new(HKDF_SHA256, b"scalegate list cursor 1").extract(secret);
    let material = key.expand(&[b"aes-256-gcm"], &AES_256_GCM)?;
    Ok(Arc::new(LessSafeKey::new(UnboundKey::from(material))))
}

fn open(key: &LessSafeKey, scope: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut sealed = sealed.to_vec();
    let length = key.open_in_place(nonce, Aad::from(scope), &mut sealed).ok()?.len();
    sealed.truncate(length);
    Some(sealed)
}

/// Whose cursor it is, and of which list. No id and no namespace has a NUL in it.
fn scope(client: &ClientIdentity, kind: WorkloadKind, namespace: Option<&str>) -> String {
    format!("{}\0{}\0{kind}\0{}", client.trust_domain(), client.id(), namespace.unwrap_or("*"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::identity::fixtures::client;

    const KIND: WorkloadKind = WorkloadKind::Deployment;

    #[test]
    fn a_cursor_opens_for_its_client_and_list_alone_and_shows_no_name() {
        let cursors = Cursors::new(b"key").unwrap();
        let name = WorkloadRef::deployment("secret", "web");
        let (ann, bob) = (client("ann"), client("bob"));
        let cursor = cursors.seal(&ann, None, &name).unwrap();
        assert!(!cursor.contains("web"));
        let longer = WorkloadRef::deployment("a-namespace-with-a-longer-name", "and-a-deployment-too");
        assert_eq!(cursors.seal(&ann, None, &longer).unwrap().len(), cursor.len(), "its length shows no name");
        assert_eq!(cursors.open(&ann, KIND, None, &cursor), Some(name.clone()));
        assert_eq!(cursors.open(&bob, KIND, None, &cursor), None);
        assert_eq!(cursors.open(&ann, KIND, Some("secret"), &cursor), None);
        assert_eq!(Cursors::new(b"key").unwrap().open(&ann, KIND, None, &cursor), Some(name), "another gateway");
        assert_eq!(Cursors::new(b"other").unwrap().open(&ann, KIND, None, &cursor), None);
    }

    #[test]
    fn a_cursor_outlives_one_rotation_of_the_key_and_not_two() {
        let (cursors, ann) = (Cursors::new(b"first").unwrap(), client("ann"));
        let name = WorkloadRef::deployment("demo", "web");
        let first = cursors.seal(&ann, None, &name).unwrap();
        cursors.rotate(b"second").unwrap();
        let second = cursors.seal(&ann, None, &name).unwrap();
        assert_eq!(cursors.open(&ann, KIND, None, &first), Some(name.clone()));
        assert_eq!(cursors.open(&ann, KIND, None, &second), Some(name.clone()));
        assert_eq!(
            Cursors::new(b"second").unwrap().open(&ann, KIND, None, &second),
            Some(name.clone()),
            "another gateway"
        );
        assert_eq!(Cursors::new(b"first").unwrap().open(&ann, KIND, None, &second), None, "one without the new key");
        cursors.rotate(b"third").unwrap();
        assert_eq!(cursors.open(&ann, KIND, None, &first), None);
        assert_eq!(cursors.open(&ann, KIND, None, &second), Some(name));
    }

    #[test]
    fn what_was_never_sealed_does_not_open() {
        let cursors = Cursors::new(b"key").unwrap();
        for cursor in ["", "0", "zz", "demo/web", &"00".repeat(11), &"00".repeat(64), "é"] {
            assert_eq!(cursors.open(&client("ann"), KIND, None, cursor), None, "{cursor}");
        }
    }
}
