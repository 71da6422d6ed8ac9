//! `scalegate whoami`: whom the certificate names, and whether the gateway accepts it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::columns::ago;
use super::connect::{Choice, ConnectArgs};
use super::connection::Connection;
use super::error::ClientError;
use super::order::Order;
use super::show::{self, Form, FormArgs};
use crate::cli::output;
use crate::identity::{self, Client};
use crate::text::escaped;

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WhoamiArgs {
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Shows the certificate's client first, since the gateway may refuse it.
pub(super) async fn whoami(args: &WhoamiArgs) -> Result<(), ClientError> {
    let Choice { gateway, .. } = args.connect.choice()?;
    let certificate = gateway.certificate()?;
    let client = identity::claimed(&certificate)
        .map_err(|error| ClientError::Usage(format!("{}: {error}", gateway.cert.display())))?;
    let form = args.form.output;
    if matches!(form, Form::Table | Form::Wide) {
        output::print(&lines(&client, Timestamp::now()))?;
    }
    let connection = Connection::new(gateway)?;
    let version = connection.send(&Order::version()).await?;
    match form {
        Form::Table | Form::Wide => output::print(&line("gateway", &accepted(connection.authority(), &version)))?,
        Form::Name => show::names([client.id])?,
        Form::Json | Form::Yaml => {
            let gateway = json!({ "server": connection.authority(), "version": version["version"] });
            show::document(form, &json!({ "client": client, "gateway": gateway }))?;
        }
    }
    Ok(())
}

fn accepted(authority: &str, version: &Value) -> String {
    format!("{authority} accepts it (version {})", version["version"].as_str().unwrap_or_default())
}

fn lines(client: &Client, now: Timestamp) -> String {
    let groups = if client.groups.is_empty() { "<none>".to_owned() } else { client.groups.join(", ") };
    let left = client.not_after.duration_since(now).as_secs_f64();
    let end = if left > 0.0 { format!("{} left", ago(left)) } else { format!("ended {} ago", ago(-left)) };
    [
        line("id", &client.id),
        line("groups", &groups),
        line("serial", &client.serial),
        line("valid until", &format!("{:.0} ({end})", client.not_after)),
    ]
    .concat()
}

fn line(name: &str, value: &str) -> String {
    format!("{:<13}{}\n", format!("{name}:"), escaped(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client {
            id: "uri:spiffe://example.org/ci".to_owned(),
            trust_domain: "example.org".to_owned(),
            groups: vec!["ci".to_owned(), "builders".to_owned()],
            serial: "8a0102".to_owned(),
            not_after: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_certificate_is_shown_with_what_is_left_of_it() {
        let before = Timestamp::from_second(-3 * 86_400).unwrap_or_default();
        let after = Timestamp::from_second(7200).unwrap_or_default();
        let both = format!("{}\n{}", lines(&client(), before), lines(&Client { groups: vec![], ..client() }, after));
        insta::assert_snapshot!("whoami", both);
    }

    #[test]
    fn a_version_cannot_add_a_line() {
        let version = serde_json::json!({"version": "1)\nid: other"});
        assert_eq!(line("gateway", &accepted("g", &version)).lines().count(), 1);
    }
}
