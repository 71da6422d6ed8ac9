//! The functions of Rego that the gateway provides, asked for anything.

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use scalegate::policy::rego::Module;
use scalegate::policy::{Budget, Engine, EvalError};

use super::Rounds;
use crate::modules::{VERDICT, compiled, opa};

impl Rounds {
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

/// Calls each builtin of the host with what the question says, which no gateway asks like this.
const BUILTINS: &str = r#"verdict := {"allow": false, "reasons": [text | some text in texts]}
texts contains concat("", ["format ", sprintf(input.format, input.values)])
texts contains concat("", ["set ", sprintf("%v", [{value | some value in input.values}])])
texts contains concat("", ["date ", sprintf("%v", [time.date(input.values[0])])])
texts contains concat("", ["clock ", sprintf("%v", [time.clock(input.values[0])])])
texts contains concat("", ["weekday ", time.weekday(input.values[0])])
texts contains concat("", ["parsed ", sprintf("%d", [time.parse_rfc3339_ns(input.values[0])])])"#;

/// Parts of formats: flags, widths, precisions and verbs, those too that nobody would write.
const FORMATS: [&str; 27] = [
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
    let budget = Budget { deadline: Duration::from_secs(1), memory_bytes: 64 << 20, output_bytes: 1 << 20 };
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
