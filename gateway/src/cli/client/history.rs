//! `scalegate history`: who changed a count, when and why.

use jiff::Timestamp;
use serde_json::Value;

use super::arguments::NameArgs;
use super::columns::ago;
use super::connect::{ConnectArgs, Session};
use super::error::ClientError;
use super::order::Order;
use super::show::{self, Form, FormArgs};
use super::table::{Cell, Table};
use crate::cli::output;

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct HistoryArgs {
    #[command(flatten)]
    workload: NameArgs,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Shows the last changes of a Deployment's count, the latest first.
pub(super) async fn history(args: &HistoryArgs) -> Result<(), ClientError> {
    let Session { connection, namespace } = args.connect.session()?;
    let name = args.workload.resolve(namespace.as_deref())?;
    let answer = connection.send(&Order::history(&name)).await?;
    let changes: Vec<&Value> = answer["changes"].as_array().into_iter().flatten().collect();
    match args.form.output {
        form @ (Form::Json | Form::Yaml) => show::document(form, &answer)?,
        Form::Name => show::names([name.to_string()])?,
        form if !changes.is_empty() => show::table(&table(&changes, form == Form::Wide, Timestamp::now()))?,
        _ => output::note(&format!("{name} has no changes on record: a target remembers ten, until it is released"))?,
    }
    Ok(())
}

fn table(changes: &[&Value], wide: bool, now: Timestamp) -> Table {
    let mut header = vec!["AGE", "FROM", "TO", "BY", "REASON"];
    if wide {
        header.push("DECISION");
    }
    let mut table = Table::new(header);
    for change in changes {
        let text = |key: &str| Cell::maybe(change[key].as_str());
        let at = change["at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
        let mut row = vec![
            Cell::maybe(at.map(|at| ago(now.duration_since(at).as_secs_f64())).as_deref()),
            Cell::number(change["from"].as_i64()),
            Cell::number(change["to"].as_i64()),
            text("requestedBy"),
            text("reason"),
        ];
        if wide {
            row.push(text("decisionId"));
        }
        table.push(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::table::Paint;

    #[test]
    fn changes_are_shown_with_who_asked_and_why() {
        let set = json!({
            "at": "2026-11-27T18:00:00Z", "from": 3, "to": 5, "requestedBy": "uri:spiffe://example.org/ci",
            "reason": "launch", "decisionId": "01a2",
        });
        let drift = json!({
            "at": "2026-11-27T18:01:00Z", "from": 1, "to": 5, "requestedBy": null,
            "reason": "drift corrected, set by `kubectl`", "decisionId": null,
        });
        let now = Timestamp::from_second(1_795_802_400 + 180).unwrap_or_default();
        insta::assert_snapshot!("history", table(&[&drift, &set], true, now).render(Paint::Plain));
    }
}
