//! `scalegate policies`: which policies decide.

use jiff::Timestamp;
use serde_json::Value;

use super::columns::ago;
use super::connect::{ConnectArgs, Session};
use super::error::ClientError;
use super::order::Order;
use super::show::{self, Form, FormArgs};
use super::table::{Cell, Table};
use crate::cli::output;

/// How much of a digest is shown: enough to tell two apart.
const SHORT: usize = 12;

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PoliciesArgs {
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Shows the modules that serve, and why newer ones do not.
pub(super) async fn policies(args: &PoliciesArgs) -> Result<(), ClientError> {
    let Session { connection, .. } = args.connect.session()?;
    let answer = connection.send(&Order::policies()).await?;
    match args.form.output {
        form @ (Form::Json | Form::Yaml) => show::document(form, &answer)?,
        Form::Name => show::names(modules(&answer).map(|module| text(module, "name").to_owned()))?,
        form => show::table(&table(&answer, form == Form::Wide, Timestamp::now()))?,
    }
    if let Some(message) = answer["lastError"]["message"].as_str() {
        output::note(&format!("newer policies do not serve: {message}"))?;
    }
    Ok(())
}

fn modules(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["modules"].as_array().into_iter().flatten()
}

fn text<'a>(module: &'a Value, key: &str) -> &'a str {
    module[key].as_str().unwrap_or_default()
}

fn table(answer: &Value, wide: bool, now: Timestamp) -> Table {
    let since = answer["since"].as_str().and_then(|since| since.parse::<Timestamp>().ok());
    let age = since.map(|since| ago(now.duration_since(since).as_secs_f64()));
    let shown = |digest: &str| if wide { digest.to_owned() } else { digest.chars().take(SHORT).collect() };
    let mut table = Table::new(vec!["NAME", "MODE", "SHA256", "SET", "AGE"]);
    for module in modules(answer) {
        table.push(vec![
            Cell::new(text(module, "name")),
            Cell::new(text(module, "mode")),
            Cell::new(&shown(text(module, "sha256"))),
            Cell::new(&shown(text(answer, "digest"))),
            Cell::maybe(age.as_deref()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::table::Paint;

    #[test]
    fn modules_are_shown_with_the_age_of_their_set() {
        let answer = json!({
            "digest": "ab".repeat(32), "since": "2026-11-27T18:00:00Z",
            "modules": [{"name": "roles", "sha256": "01".repeat(32), "mode": "enforce"}],
        });
        let now: Timestamp = Timestamp::from_second(1_795_802_400 + 180).unwrap_or_default();
        insta::assert_snapshot!("policies", table(&answer, false, now).render(Paint::Plain));
    }
}
