//! Random policies and questions, decided by the gateway's host, by OPA and by other engines: all must agree, and what
//! one of them has no verdict on, the gateway denies.
//!
//! A run of the tests compares a few, the same every time. `make soak PART=policies` compares 300 policies on 500
//! questions each, 150 of them with regorus too. What is known to differ is left out, and listed in `policy.rs`.

mod engines;
mod policy;
mod question;

use anyhow::{Context, Result};
use fastrand::Rng;
use serde_json::Value;

use self::engines::{Opa, OpaWasm, Ours, Regorus};
use self::policy::Language;
use crate::modules::{VERDICT, compiled};
use crate::soak;

/// What one engine says to one question; `None` where the rule is undefined or an error.
type Said = Option<Value>;

/// How much is compared.
struct Extent {
    policies: u64,
    questions: usize,
    regorus: bool,
}

const SAMPLE: Extent = Extent { policies: 6, questions: 60, regorus: false };
const ALL: Extent = Extent { policies: 300, questions: 500, regorus: true };

#[derive(Debug, Default)]
struct Tally {
    verdicts: usize,
    allowed: usize,
    undefined: usize,
    given_up: usize,
    by_opa_wasm: usize,
    by_regorus: usize,
    /// What engines disagree on, the first of each policy.
    mismatches: Vec<String>,
}

impl Tally {
    fn compare(&mut self, engine: &str, question: &Value, ours: &Said, theirs: &Said) {
        if ours != theirs {
            let show = |said: &Said| said.as_ref().map_or_else(|| "undefined".to_owned(), Value::to_string);
            self.mismatches.push(format!("on {question}\n  gateway: {}\n  {engine}: {}", show(ours), show(theirs)));
        }
    }
}

#[tokio::test]
async fn random_policies_have_the_verdicts_that_other_engines_give() -> Result<()> {
    let extent = if soak::is_asked_for() { ALL } else { SAMPLE };
    let (ours, regorus) = (Ours::new()?, if extent.regorus { Some(Regorus::build()?) } else { None });
    let mut tally = Tally::default();
    let (mut policies, mut seeds) = (0, 0..2 * extent.policies);
    while policies < extent.policies {
        let seed = seeds.next().context("OPA compiles less than half of the policies")?;
        let mut random = Rng::with_seed(seed);
        let language = if seed % 2 == 0 { Language::Common } else { Language::OfOpa };
        let rules = policy::rules(&mut random, language);
        // Some have types that OPA's compiler sees to be wrong.
        let Ok(wasm) = compiled(&rules, VERDICT) else { continue };
        policies += 1;
        let questions: Vec<_> = (0..extent.questions).map(|_| question::question(&mut random)).collect();
        let before = tally.mismatches.len();
        let regorus = regorus.as_ref().filter(|_| language == Language::Common);
        compare(&ours, regorus, &rules, &wasm, &questions, &mut tally)
            .await
            .with_context(|| format!("policy {seed}:\n{rules}"))?;
        if let Some(first) = tally.mismatches.get_mut(before) {
            *first = format!("{first}\n  policy {seed}:\n{rules}\n");
            tally.mismatches.truncate(before + 1);
        }
        if extent.policies > 50 && policies % 20 == 0 {
            println!("{policies} of {} policies", extent.policies);
        }
    }
    assert!(tally.mismatches.is_empty(), "{}", tally.mismatches.join("\n"));
    println!("{tally:?}");
    let questions = usize::try_from(extent.policies)? * extent.questions;
    assert_eq!(tally.verdicts + tally.undefined + tally.given_up, questions);
    assert!(tally.given_up <= questions / 50, "{tally:?}");
    assert!(
        tally.allowed > questions / 50 && tally.undefined > 0,
        "what always ends alike compares nothing: {tally:?}"
    );
    assert!(tally.verdicts - tally.allowed > questions / 50, "{tally:?}");
    assert!(tally.by_opa_wasm > questions / 4, "{tally:?}");
    assert!(!extent.regorus || tally.by_regorus > questions / 5, "{tally:?}");
    Ok(())
}

async fn compare(
    ours: &Ours,
    regorus: Option<&Regorus>,
    rules: &str,
    wasm: &[u8],
    questions: &[Value],
    tally: &mut Tally,
) -> Result<()> {
    let opa = Opa::decide(rules, questions)?;
    let mut opa_wasm = OpaWasm::load(wasm).await;
    let by_regorus = regorus.map(|regorus| regorus.decide(rules, questions)).transpose()?;
    let module = ours.load(wasm)?;
    for (number, question) in questions.iter().enumerate() {
        let Some(said) = Ours::decide(&module, question)? else {
            tally.given_up += 1;
            continue;
        };
        tally.compare("OPA", question, &said, &opa[number]);
        if let Some(others) = &mut opa_wasm
            && let Some(theirs) = others.decide(question).await
        {
            tally.compare("opa-wasm", question, &said, &theirs);
            tally.by_opa_wasm += 1;
        }
        // An error within one rule leaves regorus without a verdict, where OPA has one without that rule.
        let by_regorus = by_regorus.as_ref().and_then(|all| all[number].as_ref());
        if let Some(theirs) = by_regorus.filter(|theirs| theirs.is_some() || said.is_none()) {
            tally.compare("regorus", question, &said, theirs);
            tally.by_regorus += 1;
        }
        match said {
            None => tally.undefined += 1,
            Some(verdict) => {
                tally.verdicts += 1;
                tally.allowed += usize::from(verdict["allow"] == true);
            }
        }
    }
    Ok(())
}
