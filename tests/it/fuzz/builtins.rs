//! The functions of Rego that the gateway provides, asked for anything.

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use scalegate::policy::rego::Module;
use scalegate::policy::{Budget, Engine, EvalError};

use super::Rounds;
use crate::builtins::{Call, Engines, calls};
use crate::modules::{VERDICT, compiled, opa};

impl Rounds {
    /// A call like those of the same builtin: its arguments are theirs, mixed and changed.
    fn call(&mut self, calls: &[Call]) -> Call {
        let mut call = self.random.choice(calls).expect("some calls").clone();
        let alike: Vec<_> = calls.iter().filter(|other| other.name == call.name).collect();
        for (index, argument) in call.arguments.iter_mut().enumerate() {
            match self.random.u8(..8) {
                0 => *argument = (*self.random.choice(VALUES).expect("some values")).to_owned(),
                1..=3 => argument.clone_from(&self.random.choice(&alike).expect("itself").arguments[index]),
                4..=6 => self.change(argument),
                _ => {}
            }
        }
        call
    }

    /// Changes a few characters of a text in JSON that has no escapes.
    fn change(&mut self, text: &mut String) {
        const CHARACTERS: &str = "0123456789abcdhiklmstuwxyzABGKMTZ.-+*/:[](){}<>|^$?,_ é";
        if !text.starts_with('"') || text.contains('\\') {
            return;
        }
        let possible: Vec<_> = CHARACTERS.chars().collect();
        let mut characters: Vec<_> = text.trim_matches('"').chars().collect();
        for _ in 0..self.random.usize(1..4) {
            let at = self.random.usize(..=characters.len());
            let new = *self.random.choice(&possible).expect("some characters");
            match self.random.u8(..3) {
                0 => characters.insert(at, new),
                1 if at < characters.len() => characters[at] = new,
                _ if at < characters.len() => drop(characters.remove(at)),
                _ => {}
            }
        }
        *text = format!("\"{}\"", characters.iter().collect::<String>());
    }

    /// A format and its arguments, in JSON.
    fn case(&mut self) -> String {
        let format = (0..self.random.usize(1..8)).filter_map(|_| self.random.choice(FORMATS)).collect::<String>();
        let values: Vec<_> = (0..self.random.usize(1..4)).filter_map(|_| self.random.choice(VALUES)).collect();
        format!("{{\"format\": {}, \"values\": [{}]}}", serde_json::json!(format), values.join(", "))
    }
}

/// Cases of `sprintf` for OPA and for the gateway: each answers with all of them at once.
const CASES: &str = r#"verdict := {"allow": false, "reasons": [text |
    some case in input.cases
    text := sprintf(case.format, case.values)
]}"#;

#[test]
fn sprintf_writes_what_opa_writes() -> Result<()> {
    let module = compiled(CASES, VERDICT)?;
    let budget = Budget { deadline: Duration::from_secs(1), memory_bytes: 256 << 20, output_bytes: 1 << 20 };
    let module = Module::load(&Engine::new()?, &module, budget, b"{}")?;
    let directory = tempfile::tempdir()?;
    let (policy, file) = (directory.path().join("policy.rego"), directory.path().join("input.json"));
    std::fs::write(&policy, format!("package scalegate\n\n{CASES}\n"))?;
    let mut rounds = Rounds::new(1)?;
    let mut compared = 0;
    while rounds.another() {
        let mut cases = Vec::new();
        while cases.len() < 300 {
            let case = rounds.case();
            // Alone first: a verb that the gateway does not have ends an evaluation, and long texts fill the answer.
            let alone = module.evaluate(format!("{{\"cases\": [{case}]}}").as_bytes(), Timestamp::UNIX_EPOCH);
            if alone.is_ok_and(|alone| alone.verdict.reasons.iter().all(|text| text.len() < 2_000)) {
                cases.push(case);
            }
        }
        let input = format!("{{\"cases\": [{}]}}", cases.join(",\n"));
        std::fs::write(&file, &input)?;
        let mut eval = std::process::Command::new(opa()?);
        eval.args(["eval", "--format", "raw", "--data"]).arg(&policy).arg("--input").arg(&file);
        let output = eval.arg("data.scalegate.verdict.reasons").output()?;
        let theirs: Vec<String> = serde_json::from_slice(&output.stdout).context("opa eval")?;
        let ours = module.evaluate(input.as_bytes(), Timestamp::UNIX_EPOCH)?.verdict.reasons;
        assert_eq!((ours.len(), theirs.len()), (cases.len(), cases.len()));
        for ((ours, theirs), case) in ours.iter().zip(&theirs).zip(&cases) {
            assert_eq!(ours, theirs, "{case}");
            compared += 1;
        }
    }
    println!("sprintf: {compared} texts are OPA's");
    Ok(())
}

#[test]
fn builtins_answer_what_opas_answer_to_any_arguments() -> Result<()> {
    let mut known = calls()?;
    let engines = Engines::new(&known)?;
    // With a longer exponent, OPA takes minutes.
    known.retain(|call| !call.name.starts_with("units.") || !call.arguments[0].contains(['e', 'E']));
    let mut rounds = Rounds::new(1)?;
    let (mut compared, mut ended) = (0, 0);
    while rounds.another() {
        let mut asked = Vec::new();
        for _ in 0..2_000 {
            let call = rounds.call(&known);
            // OPA's patches of sets panic where a member was removed before.
            if call.name == "json.patch" && call.arguments.concat().contains("$set") {
                continue;
            }
            match engines.ours(&call) {
                Ok(ours) => asked.push((call, ours)),
                Err(EvalError::Output(_) | EvalError::Unsupported(_)) => ended += 1,
                Err(error) => anyhow::bail!("{error} by {call}"),
            }
        }
        let calls: Vec<_> = asked.iter().map(|(call, _)| call.clone()).collect();
        for ((call, ours), theirs) in asked.iter().zip(engines.theirs(&calls)?) {
            assert_eq!(*ours, theirs, "{call}");
            compared += 1;
        }
    }
    println!("builtins: {compared} answers are OPA's, {ended} calls ended the evaluation");
    Ok(())
}

/// Calls each builtin of the host with what the question says, which no gateway asks like this.
const BUILTINS: &str = r#"verdict := {"allow": false, "reasons": [text | some text in texts]}
texts contains concat("", ["format ", sprintf(input.format, input.values)])
texts contains concat("", ["set ", sprintf("%v", [{value | some value in input.values}])])
texts contains concat("", ["date ", sprintf("%v", [time.date(input.values[0])])])
texts contains concat("", ["clock ", sprintf("%v", [time.clock(input.values[0])])])
texts contains concat("", ["weekday ", time.weekday(input.values[0])])
texts contains concat("", ["parsed ", sprintf("%d", [time.parse_rfc3339_ns(input.values[0])])])"#;

/// Parts of formats: flags, widths, precisions and verbs, those too that nobody would write.
const FORMATS: [&str; 36] = [
    "%",
    ".",
    "+",
    "-",
    "0",
    " ",
    "5",
    "12",
    "65535",
    "65536",
    "70000",
    "99999999999",
    "#",
    "*",
    "[1]",
    "[2]",
    "[",
    "X",
    "o",
    "O",
    "w",
    "d",
    "s",
    "v",
    "f",
    "e",
    "g",
    "x",
    "q",
    "c",
    "U",
    "t",
    "b",
    "text",
    "é",
    "\u{1f600}",
];

/// Arguments in JSON.
const VALUES: [&str; 30] = [
    "0",
    "-1",
    "1.5",
    "-0.0",
    "1e308",
    "5e-324",
    "1e21",
    "0.1",
    "123456789012345678901234567890",
    "9223372036854775807",
    "-9223372036854775808",
    "1114112",
    "55296",
    "\"\"",
    "\"é\\u0007\"",
    "\"\\ud83d\\ude00\"",
    "true",
    "null",
    "[]",
    "{}",
    "[1, [2, {\"a\": null}]]",
    "{\"b\": 1, \"a\": [{}]}",
    "[1795374943000000000, \"Europe/Berlin\"]",
    "[0, \"Nowhere\"]",
    "[9223372036854775807, \"Asia/Tokyo\"]",
    "[-9223372036854775808, \"America/New_York\"]",
    "\"2026-11-22T19:15:43+24:00\"",
    "\"0000-01-01T00:00:00Z\"",
    "\"2262-04-11T23:47:16.854775807Z\"",
    "\"9999-12-31T23:59:59-23:59\"",
];

#[test]
fn a_builtin_answers_whatever_it_is_asked() -> Result<()> {
    let module = compiled(BUILTINS, VERDICT)?;
    let budget = Budget { deadline: Duration::from_secs(1), memory_bytes: 64 << 20, output_bytes: 64 << 10 };
    let module = Module::load(&Engine::new()?, &module, budget, b"{}")?;
    let (mut answered, mut failed) = (0, 0);
    let mut rounds = Rounds::new(2_000)?;
    while rounds.another() {
        let input = rounds.case();
        match module.evaluate(input.as_bytes(), Timestamp::UNIX_EPOCH) {
            Ok(_) => answered += 1,
            Err(EvalError::Output(_) | EvalError::Unsupported(_)) => failed += 1,
            Err(error) => anyhow::bail!("{error} by {input}"),
        }
    }
    // Nested as deeply as a module passes it on, and more deeply.
    for depth in [60, 64, 1_000, 100_000] {
        let input = format!("{{\"format\": \"%v\", \"values\": [{}{}]}}", "[".repeat(depth), "]".repeat(depth));
        let outcome = module.evaluate(input.as_bytes(), Timestamp::UNIX_EPOCH);
        assert!(!matches!(outcome, Err(EvalError::Panic(_))), "{depth}: {outcome:?}");
    }
    println!("builtins: {answered} questions were answered, {failed} were not");
    assert!(answered > 0 && failed > 0, "changes that all end alike try nothing");
    Ok(())
}
