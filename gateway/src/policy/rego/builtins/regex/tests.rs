#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::policy::rego::EvalError;
use crate::policy::rego::deadline::Deadline;

fn texts(texts: &[&str]) -> Vec<Term> {
    texts.iter().map(|text| Term::from(*text)).collect()
}

fn unsupported(answer: Answer) -> String {
    match answer {
        Err(Stop::Error(EvalError::Unsupported(what))) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_would_take_too_long_to_compile_is_an_error() {
    for pattern in ["(a{1000}){30}", &r"\pL".repeat(60), "((a{30}){30}){2}", &"é".repeat(20_000)] {
        let answer = split(&mut Context::of(1 << 20), &texts(&[pattern, "text"]));
        assert!(answer.is_err(), "{pattern}");
    }
    let answer = split(&mut Context::of(1 << 20), &texts(&[&r"\pL".repeat(60), "text"]));
    assert_eq!(unsupported(answer), "a regular expression that is too large");
}

#[test]
fn what_would_take_too_long_to_search_is_an_error() {
    let text = "a".repeat(1 << 16);
    let answer = split(&mut Context::of(1 << 20), &texts(&["(a{900}b)", &text]));
    assert_eq!(unsupported(answer), "a regular expression that is too large for the text that it searches");
}

#[test]
fn what_it_writes_is_within_the_limit() {
    let text = "a".repeat(100);
    let replaced = replace::replace(&mut Context::of(500), &texts(&[&text, "a", "123456"]));
    assert_eq!(replaced, Err(Stop::Error(EvalError::Output(500))));
    let answer = split(&mut Context::of(100), &texts(&["a", &text]));
    assert_eq!(answer, Err(Stop::Error(EvalError::Output(100))));
}

#[test]
fn searches_and_globs_end_at_the_deadline() {
    let over = Deadline::after(Duration::ZERO);
    let mut context = Context::new(1 << 10, over, Timestamp::UNIX_EPOCH);
    let expected = Err(Stop::Error(EvalError::Deadline(Duration::ZERO)));
    assert_eq!(split(&mut context, &texts(&["a", "bab"])), expected);
    assert_eq!(globs::globs_match(&mut context, &texts(&["a.*", ".*b"])), expected);
}

#[test]
fn an_evaluation_compiles_a_pattern_once() {
    let mut context = Context::of(1 << 10);
    for _ in 0..2 {
        assert!(split(&mut context, &texts(&["a", "bab"])).is_ok());
    }
    assert_eq!(context.regexes.len(), 1);
}
