//! Sets all Deployments with the same labels: everything is decided first, and nothing is written if one is refused.

use futures::StreamExt;
use futures::stream;

use super::super::arguments::WorkloadName;
use super::super::error::ClientError;
use super::super::order::Order;
use super::super::read::listing;
use super::super::view::Replicas;
use super::super::wait::Wait;
use super::{Attempt, Outcome, SetArgs, Setting, outcome};
use crate::cli::output;
use crate::text::escaped;

/// How many requests are under way at once: a gateway allows one client more.
const AT_ONCE: usize = 8;

/// Sets those that `args` selects, and shows what happened.
pub(super) async fn set(setting: &Setting<'_>, args: &SetArgs) -> Result<(), ClientError> {
    let names = selected(setting, args).await?;
    let mut attempts = attempts(setting, names, async |name| setting.decide(name).await).await;
    let refused = attempts.iter().any(Attempt::is_failed);
    let consequence = match (args.dry_run, refused, args.partial) {
        (true, ..) => "",
        (false, true, false) => {
            attempts.iter_mut().for_each(Attempt::keep);
            ", so nothing was set (--partial sets the others)"
        }
        (false, ..) => {
            attempts = setting.carry_out(attempts).await;
            "; the others were set"
        }
    };
    outcome::show_all(args.form.output, &attempts)?;
    conclude(attempts, consequence)
}

/// The Deployments that are selected, of a namespace or of all: which one is never guessed.
async fn selected(setting: &Setting<'_>, args: &SetArgs) -> Result<Vec<WorkloadName>, ClientError> {
    let usual = setting.session.namespace.as_deref();
    if usual.is_none() && !args.scope.is_given() {
        return Err(ClientError::Usage("in which namespaces? Give -n NAMESPACE, or -A for all".to_owned()));
    }
    let listing = listing(&setting.session.connection, &args.scope.selection(usual)).await?;
    if listing.items.is_empty() {
        return Err(ClientError::NothingSelected(output::argument(args.scope.selector().unwrap_or_default())));
    }
    Ok(listing.items.iter().map(|item| Replicas::of(item).workload()).collect())
}

/// Does the same with each, several at once; the order stays.
async fn attempts<I>(setting: &Setting<'_>, names: I, what: impl AsyncFn(&WorkloadName) -> Outcome) -> Vec<Attempt>
where
    I: IntoIterator<Item = WorkloadName>,
{
    let what = &what;
    let each = names.into_iter().map(|name| async move {
        let outcome = what(&name).await;
        Attempt { name, replicas: setting.wanted.replicas, outcome }
    });
    stream::iter(each).buffered(AT_ONCE).collect().await
}

impl Setting<'_> {
    async fn decide(&self, name: &WorkloadName) -> Outcome {
        let tried = self.session.connection.send(&Order::try_set(name, &self.wanted)).await;
        tried.map_or_else(Outcome::Failed, Outcome::Would)
    }

    /// Sets those that are allowed, and waits for them, if that is wanted.
    async fn carry_out(&self, decided: Vec<Attempt>) -> Vec<Attempt> {
        let (failed, allowed): (Vec<_>, Vec<_>) = decided.into_iter().partition(Attempt::is_failed);
        let names = allowed.into_iter().map(|attempt| attempt.name);
        let store = async |name: &WorkloadName| self.store(name).await.map_or_else(Outcome::Failed, Outcome::Accepted);
        let mut done = attempts(self, names, store).await;
        if let Some(wait) = self.wait.map(Wait::new) {
            for attempt in &mut done {
                self.wait_for(attempt, wait).await;
            }
        }
        done.extend(failed);
        done.sort_by(|one, other| one.name.cmp(&other.name));
        done
    }

    async fn wait_for(&self, attempt: &mut Attempt, wait: Wait) {
        let Outcome::Accepted(accepted) = &attempt.outcome else { return };
        let ended = wait.until_ready(&self.session.connection, &attempt.name, accepted).await;
        let ready = |ready| Outcome::Ready { accepted: accepted.clone(), ready };
        attempt.outcome = ended.map_or_else(Outcome::Failed, ready);
    }
}

impl Attempt {
    fn is_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }

    /// Leaves it as it is.
    fn keep(&mut self) {
        if let Outcome::Would(answer) = &mut self.outcome {
            self.outcome = Outcome::Kept(answer.take());
        }
    }
}

/// The first failure, with the number of all.
fn conclude(attempts: Vec<Attempt>, consequence: &'static str) -> Result<(), ClientError> {
    let all = attempts.len();
    let mut failures = attempts.into_iter().filter_map(|attempt| match attempt.outcome {
        Outcome::Failed(error) => Some((attempt.name, error)),
        _ => None,
    });
    let Some((name, first)) = failures.next() else { return Ok(()) };
    let (name, first) = (escaped(&name.to_string()).into_owned(), Box::new(first));
    Err(ClientError::Several { failed: 1 + failures.count(), all, consequence, name, first })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_name_cannot_add_a_line_to_the_error() {
        let name = WorkloadName { namespace: "demo".to_owned(), name: "web\n  next: obey".to_owned() };
        let outcome = Outcome::Failed(ClientError::Overtaken("gone".to_owned()));
        let error = conclude(vec![Attempt { name, replicas: 1, outcome }], "").unwrap_err().to_string();
        assert!(error.contains(r"demo/web\n  next: obey") && error.lines().count() == 1, "{error}");
    }
}
