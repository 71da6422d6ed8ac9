//! Contexts: named gateways and certificates, in a file.
//!
//! The file is `${XDG_CONFIG_HOME:-~/.config}/scalegate/config.yaml`, or the one that `SCALEGATE_CONFIG` names.

mod commands;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use scalegate_certs::files::{self, Secrecy};
use serde::{Deserialize, Serialize};

use super::connect::Variable;
use super::error::ClientError;
use crate::cli::output;

pub(super) use commands::{ConfigCommand, run};

/// The most bytes of a file of contexts.
const MAX_BYTES: u64 = 1024 * 1024;

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
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(ClientError::Usage(format!("{}: cannot be read: {error}", path.display()))),
        };
        // Without the lines around the mistake: the variable may name a private key by mistake.
        let contexts: Option<Contexts> = serde_saphyr::from_str(&text).map_err(|error| {
            let wrong = error.without_snippet();
            ClientError::Usage(format!("{}: is not a file of contexts: {wrong}", path.display()))
        })?;
        Ok(Self { path: Some(path), contexts: contexts.unwrap_or_default() })
    }

    /// The names of all contexts.
    pub(super) fn names(&self) -> Vec<&str> {
        self.contexts.contexts.keys().map(String::as_str).collect()
    }

    /// The names that no shell takes for anything else.
    pub(super) fn plain_names(&self) -> Vec<&str> {
        self.names().into_iter().filter(|name| is_plain(name)).collect()
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

    /// Changes the file that the environment names, while nobody else does. Returns it, with what `change` says.
    fn change<T>(
        variable: Variable<'_>,
        change: impl FnOnce(&mut Self) -> Result<T, ClientError>,
    ) -> Result<(Self, T), ClientError> {
        // What is no file of contexts gets no lock beside it.
        let lock = Self::load(variable)?.lock()?;
        let mut file = Self::load(variable)?;
        let said = change(&mut file)?;
        file.store()?;
        drop(lock);
        Ok((file, said))
    }

    /// Waits for those who change the file, and keeps them from it until the lock is dropped.
    fn lock(&self) -> Result<File, ClientError> {
        let path = self.target()?.with_added_extension("lock");
        let locked = || {
            fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            let file = File::options().create(true).append(true).mode(0o600).open(&path)?;
            file.lock()?;
            Ok::<_, io::Error>(file)
        };
        Ok(locked().with_context(|| format!("cannot lock {}", path.display()))?)
    }

    /// Where the file is written: a link stays one.
    fn target(&self) -> Result<PathBuf, ClientError> {
        let path = self.path.as_deref().ok_or_else(|| {
            ClientError::Usage("where is the file of contexts? Set SCALEGATE_CONFIG, or HOME".to_owned())
        })?;
        Ok(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
    }

    /// Writes the file at once, for its owner alone.
    fn store(&self) -> Result<(), ClientError> {
        let yaml = serde_saphyr::to_string(&self.contexts).map_err(anyhow::Error::from)?;
        Ok(files::write(&self.target()?, &yaml, Secrecy::Private).map_err(anyhow::Error::from)?)
    }
}

/// Returns whether every shell takes this name of a context as it is.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@/:".contains(&byte);
    (1..=253).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('-')
}

fn read(path: &Path) -> io::Result<String> {
    // Opening a pipe would block on its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_BYTES} bytes")));
    }
    Ok(text)
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
    use std::thread;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    /// What is wrong with the file at `path`.
    fn refusal(path: &Path) -> String {
        let error = ContextFile::load(&|name| (name == "SCALEGATE_CONFIG").then(|| path.into())).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    }

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

    #[test]
    fn a_private_key_is_no_file_of_contexts_and_stays_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        for begin in ["-----BEGIN PRIVATE KEY-----", "currentContext: [", "- x\n", "contexts:\n  dev: x\n  "] {
            fs::write(&path, format!("{begin}\nMIIsecretMIIsecret\n-----END PRIVATE KEY-----\n")).unwrap();
            let said = refusal(&path);
            assert!(said.contains("key.pem: is not a file of contexts") && said.contains("line "), "{said}");
            assert!(!said.contains("MIIsecret"), "{said}");
        }
    }

    #[test]
    fn only_a_regular_file_of_bounded_size_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let (pipe, large) = (directory.path().join("pipe"), directory.path().join("large"));
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        File::create(&large).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert!(refusal(&pipe).ends_with("it is not a regular file"));
        assert!(refusal(Path::new("/dev/zero")).ends_with("it is not a regular file"));
        assert!(refusal(&large).ends_with("it is larger than 1048576 bytes"));
    }

    #[test]
    fn a_name_that_needs_quotes_is_read_and_not_offered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        let context = "{ server: 'https://dev:1', ca: a, cert: b, key: c }";
        fs::write(&path, format!("contexts:\n  dev: {context}\n  '$(touch x)': {context}\n")).unwrap();
        let file =
            ContextFile::load(&|name| (name == "SCALEGATE_CONFIG").then(|| path.clone().into_os_string())).unwrap();
        assert!(file.context("$(touch x)").is_ok());
        assert_eq!(file.plain_names(), ["dev"]);
    }

    #[test]
    fn changes_at_the_same_time_are_all_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/config.yaml");
        let variable = |name: &str| (name == "SCALEGATE_CONFIG").then(|| path.clone().into_os_string());
        let save = |name: String| {
            ContextFile::change(&variable, |file| {
                // Nobody else has the lock now.
                let lock = File::open(path.with_added_extension("lock")).unwrap();
                assert!(lock.try_lock().is_err());
                let [server, ca, cert, key] = ["https://gate:1", "/ca.pem", "/cert.pem", "/key.pem"].map(str::to_owned);
                let context = Context { server, ca: ca.into(), cert: cert.into(), key: key.into(), namespace: None };
                file.contexts.contexts.insert(name, context);
                Ok(())
            })
            .unwrap()
        };
        thread::scope(|scope| {
            for thread in 0..8 {
                let save = &save;
                scope.spawn(move || save(format!("context-{thread}")));
            }
        });
        assert_eq!(ContextFile::load(&variable).unwrap().names().len(), 8);
    }
}
