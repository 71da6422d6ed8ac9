//! `scalegate get` and `list`: Deployments as they are.

use anyhow::anyhow;
use serde_json::Value;

use super::arguments::{NamespaceArgs, ScopeArgs, TypedName, typed_name};
use super::completion;
use super::connect::{ConnectArgs, Session};
use super::connection::Connection;
use super::error::ClientError;
use super::order::{Order, Selection};
use super::show::{self, FormArgs};
use crate::cli::output;

/// The most bytes of a whole list, and the most pages: far more than the largest cluster's.
const MAX_LIST_BYTES: usize = 256 << 20;
const MAX_PAGES: usize = 10_000;

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
    let (mut listing, mut seen) = (Listing::default(), Seen::default());
    let mut next: Option<String> = None;
    loop {
        let (page, bytes) = connection.send_measured(&Order::list(selection, next.as_deref())).await?;
        let following = listing.add(page);
        if following.is_none() {
            return Ok(listing);
        }
        if seen.is_endless(bytes, next.as_deref(), following.as_deref()) {
            let gateway = connection.authority();
            return Err(anyhow!("the list of {gateway} has no end: is it a scalegate gateway?").into());
        }
        next = following;
    }
}

impl Listing {
    /// Adds a page; what continues it.
    fn add(&mut self, mut page: Value) -> Option<String> {
        if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
            self.items.extend(items);
        }
        self.undecided = self.undecided.saturating_add(page["undecided"].as_u64().unwrap_or_default());
        page["continue"].as_str().map(str::to_owned)
    }
}

/// How much of a list there was.
#[derive(Debug, Default)]
struct Seen {
    bytes: usize,
    pages: usize,
}

impl Seen {
    /// Returns whether the list goes on for longer than any, or in a circle, after one more page of this size, which
    /// `this` led to and `next` continues.
    fn is_endless(&mut self, bytes: usize, this: Option<&str>, next: Option<&str>) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.pages += 1;
        this == next || self.bytes > MAX_LIST_BYTES || self.pages >= MAX_PAGES
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_of_any_shape_are_added() {
        let mut listing = Listing::default();
        let page = || json!({"items": [{"name": "web"}], "undecided": u64::MAX, "continue": "a"});
        assert_eq!((listing.add(page()), listing.add(page())), (Some("a".to_owned()), Some("a".to_owned())));
        assert_eq!((listing.items.len(), listing.undecided), (2, u64::MAX));
        for odd in [json!([]), json!("x"), json!(5), json!(null), json!({"items": 1, "continue": 1})] {
            assert_eq!(listing.add(odd), None);
        }
        assert_eq!(listing.items.len(), 2);
    }

    #[test]
    fn a_list_that_repeats_or_grows_without_end_is_endless() {
        assert!(!Seen::default().is_endless(10, None, Some("a")));
        assert!(!Seen::default().is_endless(10, Some("a"), Some("b")));
        assert!(Seen::default().is_endless(10, Some("a"), Some("a")));
        let mut large = Seen::default();
        let ends = (0..17).position(|page| large.is_endless(16 << 20, None, Some(&page.to_string())));
        assert_eq!(ends, Some(16), "256 MiB are allowed");
        let mut long = Seen::default();
        assert!((0..MAX_PAGES).any(|page| long.is_endless(0, None, Some(&page.to_string()))));
    }
}
