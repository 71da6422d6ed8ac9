//! `scalegate release`: stops managing a Deployment.

use serde_json::Value;

use super::arguments::{NameArgs, WorkloadName};
use super::connect::{ConnectArgs, Session};
use super::connection::Connection;
use super::error::ClientError;
use super::order::Order;
use super::show::{self, Form, FormArgs};
use super::table::{Cell, Table};
use super::view::Replicas;

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ReleaseArgs {
    #[command(flatten)]
    workload: NameArgs,
    /// Say what would happen, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Releases, and shows what happened.
pub(super) async fn release(args: &ReleaseArgs) -> Result<(), ClientError> {
    let Session { connection, namespace } = args.connect.session()?;
    let name = args.workload.resolve(namespace.as_deref())?;
    let order = if args.dry_run { Order::try_release(&name) } else { Order::release(&name) };
    match args.form.output {
        form @ (Form::Json | Form::Yaml) => show::document(form, &connection.send(&order).await?),
        Form::Name => {
            connection.send(&order).await?;
            show::names([name.to_string()])
        }
        Form::Table | Form::Wide => {
            let (answer, result) = outcome(&connection, &name, args.dry_run).await?;
            let mut table = Table::new(vec!["NAMESPACE", "NAME", "REPLICAS", "RESULT"]);
            let replicas = Cell::number(Replicas::of(&answer).current());
            table.push(vec![Cell::new(&name.namespace), Cell::new(&name.name), replicas, Cell::new(result)]);
            show::table(&table)
        }
    }
}

/// The last answer, and what happened. A release is tried first: its own answer does not say whether the Deployment was
/// managed.
async fn outcome(
    connection: &Connection,
    name: &WorkloadName,
    dry_run: bool,
) -> Result<(Value, &'static str), ClientError> {
    match connection.send(&Order::try_release(name)).await {
        Ok(answer) if !Replicas::of(&answer).is_managed() => return Ok((answer, "not managed")),
        Ok(answer) if dry_run => return Ok((answer, "would be released")),
        // A Deployment that is gone may have left its target behind, and what is refused is refused on record.
        Err(ClientError::Problem(_)) if !dry_run => {}
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    Ok((connection.send(&Order::release(name)).await?, "released"))
}
