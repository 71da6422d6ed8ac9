//! `scalegate get` and `list`: Deployments as they are.

use serde_json::Value;

use super::arguments::{NamespaceArgs, ScopeArgs, TypedName, typed_name};
use super::completion;
use super::connect::{ConnectArgs, Session};
use super::connection::Connection;
use super::error::ClientError;
use super::order::{Order, Selection};
use super::show::{self, FormArgs};
use crate::cli::output;

/// The arguments of `get`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct GetArgs {
    /// The Deployments, each as NAMESPACE/NAME, or NAME with a namespace
    #[arg(required = true, value_name = "NAME", value_parser = typed_name, add = completion::names())]
    names: Vec<TypedName>,
    #[command(flatten)]
    place: NamespaceArgs,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// The arguments of `list`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// What a list shows.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) items: Vec<Value>,
    /// How many the policies gave no verdict on.
    pub(super) undecided: u64,
}

/// Shows the named Deployments, and then the first error, if there is one.
pub(super) async fn get(args: &GetArgs) -> Result<(), ClientError> {
    let Session { connection, namespace } = args.connect.session()?;
    let names = args.names.iter().map(|name| args.place.resolve(name, namespace.as_deref()));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let (mut items, mut failures) = (Vec::new(), Vec::new());
    for name in &names {
        match connection.send(&Order::get(name)).await {
            Ok(answer) => items.push(answer),
            Err(error) => failures.push(error),
        }
    }
    if !items.is_empty() {
        let whole = if names.len() == 1 { items[0].clone() } else { show::list(&items, 0) };
        show::deployments(args.form.output, false, &items, &whole)?;
    }
    let mut failures = failures.into_iter();
    let first = failures.next();
    for other in failures {
        output::note(&format!("scalegate: {other}"))?;
    }
    first.map_or(Ok(()), Err)
}

/// Shows the Deployments that the caller may see.
pub(super) async fn list(args: &ListArgs) -> Result<(), ClientError> {
    let Session { connection, namespace } = args.connect.session()?;
    let selection = args.scope.selection(namespace.as_deref());
    let Listing { items, undecided } = listing(&connection, &selection).await?;
    show::deployments(args.form.output, selection.namespace.is_none(), &items, &show::list(&items, undecided))?;
    if items.is_empty() {
        output::note(&selection.nothing_seen())?;
    }
    if undecided > 0 {
        output::note(&format!("{undecided} more are not shown: the policies gave no verdict on them"))?;
    }
    Ok(())
}

/// Every page of a list.
pub(super) async fn listing(connection: &Connection, selection: &Selection) -> Result<Listing, ClientError> {
    let mut listing = Listing::default();
    let mut next: Option<String> = None;
    loop {
        let mut page = connection.send(&Order::list(selection, next.as_deref())).await?;
        if let Value::Array(items) = page["items"].take() {
            listing.items.extend(items);
        }
        listing.undecided += page["undecided"].as_u64().unwrap_or_default();
        next = page["continue"].as_str().map(str::to_owned);
        if next.is_none() {
            return Ok(listing);
        }
    }
}
