//! `scalegate check-policies`: what is wrong with a directory of policies, before a gateway meets it.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use crate::policy::{Engine, PolicySet};

/// Prints the digest of a good set; the error says everything that is wrong with a bad one.
pub(super) fn check_policies(directory: &Path) -> Result<()> {
    let set = PolicySet::load(&Engine::new()?, directory)?;
    writeln!(std::io::stdout(), "{}: a good set of policies, digest {}", directory.display(), set.digest())?;
    Ok(())
}
