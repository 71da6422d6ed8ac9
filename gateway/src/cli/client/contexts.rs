//! Contexts: named gateways and certificates, in a file.
//!
//! The file is `${XDG_CONFIG_HOME:-~/.config}/scalegate/config.yaml`, or the one that `SCALEGATE_CONFIG` names.

mod commands;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use scalegate_certs::files::{self, Secrecy};
use serde::{Deserialize, Serialize};

use super::connect::Variable;
use super::error::ClientError;
use crate::cli::output;

pub(super) use commands::{ConfigCommand, run};

/// A gateway, and as whom to ask it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Context {
    pub(super) server: String,
    /// Paths in the file start where the file is.
    pub(super) ca: PathBuf,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    /// Where names are that have no namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Contexts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current_context: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

/// The file of contexts. One that does not exist has none.
#[derive(Debug)]
pub(super) struct ContextFile {
    /// `None` where the environment names neither the file nor a home.
    path: Option<PathBuf>,
    contexts: Contexts,
}

impl ContextFile {
    /// Reads the file that the environment names.
    pub(super) fn load(variable: Variable<'_>) -> Result<Self, ClientError> {
        let Some(path) = location(variable) else { return Ok(Self { path: None, contexts: Contexts::default() }) };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(ClientError::Usage(format!("{}: cannot be read: {error}", path.display()))),
        };
        let contexts: Option<Contexts> = serde_saphyr::from_str(&text)
            .map_err(|error| ClientError::Usage(format!("{}: is not a file of contexts: {error}", path.display())))?;
        Ok(Self { path: Some(path), contexts: contexts.unwrap_or_default() })
    }

    /// The names of all contexts.
    pub(super) fn names(&self) -> Vec<&str> {
        self.contexts.contexts.keys().map(String::as_str).collect()
    }

    /// The context of this name.
    pub(super) fn context(&self, name: &str) -> Result<&Context, ClientError> {
        self.contexts.contexts.get(name).ok_or_else(|| self.no_context(name))
    }

    /// The context that is used unless another is named.
    pub(super) fn current(&self) -> Result<Option<&Context>, ClientError> {
        self.contexts.current_context.as_deref().map(|name| self.context(name)).transpose()
    }

    /// A path in the file, from where this process is.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        let directory = self.path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        directory.join(path)
    }

    fn no_context(&self, name: &str) -> ClientError {
        let names = self.names();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let name = output::argument(name);
        ClientError::Usage(format!("there is no context {name} in {}; there is: {there}", self.place()))
    }

    fn place(&self) -> String {
        self.path.as_deref().map_or_else(|| "any file".to_owned(), |path| path.display().to_string())
    }

    /// Writes the file at once, for its owner alone.
    fn store(&self) -> Result<(), ClientError> {
        let path = self.path.as_deref().ok_or_else(|| {
            ClientError::Usage("where is the file of contexts? Set SCALEGATE_CONFIG, or HOME".to_owned())
        })?;
        // A link stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let yaml = serde_saphyr::to_string(&self.contexts).map_err(anyhow::Error::from)?;
        Ok(files::write(&path, &yaml, Secrecy::Private).map_err(anyhow::Error::from)?)
    }
}

fn location(variable: Variable<'_>) -> Option<PathBuf> {
    if let Some(named) = variable("SCALEGATE_CONFIG") {
        return Some(named.into());
    }
    let home = || variable("HOME").map(|home| Path::new(&home).join(".config"));
    // The XDG base directory specification ignores relative paths.
    let config = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or_else(home)?;
    Some(config.join("scalegate/config.yaml"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::ffi::OsString;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_where_the_variable_or_the_xdg_directories_say() {
        let located = |set: &[(&str, &str)]| {
            location(&|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value)))
        };
        assert_eq!(located(&[("HOME", "/h")]), Some("/h/.config/scalegate/config.yaml".into()));
        assert_eq!(located(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]), Some("/x/scalegate/config.yaml".into()));
        assert_eq!(
            located(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "x")]),
            Some("/h/.config/scalegate/config.yaml".into())
        );
        assert_eq!(located(&[("HOME", "/h"), ("SCALEGATE_CONFIG", "c.yaml")]), Some("c.yaml".into()));
        assert_eq!(located(&[]), None);
    }

    #[test]
    fn what_is_written_is_read_again_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/config.yaml");
        let variable = |name: &str| (name == "SCALEGATE_CONFIG").then(|| path.clone().into_os_string());
        let mut file = ContextFile::load(&variable).unwrap();
        assert!(file.names().is_empty() && file.current().unwrap().is_none());
        let context = Context {
            server: "https://[::1]:8443".to_owned(),
            ca: "/ca.pem".into(),
            cert: "/a: b.pem".into(),
            key: "/key.pem".into(),
            namespace: Some("demo".to_owned()),
        };
        file.contexts.contexts.insert("dev".to_owned(), context);
        file.contexts.current_context = Some("dev".to_owned());
        file.store().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ContextFile::load(&variable).unwrap().contexts, file.contexts);
    }
}
