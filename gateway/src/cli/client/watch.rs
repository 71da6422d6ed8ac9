//! `scalegate watch`: Deployments as they change.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::arguments::{ScopeArgs, TypedName, WorkloadName, typed_name};
use super::columns::Columns;
use super::completion;
use super::connect::{ConnectArgs, Session};
use super::error::ClientError;
use super::follow::{Event, Follower};
use super::order::{Order, Selection};
use super::show::{self, Form, FormArgs};
use super::table::{Cell, Paint, Widths};
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

/// Shows changes until an error, until nobody reads them any further, or until the process is ended.
pub(super) async fn watch(args: &WatchArgs) -> Result<(), ClientError> {
    let session = args.connect.session()?;
    let (order, selection) = args.order(&session)?;
    let form = args.form.output;
    let several = selection.as_ref().is_some_and(|selection| selection.namespace.is_none());
    let mut picture = Picture::default();
    let mut lines = Lines::new(form, Columns { namespace: several, wide: form == Form::Wide }, Paint::of_stdout());
    let mut follower = Follower::new(&session.connection, order);
    loop {
        let event = follower.next().await?;
        for change in picture.learn(event) {
            if lines.show(&change, &picture)?.is_break() {
                return Ok(());
            }
            if let (News::Complete, Some(selection), true) = (&change, &selection, picture.known.is_empty()) {
                output::note(&format!("{} yet", selection.nothing_seen()))?;
            }
        }
    }
}

impl WatchArgs {
    /// What to follow, and which Deployments it selects if it is not one by name.
    fn order(&self, session: &Session) -> Result<(Order, Option<Selection>), ClientError> {
        let usual = session.namespace.as_deref();
        if let Some(name) = &self.name {
            return Ok((Order::follow(&name.resolve(self.scope.namespace(), usual)?), None));
        }
        let selection = self.scope.selection(usual);
        Ok((Order::follow_all(&selection), Some(selection)))
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
#[derive(Debug, Clone, Default)]
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
    /// How wide the columns are by now, once the first table is printed.
    widths: Option<Widths>,
    /// The last row of each Deployment, without its age.
    rows: BTreeMap<WorkloadName, String>,
}

impl Lines {
    fn new(form: Form, columns: Columns, paint: Paint) -> Self {
        Self { form, columns, paint, widths: None, rows: BTreeMap::new() }
    }

    fn show(&mut self, news: &News, picture: &Picture) -> Result<ControlFlow<()>, ClientError> {
        let text = match self.form {
            Form::Json => format!("{}\n", escaped_json(&event(news).to_string())),
            Form::Yaml => format!("---\n{}", show::yaml(&event(news))?),
            Form::Name => name(news),
            Form::Table | Form::Wide => self.text(news, picture),
        };
        Ok(output::print_part(&text)?)
    }

    /// The first table has all rows, so that its columns fit; later rows follow one by one.
    fn text(&mut self, news: &News, picture: &Picture) -> String {
        match news {
            News::Complete => self.first(picture),
            // The first table has it.
            _ if self.widths.is_none() => String::new(),
            News::Changed(answer) if self.says_more(answer) => self.row(&self.columns.row(&Replicas::of(answer))),
            News::Changed(_) => String::new(),
            News::Gone(name) => {
                self.rows.remove(name);
                self.row(&self.columns.gone(&name.namespace, &name.name))
            }
        }
    }

    /// Nothing has no header: the first row brings it.
    fn first(&mut self, picture: &Picture) -> String {
        for answer in picture.known.values() {
            self.says_more(answer);
        }
        let all: Vec<_> = picture.known.values().map(Replicas::of).collect();
        let table = self.columns.table(&all);
        self.widths = Some(if all.is_empty() { Widths::default() } else { table.widths() });
        if all.is_empty() { String::new() } else { table.render(self.paint) }
    }

    /// Returns whether the row of a Deployment differs from the one before, and remembers it: much of what changes in an
    /// answer is in no column.
    fn says_more(&mut self, answer: &Value) -> bool {
        let replicas = Replicas::of(&ageless(answer));
        let row = Widths::default().line(&self.columns.row(&replicas), self.paint);
        self.rows.insert(replicas.workload(), row.clone()) != Some(row)
    }

    /// A row in the columns of those before. One that needs wider columns has a header again.
    fn row(&mut self, row: &[Cell]) -> String {
        let table = self.columns.table_of([row.to_vec()]);
        let before = self.widths.take().unwrap_or_default();
        let widths = before.or_wider(&table.widths());
        let text = if widths == before { widths.line(row, self.paint) } else { table.render_in(&widths, self.paint) };
        self.widths = Some(widths);
        text
    }
}

fn name(news: &News) -> String {
    match news {
        News::Changed(answer) => show::lines([Replicas::of(answer).workload().to_string()]),
        News::Gone(_) | News::Complete => String::new(),
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

    /// What a stream of these events prints.
    fn printed(columns: Columns, events: Vec<Event>) -> String {
        let (mut picture, mut lines) = (Picture::default(), Lines::new(Form::Table, columns, Paint::Plain));
        let news: Vec<_> = events.into_iter().map(|event| (picture.learn(event), picture.clone())).collect();
        news.iter().flat_map(|(news, then)| news.iter().map(|one| lines.text(one, then)).collect::<Vec<_>>()).collect()
    }

    fn gone(answer: &Value) -> Event {
        Event::Gone(json!({"kind": "Deployment", "namespace": answer["namespace"], "name": answer["name"]}))
    }

    #[test]
    fn later_rows_keep_the_columns_of_those_before_or_have_a_header_again() {
        let (mut scaled, mut unseen) = (web(), web());
        scaled["spec"]["replicas"] = 6.into();
        unseen["target"]["decisionId"] = "another".into();
        let mut long = cart();
        long["name"] = "a-much-longer-name".into();
        let text = printed(
            Columns { namespace: true, wide: false },
            vec![
                Event::Begun,
                Event::Replicas(web()),
                Event::Replicas(cart()),
                Event::Synced(json!({})),
                Event::Replicas(scaled),
                Event::Replicas(web()),
                // Nothing of this is in a column.
                Event::Replicas(unseen),
                Event::Replicas(long),
                gone(&cart()),
            ],
        );
        insta::assert_snapshot!("watched", text);
        let documents = [News::Gone(name("shop", "cart")), News::Complete].map(|news| event(&news).to_string() + "\n");
        insta::assert_snapshot!("watched_as_json", documents.concat());
    }

    #[test]
    fn the_first_row_after_nothing_brings_the_header() {
        let columns = Columns { namespace: false, wide: true };
        let begin = || vec![Event::Begun, Event::Synced(json!({}))];
        assert_eq!(printed(columns, begin()), "");
        let text = printed(columns, [begin(), vec![Event::Replicas(web()), Event::Replicas(older(web()))]].concat());
        assert!(text.starts_with("NAME ") && text.lines().count() == 2, "{text}");
        let again = [begin(), vec![Event::Replicas(web()), gone(&web()), Event::Replicas(web())]].concat();
        assert_eq!(printed(columns, again).lines().filter(|line| line.starts_with("web ")).count(), 3);
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
