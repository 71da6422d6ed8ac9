//! The compiled example policies, and where a gateway evaluates them.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::paths::repository;

/// Where a gateway evaluates the development policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deciding {
    /// On the threads that serve requests: the policy has the default deadline.
    Inline,
    /// In slots beside them: the policy has a deadline that is too long for that.
    Pooled,
}

impl Deciding {
    /// Both ways.
    pub const ALL: [Self; 2] = [Self::Inline, Self::Pooled];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Pooled => "pooled",
        }
    }
}

/// Copies the compiled example policy set `variant` (`normal` or `freeze`) into `directory`.
pub fn copy(variant: &str, directory: &Path) -> Result<()> {
    copy_deciding(variant, Deciding::Inline, directory)
}

/// The same, with a deadline by which a gateway decides so.
pub fn copy_deciding(variant: &str, deciding: Deciding, directory: &Path) -> Result<()> {
    let source = repository().join("target/policies").join(variant);
    ensure!(source.join("policies.yaml").is_file(), "no policies in {}: run `make policies`", source.display());
    std::fs::create_dir_all(directory)?;
    let mut index = std::fs::read_to_string(source.join("policies.yaml"))?;
    ensure!(!index.contains("deadline:") && index.contains("    budget:\n"), "a budget without a deadline: {index}");
    if deciding == Deciding::Pooled {
        index = index.replace("    budget:\n", "    budget:\n      deadline: 1s\n");
    }
    let module = std::fs::read(source.join("scalegate.wasm"))?;
    // The index last, so that a reload in between finds the modules that it names.
    for (name, content) in [("scalegate.wasm", module), ("policies.yaml", index.into_bytes())] {
        let new = directory.join(format!(".{name}.new"));
        std::fs::write(&new, content)?;
        std::fs::rename(&new, directory.join(name))?;
    }
    Ok(())
}
