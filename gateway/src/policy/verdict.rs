//! What the modules of a set say together about one question.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use super::bounds;
use super::document::{Input, Verdict};
use super::input::Tags;
use super::set::{BoundModule, Matching, PolicySet};
use crate::audit::{ModuleRecord, NamedInput};

/// A question, and the very bytes that modules read.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) input: Input,
    pub(super) json: String,
}

impl Question {
    pub(super) fn new(input: Input) -> Result<Self, serde_json::Error> {
        let json = serde_json::to_string(&input)?;
        Ok(Self { input, json })
    }
}

/// A question with its answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) question: Question,
    pub(super) conclusion: Conclusion,
    /// How records name the question's document, once one has.
    pub(super) input: OnceLock<NamedInput>,
}

impl Answer {
    pub(super) fn new(question: Question, conclusion: Conclusion) -> Arc<Self> {
        Arc::new(Self { question, conclusion, input: OnceLock::new() })
    }

    /// Returns whether the same question has the same answer at any time.
    pub(super) fn is_lasting(&self) -> bool {
        let Conclusion { outcome, asked_time, .. } = &self.conclusion;
        !asked_time && matches!(outcome, Outcome::Allowed(_) | Outcome::Refused(_))
    }
}

/// What comes of one question.
#[derive(Debug)]
pub(super) struct Conclusion {
    pub(super) outcome: Outcome,
    /// In the set's order, up to the first module that failed.
    pub(super) verdicts: Vec<ModuleRecord>,
    /// Whether any module asked for the time.
    pub(super) asked_time: bool,
}

impl Conclusion {
    /// What no module was asked about.
    pub(super) fn without_verdicts(outcome: Outcome) -> Self {
        Self { outcome, verdicts: Vec::new(), asked_time: false }
    }
}

/// What comes of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Every module that matches allows it.
    Allowed(Tags),
    /// A module refuses it, or none matches.
    Refused(Vec<String>),
    /// No module was asked: the evaluation queue is full.
    Busy(String),
    /// A module could not be asked.
    Unavailable(String),
}

impl Outcome {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Allowed(_) => "allowed",
            Self::Refused(_) => "refused",
            Self::Busy(_) => "busy",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// Asks every module of `set` that matches: all must allow, and one at least must match.
pub(super) fn evaluate(set: &PolicySet, question: &Question, now: Timestamp) -> Conclusion {
    if let Some(cause) = question.input.undecidable {
        return Conclusion::without_verdicts(Outcome::Unavailable(cause.to_owned()));
    }
    let mut combined = Combined::default();
    for module in set.modules() {
        let verdict = match module.matches(&question.input) {
            Matching::No => continue,
            Matching::Unknown => unknown_labels(module, &question.input),
            Matching::Yes => match module.module.decide(question.json.as_bytes(), now) {
                Ok(evaluation) => {
                    combined.asked_time |= evaluation.asked_time;
                    evaluation.verdict
                }
                Err(error) => return combined.unavailable(&module.name, &error.to_string()),
            },
        };
        combined.add(module, verdict);
    }
    combined.conclude(&question.input)
}

fn unknown_labels(module: &BoundModule, input: &Input) -> Verdict {
    let namespace = &input.target.namespace;
    let reason =
        format!("whether policy {} covers namespace {namespace} is not known: its labels cannot be seen", module.name);
    Verdict { allow: false, reasons: vec![reason], tags: Tags::new() }
}

#[derive(Default)]
struct Combined {
    verdicts: Vec<ModuleRecord>,
    refusals: Vec<String>,
    tags: Tags,
    asked_time: bool,
}

impl Combined {
    fn add(&mut self, module: &BoundModule, verdict: Verdict) {
        let (verdict, cut) = bounds::bounded(verdict);
        if !verdict.allow {
            if verdict.reasons.is_empty() {
                self.refusals.push(format!("policy {} refuses it and gives no reason", module.name));
            }
            self.refusals.extend(verdict.reasons.iter().cloned());
        }
        let Verdict { allow, reasons, tags } = verdict;
        for (key, value) in &tags {
            self.tags.entry(key.clone()).or_insert_with(|| value.clone());
        }
        self.verdicts.push(ModuleRecord { module: module.name.clone(), allow, reasons, tags, cut });
    }

    fn unavailable(self, module: &str, error: &str) -> Conclusion {
        let outcome = Outcome::Unavailable(bounds::cause(&format!("policy {module}: {error}")));
        Conclusion { outcome, verdicts: self.verdicts, asked_time: self.asked_time }
    }

    fn conclude(mut self, input: &Input) -> Conclusion {
        if self.verdicts.is_empty() {
            let action = input.action.name();
            // To describe the policies is to ask about no namespace.
            self.refusals.push(match input.target.namespace.as_str() {
                "" => format!("no policy module that is bound to no namespace covers {action}"),
                namespace => format!("no policy module covers {action} in namespace {namespace}"),
            });
        }
        let outcome =
            if self.refusals.is_empty() { Outcome::Allowed(self.tags) } else { Outcome::Refused(self.refusals) };
        Conclusion { outcome, verdicts: self.verdicts, asked_time: self.asked_time }
    }
}
