//! `scalegate watch`: Deployments as they change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::arguments::{ScopeArgs, TypedName, WorkloadName, typed_name};
use super::columns::Columns;
use super::completion;
use super::connect::{ConnectArgs, Session};
use super::error::ClientError;
use super::follow::{Event, Follower};
use super::order::Order;
use super::show::{self, Form, FormArgs};
use super::table::{Paint, Widths};
use super::view::{Replicas, ageless};
use crate::cli::output;
use crate::text::escaped_json;

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WatchArgs {
    /// Only this Deployment, as NAMESPACE/NAME, or NAME with a namespace
    #[arg(value_parser = typed_name, conflicts_with_all = ["selector", "all_namespaces"], add = completion::names())]
    name: Option<TypedName>,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Shows changes until an error, or until the process is ended.
pub(super) async fn watch(args: &WatchArgs) -> Result<(), ClientError> {
    let session = args.connect.session()?;
    let (order, several) = args.order(&session)?;
    let form = args.form.output;
    let columns = Columns { namespace: several, wide: form == Form::Wide };
    let mut picture = Picture::default();
    let mut lines = Lines { form, columns, paint: Paint::of_stdout(), widths: None };
    let mut follower = Follower::new(&session.connection, order);
    loop {
        let event = follower.next().await?;
        for change in picture.learn(event) {
            lines.show(&change, &picture)?;
        }
    }
}

impl WatchArgs {
    fn order(&self, session: &Session) -> Result<(Order, bool), ClientError> {
        let usual = session.namespace.as_deref();
        if let Some(name) = &self.name {
            return Ok((Order::follow(&name.resolve(self.scope.namespace(), usual)?), false));
        }
        let selection = self.scope.selection(usual);
        Ok((Order::follow_all(&selection), selection.namespace.is_none()))
    }
}

/// What is new.
#[derive(Debug, Clone, PartialEq)]
enum News {
    /// A Deployment that is new or has changed.
    Changed(Value),
    /// One that is gone.
    Gone(WorkloadName),
    /// Everything is known, for the first time.
    Complete,
}

/// What is known of each Deployment, so that a new stream, which shows everything again, shows nothing twice.
#[derive(Debug, Default)]
struct Picture {
    known: BTreeMap<WorkloadName, Value>,
    /// What this stream has shown, until it has shown everything.
    shown: Option<BTreeSet<WorkloadName>>,
    is_complete: bool,
}

impl Picture {
    fn learn(&mut self, event: Event) -> Vec<News> {
        match event {
            Event::Begun => {
                self.shown = Some(BTreeSet::new());
                Vec::new()
            }
            Event::Replicas(answer) => self.changed(answer).into_iter().collect(),
            Event::Gone(name) => {
                let name = Replicas::of(&name).workload();
                self.known.remove(&name).map(|_| News::Gone(name)).into_iter().collect()
            }
            Event::Synced(_) => self.synced(),
        }
    }

    fn changed(&mut self, answer: Value) -> Option<News> {
        let name = Replicas::of(&answer).workload();
        if let Some(shown) = &mut self.shown {
            shown.insert(name.clone());
        }
        let now = ageless(&answer);
        let before = self.known.insert(name, now.clone());
        (before != Some(now)).then_some(News::Changed(answer))
    }

    fn synced(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        if let Some(shown) = self.shown.take() {
            let gone: Vec<_> = self.known.keys().filter(|name| !shown.contains(name)).cloned().collect();
            for name in gone {
                self.known.remove(&name);
                news.push(News::Gone(name));
            }
        }
        if !std::mem::replace(&mut self.is_complete, true) {
            news.push(News::Complete);
        }
        news
    }
}

/// Prints what is new.
struct Lines {
    form: Form,
    columns: Columns,
    paint: Paint,
    /// The widths of the first table, once it is printed.
    widths: Option<Widths>,
}

impl Lines {
    fn show(&mut self, news: &News, picture: &Picture) -> Result<(), ClientError> {
        match self.form {
            Form::Json => Ok(output::print_escaped(&format!("{}\n", escaped_json(&event(news).to_string())))?),
            Form::Yaml => Ok(output::print(&format!("---\n{}", show::yaml(&event(news))?))?),
            Form::Name => name(news),
            Form::Table | Form::Wide => self.row(news, picture),
        }
    }

    /// The first table has all rows, so that its columns fit; later rows follow one by one.
    fn row(&mut self, news: &News, picture: &Picture) -> Result<(), ClientError> {
        let row = match (news, &self.widths) {
            (News::Complete, _) => {
                let all: Vec<_> = picture.known.values().map(Replicas::of).collect();
                let table = self.columns.table(&all);
                self.widths = Some(table.widths());
                return Ok(output::print_escaped(&table.render(self.paint))?);
            }
            (_, None) => return Ok(()),
            (News::Changed(answer), Some(_)) => self.columns.row(&Replicas::of(answer)),
            (News::Gone(name), Some(_)) => self.columns.gone(&name.namespace, &name.name),
        };
        let line = self.widths.as_ref().map(|widths| widths.line(&row, self.paint));
        Ok(output::print_escaped(&line.unwrap_or_default())?)
    }
}

fn name(news: &News) -> Result<(), ClientError> {
    match news {
        News::Changed(answer) => show::names([Replicas::of(answer).workload().to_string()]),
        News::Gone(_) | News::Complete => Ok(()),
    }
}

/// As the gateway's stream has it.
fn event(news: &News) -> Value {
    match news {
        News::Changed(answer) => json!({ "event": "replicas", "data": answer }),
        News::Gone(WorkloadName { namespace, name }) => {
            json!({ "event": "gone", "data": { "namespace": namespace, "name": name } })
        }
        News::Complete => json!({ "event": "synced", "data": {} }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::view::fixtures::{cart, web};

    fn name(namespace: &str, name: &str) -> WorkloadName {
        WorkloadName { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn later_rows_keep_the_columns_of_the_first() {
        let (web, cart) = (Replicas::of(&web()), Replicas::of(&cart()));
        let columns = Columns { namespace: true, wide: false };
        let table = columns.table([&web, &cart]);
        let line = |row: Vec<_>| table.widths().line(&row, Paint::Plain);
        let rows = [line(columns.row(&web)), line(columns.gone("shop", "cart"))].concat();
        insta::assert_snapshot!("watched", table.render(Paint::Plain) + &rows);
        let documents = [News::Gone(name("shop", "cart")), News::Complete].map(|news| event(&news).to_string() + "\n");
        insta::assert_snapshot!("watched_as_json", documents.concat());
    }

    fn older(mut answer: Value) -> Value {
        answer["ageSeconds"] = 99.into();
        answer
    }

    #[test]
    fn a_second_stream_shows_only_what_has_changed_meanwhile() {
        let mut picture = Picture::default();
        let mut news =
            |events: Vec<Event>| events.into_iter().flat_map(|event| picture.learn(event)).collect::<Vec<_>>();
        let first = vec![Event::Begun, Event::Replicas(web()), Event::Replicas(cart()), Event::Synced(json!({}))];
        assert_eq!(news(first), [News::Changed(web()), News::Changed(cart()), News::Complete]);
        let again = vec![Event::Begun, Event::Replicas(older(web())), Event::Synced(json!({}))];
        assert_eq!(news(again), [News::Gone(name("shop", "cart"))]);
        let mut scaled = web();
        scaled["spec"]["replicas"] = 6.into();
        assert_eq!(news(vec![Event::Replicas(scaled.clone())]), [News::Changed(scaled)]);
        let gone = Event::Gone(json!({"kind": "Deployment", "namespace": "demo", "name": "web"}));
        assert_eq!(news(vec![gone.clone(), gone]), [News::Gone(name("demo", "web"))]);
    }
}
