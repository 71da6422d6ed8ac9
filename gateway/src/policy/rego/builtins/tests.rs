//! What ends an evaluation. What builtins answer is compared with OPA's in `tests/it/builtins.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::policy::rego::deadline::Deadline;

const LIMIT: usize = 1 << 10;

fn asked(name: &str, arguments: &str, context: &mut Context) -> Answer {
    let builtins = resolve(BTreeMap::from([(name.to_owned(), 0)])).unwrap();
    let Ok(Term::Array(arguments)) = Term::parse(arguments.as_bytes(), &Deadline::in_an_hour()) else {
        panic!("{arguments}")
    };
    builtins[&0].apply(context, &arguments)
}

fn read(text: &str) -> Term {
    Term::parse(text.as_bytes(), &Deadline::in_an_hour()).unwrap()
}

/// Calls whose values are much longer than their arguments.
fn growing() -> Vec<(&'static str, String)> {
    let long = format!("\"{}\"", "é ".repeat(LIMIT / 3));
    let copies = r#"{"op": "copy", "from": "", "path": "/a"},"#.repeat(40);
    let layout = "January".repeat(LIMIT / 7);
    let layers: Vec<_> =
        (0..20).map(|layer| format!("\"{layer}\": [\"{0}\", \"{0}x\"], \"{layer}x\": [\"{0}\"]", layer + 1)).collect();
    vec![
        ("base64url.encode_no_pad", format!("[{long}]")),
        ("graph.reachable_paths", format!("[{{{}}}, [\"0\"]]", layers.join(", "))),
        ("hex.encode", format!("[{long}]")),
        ("indexof_n", format!("[\"{}\", \"a\"]", "a".repeat(LIMIT))),
        ("json.marshal_with_options", format!("[[[[1, 2, 3]]], {{\"indent\": {long}}}]")),
        ("json.patch", format!("[{{\"b\": 1}}, [{}]]", copies.trim_end_matches(','))),
        ("net.cidr_contains_matches", format!("[[{0}], [{0}]]", ["\"::/0\""; 40].join(", "))),
        ("net.cidr_expand", "[\"10.0.0.0/8\"]".to_owned()),
        ("net.cidr_expand", "[\"::/0\"]".to_owned()),
        ("numbers.range_step", "[0, 1e30, 1]".to_owned()),
        ("regex.find_n", format!("[\"\", {long}, -1]")),
        ("regex.replace", format!("[{long}, \"\", \"0123456789\"]")),
        ("regex.split", format!("[\"\", {long}]")),
        ("sprintf", "[\"%1000d%1000d\", [1, 2]]".to_owned()),
        ("strings.split_n", format!("[{long}, \"\", 100000]")),
        ("time.format", format!("[[0, \"UTC\", \"{layout}September\"]]")),
        ("units.parse", "[\"1e60000\"]".to_owned()),
        ("units.parse_bytes", "[\"1e60000\"]".to_owned()),
        ("urlquery.encode", format!("[{long}]")),
        ("urlquery.encode_object", format!("[{{\"a\": {long}}}]")),
    ]
}

#[test]
fn a_value_beyond_the_limit_ends_the_evaluation() {
    for (name, arguments) in growing() {
        let answer = asked(name, &arguments, &mut Context::of(LIMIT));
        assert_eq!(answer, Err(Stop::Error(EvalError::Output(LIMIT))), "{name}");
    }
}

#[test]
fn a_loop_past_the_deadline_ends_the_evaluation() {
    let expected = Err(Stop::Error(EvalError::Deadline(Duration::ZERO)));
    for (name, arguments) in [
        ("graph.reachable_paths", r#"[{"a": ["b", "c"], "b": ["c"], "c": []}, ["a"]]"#),
        ("json.marshal_with_options", "[[1], {}]"),
        ("json.patch", r#"[{}, [{"op": "test", "path": "", "value": {}}]]"#),
        ("net.cidr_expand", r#"["10.0.0.0/30"]"#),
        ("net.cidr_merge", r#"[["10.0.0.0/30"]]"#),
        ("numbers.range_step", "[0, 10, 1]"),
        ("object.subset", "[[1, 2], [2]]"),
        ("regex.find_n", r#"["a", "aaa", -1]"#),
        ("regex.globs_match", r#"["a*b*", "a*c*"]"#),
        ("regex.template_match", r#"["a{b}", "ab", "{", "}"]"#),
        ("sprintf", r#"["%d", [1]]"#),
        ("strings.any_prefix_match", r#"[["a"], ["b"]]"#),
        ("strings.split_n", r#"["a,b", ",", 2]"#),
        ("time.format", "[0]"),
        ("urlquery.decode_object", r#"["a=b"]"#),
        ("urlquery.encode_object", r#"[{"a": "b"}]"#),
    ] {
        let mut context = Context::new(LIMIT, Deadline::after(Duration::ZERO), Timestamp::UNIX_EPOCH);
        assert_eq!(asked(name, arguments, &mut context), expected, "{name}");
    }
}

/// Each copy of the whole into its innermost array doubles the depth.
#[test]
fn a_value_that_is_nested_too_deeply_ends_the_evaluation() {
    let copies: Vec<_> = (0..14)
        .map(|times| format!(r#"{{"op": "copy", "from": "", "path": "{}/-"}}"#, "/0".repeat((1 << times) - 1)))
        .collect();
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let key = format!(r#"[{{"op": "add", "path": [{}, {}], "value": 1}}]"#, ["0"; 9].join(", "), deep(60));
    let graph = [read(&format!("{{{}: []}}", deep(63))), read(&format!("[{}]", deep(63)))];
    let builtins = resolve(BTreeMap::from([("graph.reachable_paths".to_owned(), 0)])).unwrap();
    let mut context = Context::of(1 << 20);
    for answer in [
        asked("json.patch", &format!("[[], [{}]]", copies.join(", ")), &mut context),
        asked("json.patch", &format!("[{}{{}}{}, {key}]", "[".repeat(9), "]".repeat(9)), &mut context),
        builtins[&0].apply(&mut context, &graph),
    ] {
        let problem = "a value with more than 64 levels".to_owned();
        assert_eq!(answer, Err(Stop::Error(EvalError::Unsupported(problem))));
    }
    // The deepest that a module can hand back.
    let deepest = format!(r#"[{0}, [{{"op": "add", "path": "/0/-", "value": {1}}}]]"#, "[[]]", deep(61));
    assert!(asked("json.patch", &deepest, &mut Context::of(1 << 20)).is_ok());
}

/// To compare at each place takes the square of the steps: minutes for these texts.
#[test]
fn a_text_that_is_almost_everywhere_is_searched_for_once() {
    let arguments = format!(r#"["{}", "{}b"]"#, "a".repeat(1 << 22), "a".repeat(1 << 21));
    assert_eq!(asked("indexof_n", &arguments, &mut Context::of(LIMIT)), Ok(Term::Array(Vec::new())));
}

#[test]
fn only_the_instant_is_noted() {
    for (name, arguments, noted) in [("time.now_ns", "[]", true), ("time.format", "[0]", false)] {
        let mut context = Context::of(LIMIT);
        assert!(asked(name, arguments, &mut context).is_ok(), "{name}");
        assert_eq!(context.asked_time, noted, "{name}");
    }
}

/// OPA 1.22.2 never answers this.
#[test]
fn versions_beyond_64_bits_are_compared() {
    let versions = r#"["1.0.0-99999999999999999999", "1.0.0-99999999999999999998"]"#;
    assert_eq!(asked("semver.compare", versions, &mut Context::of(LIMIT)), Ok(0.into()));
}
