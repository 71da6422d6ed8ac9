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

/// To ignore the case of a class takes a step for each of its characters.
#[test]
fn what_would_take_too_long_to_fold_is_an_error() {
    for class in [r"[!-\x{10FFFF}]", r"[\Da]", r"[[:^alpha:]a]", r"[\PLa]", r"\p{Cn}"] {
        let answer = split(&mut Context::of(1 << 20), &texts(&[&format!("(?i){}", class.repeat(8)), "text"]));
        assert_eq!(unsupported(answer), "a regular expression that is too large", "{class}");
    }
    for pattern in [r"(?i)^[!-~]+[^a-z]+[\p{Latin}\pN_-]+\PL$", r"(?i)[a\S]{100}", r"[!-\x{10FFFF}]{8}[\Da]\p{Cn}"] {
        assert!(split(&mut Context::of(1 << 20), &texts(&[pattern, "text"])).is_ok(), "{pattern}");
    }
}

/// What is wrong at its end is not seen.
#[test]
fn a_class_that_is_too_large_is_not_read_to_its_end() {
    for class in ["a", "é", r"\D", r"\pL"].map(|item| item.repeat(21_000)) {
        let answer = split(&mut Context::of(1 << 20), &texts(&[&format!("[{class}"), "text"]));
        assert_eq!(unsupported(answer), "a regular expression that is too large");
    }
}

#[test]
fn what_matches_nothing_counts_as_well() {
    for pattern in ["|", "(?i)", "()", "^"].map(|part| part.repeat(21_000)) {
        let answer = split(&mut Context::of(1 << 20), &texts(&[&pattern, "text"]));
        assert_eq!(unsupported(answer), "a regular expression that is too large");
    }
}

#[test]
fn a_class_is_read_until_the_deadline() {
    let deadline = Deadline::after(Duration::from_millis(20));
    let mut context = Context::new(1 << 10, deadline, Timestamp::UNIX_EPOCH);
    let expected = Err(Stop::Error(EvalError::Deadline(Duration::from_millis(20))));
    // For each name of a class, its end is looked for in all that follows.
    let pattern = format!("[{}{}", "[:".repeat(8_000), "a".repeat(1 << 23));
    assert_eq!(split(&mut context, &texts(&[&pattern, "text"])), expected);
}

#[test]
fn a_glob_is_read_until_it_has_too_much() {
    let ask = |glob: &str| globs::globs_match(&mut Context::of(1 << 20), &texts(&[glob, "b"]));
    // What is wrong at the end is not seen.
    assert_eq!(unsupported(ask(&format!("{}]", "a".repeat(1_001)))), "regex.globs_match with more than 1000 tokens");
    let problem = "regex.globs_match with sets of more than 10000 characters and ranges";
    assert_eq!(unsupported(ask(&format!("[{}", "a-\u{ffff}".repeat(5_001)))), problem);
    assert_eq!(unsupported(ask(&"[a-\u{ffff}]".repeat(1_001))), "regex.globs_match with more than 1000 tokens");
    assert_eq!(ask("[\0-`c-\u{10ffff}]"), Ok(false.into()));
    assert_eq!(ask("[\0-ab-\u{10ffff}]"), Ok(true.into()));
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

/// To compare each reference with each name takes their product of steps: minutes for these.
#[test]
fn names_of_groups_are_looked_up() {
    let pattern = format!("{}(?P<last>a)", "(?P<name>x)".repeat(4_000));
    let template = "${none}".repeat(500_000);
    let replaced = replace::replace(&mut Context::of(1 << 10), &texts(&["text", &pattern, &template]));
    assert_eq!(replaced, Ok("text".into()));
}

#[test]
fn an_evaluation_compiles_a_pattern_once() {
    let mut context = Context::of(1 << 10);
    for _ in 0..2 {
        assert!(split(&mut context, &texts(&["a", "bab"])).is_ok());
    }
    assert_eq!(context.regexes.len(), 1);
}
