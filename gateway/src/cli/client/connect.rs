//! Which gateway a command asks, and as whom: flags, then the environment, then the current context.

use std::ffi::OsString;
use std::path::PathBuf;

use http::Uri;
use http::uri::PathAndQuery;

use super::completion;
use super::connection::{Connection, Gateway};
use super::contexts::{Context, ContextFile};
use super::error::ClientError;

/// The variables that name a gateway and certificates.
pub(super) const VARIABLES: [&str; 4] = ["SCALEGATE_SERVER", "SCALEGATE_CA", "SCALEGATE_CERT", "SCALEGATE_KEY"];

/// Reads a variable of the environment.
pub(super) type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Which gateway, and as whom.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ConnectArgs {
    /// The context to use instead of the current one and of the environment
    #[arg(long, value_name = "NAME", help_heading = "Connection", add = completion::contexts())]
    pub(super) context: Option<String>,
    /// The gateway's address, or else `SCALEGATE_SERVER`
    #[arg(long, value_name = "URL", value_parser = server, help_heading = "Connection")]
    pub(super) server: Option<Uri>,
    /// The CA of the gateway's certificate (PEM), or else `SCALEGATE_CA`
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub(super) ca: Option<PathBuf>,
    /// Your certificate chain (PEM), or else `SCALEGATE_CERT`
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub(super) cert: Option<PathBuf>,
    /// Your private key (PEM), or else `SCALEGATE_KEY`
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub(super) key: Option<PathBuf>,
}

/// A gateway to ask, and the namespace of names that have none.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) namespace: Option<String>,
}

/// What named a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Flag,
    NamedContext,
    Environment,
    CurrentContext,
}

/// What flags, environment and contexts say together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) gateway: Gateway,
    pub(super) namespace: Option<String>,
}

impl ConnectArgs {
    /// Opens a session; the connection is made with the first request.
    pub(super) fn session(&self) -> Result<Session, ClientError> {
        let Choice { gateway, namespace } = self.choice()?;
        Ok(Session { connection: Connection::new(gateway)?, namespace })
    }

    /// What this process says.
    pub(super) fn choice(&self) -> Result<Choice, ClientError> {
        self.choose(&variable)
    }

    fn choose(&self, variable: Variable<'_>) -> Result<Choice, ClientError> {
        let file = ContextFile::load(variable)?;
        let named = self.context.as_deref().map(|name| file.context(name)).transpose()?;
        let current = if named.is_some() { None } else { file.current()? };
        // A context that a flag names wins over the environment, as other flags do.
        let path = |flag: &Option<PathBuf>, name: &str, of: fn(&Context) -> &PathBuf| {
            let flag = flag.clone().map(|path| (path, Source::Flag));
            let named = || named.map(|context| (file.path(of(context)), Source::NamedContext));
            let variable = || variable(name).map(|path| (PathBuf::from(path), Source::Environment));
            let current = || current.map(|context| (file.path(of(context)), Source::CurrentContext));
            flag.or_else(named).or_else(variable).or_else(current)
        };
        let found = (
            self.address(named, current, variable)?,
            path(&self.ca, "SCALEGATE_CA", |context| &context.ca),
            path(&self.cert, "SCALEGATE_CERT", |context| &context.cert),
            path(&self.key, "SCALEGATE_KEY", |context| &context.key),
        );
        let (Some(server), Some((ca, _)), Some((cert, cert_source)), Some((key, key_source))) = found else {
            let (server, ca, cert, key) = found;
            let given = [server.is_some(), ca.is_some(), cert.is_some(), key.is_some()];
            return Err(ClientError::Usage(missing(given, &file)));
        };
        if cert_source != key_source {
            return Err(ClientError::Usage(unpaired(cert_source, key_source)));
        }
        let namespace = named.or(current).and_then(|context| context.namespace.clone());
        Ok(Choice { gateway: Gateway { server, ca, cert, key }, namespace })
    }

    fn address(
        &self,
        named: Option<&Context>,
        current: Option<&Context>,
        variable: Variable<'_>,
    ) -> Result<Option<Uri>, ClientError> {
        let of = |context: &Context| server(&context.server).map_err(|wrong| usage("a context's server", &wrong));
        if let Some(server) = &self.server {
            return Ok(Some(server.clone()));
        }
        if named.is_some() {
            return named.map(of).transpose();
        }
        match variable("SCALEGATE_SERVER") {
            Some(text) => {
                let text = text.to_string_lossy();
                server(&text).map(Some).map_err(|wrong| usage("SCALEGATE_SERVER", &wrong))
            }
            None => current.map(of).transpose(),
        }
    }
}

/// A variable of this process that is not empty.
pub(super) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn usage(what: &str, wrong: &str) -> ClientError {
    ClientError::Usage(format!("{what}: {wrong}"))
}

/// What nothing names, and the ways to name it.
fn missing(given: [bool; 4], file: &ContextFile) -> String {
    let flags = ["--server", "--ca", "--cert", "--key"];
    let left = |names: [&str; 4]| {
        let left = names.into_iter().zip(given).filter(|(_, given)| !given).map(|(name, _)| name);
        left.collect::<Vec<_>>().join(", ")
    };
    let contexts = if file.names().is_empty() {
        "save it once with `scalegate config set-context NAME --server https://HOST:PORT --ca FILE --cert FILE --key FILE`"
            .to_owned()
    } else {
        format!("choose a context with `scalegate config use-context NAME` ({})", file.names().join(", "))
    };
    let what = if given[0] { "with which certificates?" } else { "which gateway?" };
    format!("{what} Give {}, or set {}, or {contexts}", left(flags), left(VARIABLES))
}

/// Why a certificate and a key that two sources name are not used together, although they might be a pair: more often
/// they are of two clients.
fn unpaired(cert: Source, key: Source) -> String {
    let said = |source, flag: &'static str, variable: &'static str| match source {
        Source::Flag => flag,
        Source::NamedContext => "the context of --context",
        Source::Environment => variable,
        Source::CurrentContext => "the current context",
    };
    let give = match (cert, key) {
        (Source::Flag, _) => "give --key too",
        (_, Source::Flag) => "give --cert too",
        (Source::Environment, _) => "set SCALEGATE_KEY too, or unset SCALEGATE_CERT",
        // A context has both.
        _ => "set SCALEGATE_CERT too, or unset SCALEGATE_KEY",
    };
    let (cert, key) = (said(cert, "--cert", "SCALEGATE_CERT"), said(key, "--key", "SCALEGATE_KEY"));
    format!("the certificate is from {cert}, and its key from {key}: {give}")
}

/// An address without a path.
pub(super) fn server(text: &str) -> Result<Uri, String> {
    let wrong = || "it takes https://HOST:PORT".to_owned();
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let bare = matches!(uri.path_and_query().map(PathAndQuery::as_str), None | Some("/"));
    let Some(authority) = uri.authority().filter(|_| uri.scheme_str() == Some("https") && bare) else {
        return Err(wrong());
    };
    if authority.as_str().contains('@') {
        return Err("it takes https://HOST:PORT, without a user and password".to_owned());
    }
    let port = authority.as_str().strip_prefix(authority.host()).ok_or_else(wrong)?;
    if authority.host().is_empty() || !(port.is_empty() || is_port(port)) {
        return Err(wrong());
    }
    Ok(uri)
}

/// Returns whether this is a colon and the number of a port.
fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse::<u16>().ok()).is_some_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::HashMap;
    use std::fs;
    use std::path::Path;

    use super::*;

    const FILE: &str = "currentContext: dev\ncontexts:\n  \
        dev: { server: 'https://dev:1', ca: ca.pem, cert: dev.pem, key: dev-key.pem, namespace: demo }\n  \
        other: { server: 'https://other:1', ca: /o/ca.pem, cert: /o/c.pem, key: /o/k.pem }\n";

    struct Place {
        directory: tempfile::TempDir,
        variables: HashMap<&'static str, OsString>,
    }

    impl Place {
        fn new(file: &str) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("config.yaml");
            fs::write(&path, file).unwrap();
            Self { directory, variables: HashMap::from([("SCALEGATE_CONFIG", path.into())]) }
        }

        fn with(mut self, name: &'static str, value: &str) -> Self {
            self.variables.insert(name, value.into());
            self
        }

        fn choose(&self, args: &ConnectArgs) -> Result<Choice, ClientError> {
            args.choose(&|name| self.variables.get(name).cloned())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_current_context() {
        let place = Place::new(FILE);
        let context = place.choose(&ConnectArgs::default()).unwrap();
        assert_eq!(context.gateway.server, "https://dev:1");
        assert_eq!(context.gateway.key, place.path("dev-key.pem"), "from where the file is");
        assert_eq!(context.namespace.as_deref(), Some("demo"));

        let place = place.with("SCALEGATE_SERVER", "https://env:1");
        let place = place.with("SCALEGATE_CERT", "/env.pem").with("SCALEGATE_KEY", "/env-key.pem");
        let environment = place.choose(&ConnectArgs::default()).unwrap().gateway;
        assert_eq!((environment.server.host(), environment.cert.as_path()), (Some("env"), Path::new("/env.pem")));
        assert_eq!(environment.ca, place.path("ca.pem"));

        let flags = ConnectArgs { server: Some(server("https://flag:1").unwrap()), ..ConnectArgs::default() };
        assert_eq!(place.choose(&flags).unwrap().gateway.server, "https://flag:1");
        let named = ConnectArgs { context: Some("other".to_owned()), ..ConnectArgs::default() };
        let chosen = place.choose(&named).unwrap();
        assert_eq!((chosen.gateway.server.host(), chosen.namespace), (Some("other"), None));
        assert_eq!(chosen.gateway.cert, Path::new("/o/c.pem"));
    }

    #[test]
    fn a_certificate_and_its_key_come_from_one_source() {
        let cert = ConnectArgs { cert: Some("/me.pem".into()), ..ConnectArgs::default() };
        let key = ConnectArgs { key: Some("/me-key.pem".into()), ..ConnectArgs::default() };
        let named = ConnectArgs { context: Some("other".to_owned()), ..cert.clone() };
        let (none, both) = (ConnectArgs::default(), ConnectArgs { key: key.key.clone(), ..cert.clone() });
        let with = |name| Place::new(FILE).with(name, "/env.pem");
        let mixed = [
            (Place::new(FILE), &cert),
            (Place::new(FILE), &key),
            (Place::new(FILE), &named),
            (with("SCALEGATE_KEY"), &cert),
            (with("SCALEGATE_CERT"), &key),
            (with("SCALEGATE_CERT"), &none),
            (with("SCALEGATE_KEY"), &none),
        ];
        let said = mixed.map(|(place, args)| {
            let error = place.choose(args).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
            format!("{error}\n")
        });
        insta::assert_snapshot!("a_pair_of_two_sources", said.concat());
        for place in [Place::new(FILE), with("SCALEGATE_CERT"), with("SCALEGATE_KEY")] {
            assert_eq!(place.choose(&both).unwrap().gateway.key, Path::new("/me-key.pem"));
        }
        let other = ConnectArgs { context: Some("other".to_owned()), ..ConnectArgs::default() };
        assert_eq!(with("SCALEGATE_CERT").choose(&other).unwrap().gateway.cert, Path::new("/o/c.pem"));
    }

    #[test]
    fn what_is_missing_is_named_with_the_ways_to_give_it() {
        let error = Place::new("").choose(&ConnectArgs::default()).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        insta::assert_snapshot!("nothing_names_a_gateway", error.to_string());
        let place = Place::new("contexts:\n  dev: { server: 'https://dev:1', ca: a, cert: b, key: c }\n");
        let part = place.with("SCALEGATE_SERVER", "https://env:1").choose(&ConnectArgs::default()).unwrap_err();
        insta::assert_snapshot!("no_context_is_chosen", part.to_string());
    }

    #[test]
    fn a_file_that_says_something_unknown_is_an_error() {
        for wrong in ["contexts: { dev: { server: x } }", "context: dev", "currentContext: none", "- x", "contexts: ["]
        {
            assert_eq!(Place::new(wrong).choose(&ConnectArgs::default()).unwrap_err().exit_code(), 2, "{wrong}");
        }
        let unknown = ConnectArgs { context: Some("prod".to_owned()), ..ConnectArgs::default() };
        let error = Place::new(FILE).choose(&unknown).unwrap_err().to_string();
        assert!(error.contains("no context prod") && error.contains("dev, other"), "{error}");
        let long = ConnectArgs { context: Some("x".repeat(5000)), ..ConnectArgs::default() };
        let error = Place::new(FILE).choose(&long).unwrap_err().to_string();
        assert!(error.contains("xxx… in ") && error.len() < 1000, "{error}");
        let http = Place::new("").with("SCALEGATE_SERVER", "http://localhost").choose(&ConnectArgs::default());
        assert_eq!(http.unwrap_err().to_string(), "SCALEGATE_SERVER: it takes https://HOST:PORT");
    }

    #[test]
    fn a_server_is_a_https_url_without_a_path() {
        for good in ["https://localhost:8443", "https://[::1]:8443/", "https://gate.example"] {
            assert!(server(good).is_ok(), "{good}");
        }
        for bad in ["localhost:8443", "http://localhost", "https://gate.example/v1", "https://", "", "https://:8443"] {
            assert!(server(bad).is_err(), "{bad}");
        }
        for port in ["84430", "18443x", "0", "+1", "", "x"] {
            assert!(server(&format!("https://localhost:{port}")).is_err(), "{port}");
            assert!(server(&format!("https://[::1]:{port}")).is_err(), "{port}");
        }
        let user = server("https://user:secret@localhost:8443").unwrap_err();
        assert_eq!(user, "it takes https://HOST:PORT, without a user and password");
    }
}
