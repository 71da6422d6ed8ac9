//! Paths through a graph.

use super::answer::Items;
use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::policy::rego::EvalError;
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[("graph.reachable_paths", reachable_paths)];

/// How many steps a path may have; the walk is as deep as the path is long.
const MOST_STEPS: usize = 1_000;

/// The longest paths from each of the nodes. One that meets itself ends before it, but in OPA not at its second node.
fn reachable_paths(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::Object(graph), nodes] = arguments else { return Err(Stop::Undefined) };
    let nodes = nodes.members().ok_or(Stop::Undefined)?;
    let mut walk = Walk { graph, context, path: Vec::new(), paths: Items::new(context) };
    for node in nodes {
        walk.from(node)?;
    }
    Ok(walk.paths.set())
}

struct Walk<'a> {
    graph: &'a [(Term, Term)],
    context: &'a Context,
    path: Vec<&'a Term>,
    paths: Items<'a>,
}

impl<'a> Walk<'a> {
    fn from(&mut self, node: &'a Term) -> Result<(), EvalError> {
        let Some(edges) = Term::get(self.graph, node) else { return Ok(()) };
        self.path.push(node);
        let next = edges.members().unwrap_or_default();
        if next.is_empty() {
            self.keep()?;
        }
        for node in next {
            self.on(node)?;
        }
        self.path.pop();
        Ok(())
    }

    fn on(&mut self, node: &'a Term) -> Result<(), EvalError> {
        self.context.deadline.check()?;
        let Some(edges) = Term::get(self.graph, node) else { return self.keep() };
        if self.path.len() == MOST_STEPS {
            let problem = format!("graph.reachable_paths with paths of more than {MOST_STEPS} nodes");
            return Err(EvalError::Unsupported(problem));
        }
        self.path.push(node);
        let next = edges.members().unwrap_or_default();
        if next.is_empty() {
            self.keep()?;
        }
        for node in next {
            if self.path.iter().any(|passed| passed.equals(node)) { self.keep()? } else { self.on(node)? }
        }
        self.path.pop();
        Ok(())
    }

    fn keep(&mut self) -> Result<(), EvalError> {
        let bytes = self.path.iter().map(|node| node.to_json().len() + 2).sum();
        self.context.within(bytes)?;
        self.paths.add(Term::Array(self.path.iter().copied().cloned().collect()), bytes)
    }
}
