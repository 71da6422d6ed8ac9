//! `scalegate version`: this client's version and the gateway's.

use serde_json::json;

use super::connect::{ConnectArgs, Session};
use super::error::ClientError;
use super::order::Order;
use super::show::{self, Form, FormArgs};
use crate::cli::output;
use crate::text::escaped;

/// This client's version.
const CLIENT: &str = env!("CARGO_PKG_VERSION");

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct VersionArgs {
    /// The client's alone; asks no gateway
    #[arg(long)]
    client: bool,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Shows both versions, this client's first, since the gateway may not answer.
pub(super) async fn version(args: &VersionArgs) -> Result<(), ClientError> {
    let form = args.form.output;
    let is_text = !matches!(form, Form::Json | Form::Yaml);
    if is_text {
        output::print(&format!("client: {CLIENT}\n"))?;
    }
    if args.client {
        return if is_text { Ok(()) } else { show::document(form, &json!({ "client": CLIENT })) };
    }
    let Session { connection, .. } = args.connect.session()?;
    let answer = connection.send(&Order::version()).await?;
    let gateway = answer["version"].as_str().unwrap_or_default();
    if is_text {
        output::print(&format!("gateway: {}\n", escaped(gateway)))?;
    } else {
        show::document(form, &json!({ "client": CLIENT, "gateway": answer }))?;
    }
    if differ(CLIENT, gateway) {
        output::note(&format!(
            "the client is {CLIENT} and the gateway {gateway}: take a client of the gateway's version, as some requests may be refused or understood otherwise"
        ))?;
    }
    Ok(())
}

/// Returns whether two versions differ in more than the patch.
fn differ(client: &str, gateway: &str) -> bool {
    let release = |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    release(client) != release(gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_differ_in_major_or_minor() {
        assert!(!differ("0.1.0", "0.1.7") && !differ("1.2.3", "1.2.0-rc.1"));
        assert!(differ("0.1.0", "0.2.0") && differ("1.0.0", "2.0.0") && differ("0.1.0", "unknown"));
    }
}
