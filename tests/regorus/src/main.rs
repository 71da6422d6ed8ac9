//! Decides questions by regorus: `regorus-decides POLICY QUESTIONS` reads a policy of package `scalegate` and a JSON array
//! of inputs. It prints an array with, for each, an object that has the `verdict`, an empty one where that is undefined,
//! or null where regorus fails. With a third argument, a file of data, it measures instead: it decides the questions in
//! turn for three seconds, and prints how many nanoseconds the median decision takes.

use std::env;
use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use regorus::{Engine, Value};
use serde_json::json;

const RULE: &str = "data.scalegate.verdict";
const MEASURED: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let (Some(policies), Some(questions)) = (arguments.first(), arguments.get(1)) else {
        return Err("usage: regorus-decides POLICY[,POLICY…] QUESTIONS [DATA]".into());
    };
    let mut engine = Engine::new();
    for policy in policies.split(',') {
        engine.add_policy(policy.to_owned(), fs::read_to_string(policy)?)?;
    }
    let questions: Vec<serde_json::Value> = serde_json::from_str(&fs::read_to_string(questions)?)?;
    if let Some(data) = arguments.get(2) {
        engine.add_data(Value::from_json_file(data)?)?;
        println!("{}", median(&mut engine, &questions)?);
        return Ok(());
    }
    let mut said = Vec::new();
    for question in &questions {
        engine.set_input(Value::from_json_str(&question.to_string())?);
        said.push(match engine.eval_rule(RULE.to_owned()) {
            Err(_) => serde_json::Value::Null,
            Ok(Value::Undefined) => json!({}),
            Ok(verdict) => json!({ "verdict": serde_json::from_str::<serde_json::Value>(&verdict.to_json_str()?)? }),
        });
    }
    println!("{}", serde_json::to_string(&said)?);
    Ok(())
}

/// The median time of a decision in nanoseconds, reading the question's JSON included.
fn median(engine: &mut Engine, questions: &[serde_json::Value]) -> Result<u128, Box<dyn Error + Send + Sync>> {
    let questions: Vec<_> = questions.iter().map(ToString::to_string).collect();
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < MEASURED {
        for question in &questions {
            let began = Instant::now();
            engine.set_input(Value::from_json_str(question)?);
            engine.eval_rule(RULE.to_owned())?;
            times.push(began.elapsed().as_nanos());
        }
    }
    times.sort_unstable();
    times.get(times.len() / 2).copied().ok_or_else(|| "no questions".into())
}
