//! What a decision takes: the gateway's modules, beside the same Rego in OPA and regorus.

use std::fmt::{self, Write};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use scalegate_tests::paths::{binary, repository};
use serde_json::{Value, json};

use crate::report::median;

/// How many rules the policy with many has, and how many entries the one with much data.
const RULES: usize = 1_000;
const ENTRIES: usize = 5_000;
/// How many of the rules have the same name.
const PART: usize = 100;
/// For how many seconds the gateway's modules are measured in a round; OPA and regorus choose about as long.
const SECONDS: &str = "2";

/// A policy and a question about it.
struct Shape {
    name: &'static str,
    /// The directory of a set for the gateway.
    set: PathBuf,
    rego: Vec<PathBuf>,
    data: PathBuf,
    input: PathBuf,
    questions: PathBuf,
}

/// The median decision by each engine in microseconds, a value for each round.
#[derive(Debug, Default)]
struct Times {
    ours: Vec<f64>,
    opa: Vec<f64>,
    regorus: Vec<f64>,
}

/// How long decisions take. As a text: a Markdown table of medians.
#[derive(Debug, Default)]
pub(crate) struct Decisions(Vec<(&'static str, Times)>);

/// The engines and the policies.
pub(crate) struct Deciding {
    opa: PathBuf,
    regorus: PathBuf,
    shapes: Vec<Shape>,
}

impl Deciding {
    /// Compiles the policies with `opa`, with files in `work`.
    pub(crate) fn prepare(opa: &Path, work: &Path) -> Result<Self> {
        let built = run(&mut Command::new(repository().join("tests/regorus/build.sh")))?;
        let rego = repository().join("policies/rego");
        let of_example = |name: &str| rego.join("examples").join(name);
        let example = ["scalegate.rego", "freeze.rego", "limits.rego"].map(|name| rego.join(name));
        let mut shapes = Vec::new();
        for (name, input) in [("the example, a read", "viewer-gets"), ("the example, a set", "operator-sets")] {
            let input = of_example(&format!("{input}.input.json"));
            shapes.push(Shape::new(name, &example, &of_example("settings.json"), &input, opa, work)?);
        }
        let reads = of_example("viewer-gets.input.json");
        for (name, rules, data) in made() {
            let directory = work.join(format!("sources-{}", shapes.len()));
            fs::create_dir_all(&directory)?;
            let (policy, file) = (directory.join("policy.rego"), directory.join("data.json"));
            fs::write(&policy, format!("package scalegate\n\n{rules}\n"))?;
            fs::write(&file, data.to_string())?;
            shapes.push(Shape::new(name, &[policy], &file, &reads, opa, work)?);
        }
        let regorus = PathBuf::from(String::from_utf8(built.stdout)?.trim());
        Ok(Self { opa: opa.to_owned(), regorus, shapes })
    }

    /// Measures each engine on each policy in turn, and adds what they took to `decisions`.
    pub(crate) fn round(&self, decisions: &mut Decisions) -> Result<()> {
        decisions.0.resize_with(self.shapes.len(), || ("", Times::default()));
        for (shape, (name, times)) in self.shapes.iter().zip(&mut decisions.0) {
            *name = shape.name;
            times.ours.push(shape.ours().context(shape.name)?);
            times.opa.push(shape.by_opa(&self.opa).context(shape.name)?);
            times.regorus.push(shape.by_regorus(&self.regorus).context(shape.name)?);
        }
        Ok(())
    }
}

impl Shape {
    fn new(name: &'static str, rego: &[PathBuf], data: &Path, input: &Path, opa: &Path, work: &Path) -> Result<Self> {
        let set = work.join(name.replace([' ', ','], "-"));
        fs::create_dir_all(&set)?;
        let bundle = set.join("bundle.tar.gz");
        let mut build = Command::new(opa);
        build.args(["build", "--target", "wasm", "--optimize", "0", "--entrypoint", "scalegate/verdict", "--output"]);
        run(build.arg(&bundle).args(rego))?;
        let module = set.join("module.wasm");
        fs::write(&module, run(Command::new("tar").arg("-xzPOf").arg(&bundle).arg("/policy.wasm"))?.stdout)?;
        fs::remove_file(&bundle)?;
        let mut entry = json!({
            "name": "bench", "module": "module.wasm", "sha256": sha256(&module)?, "mode": "enforce",
            "match": { "actions": ["get", "set"] },
            "budget": { "deadline": "1s" },
        });
        let content: Value = serde_json::from_str(&fs::read_to_string(data)?)?;
        if let Some(settings) = content.get("settings") {
            entry["settings"] = settings.clone();
        } else {
            let copy = set.join("data.json");
            fs::copy(data, &copy)?;
            (entry["data"], entry["dataSha256"]) = ("data.json".into(), sha256(&copy)?.into());
        }
        fs::write(set.join("policies.yaml"), json!({ "modules": [entry] }).to_string())?;
        let question: Value = serde_json::from_str(&fs::read_to_string(input)?)?;
        let questions = work.join(format!("questions-{}.json", name.replace([' ', ','], "-")));
        fs::write(&questions, json!([question]).to_string())?;
        let (rego, data, input) = (rego.to_vec(), data.to_owned(), input.to_owned());
        Ok(Self { name, set, rego, data, input, questions })
    }

    fn ours(&self) -> Result<f64> {
        let mut bench = Command::new(binary("scalegate")?);
        bench.args(["policy", "bench", "--json", "--seconds", SECONDS, "--input"]).arg(&self.input).arg(&self.set);
        let costs: Value = serde_json::from_slice(&run(&mut bench)?.stdout)?;
        costs[0]["p50Micros"].as_f64().context("policy bench gives no median")
    }

    fn by_opa(&self, opa: &Path) -> Result<f64> {
        let mut bench = Command::new(opa);
        bench.args(["bench", "--format", "json", "--input"]).arg(&self.input).arg("--data").arg(&self.data);
        for policy in &self.rego {
            bench.arg("--data").arg(policy);
        }
        let result: Value = serde_json::from_slice(&run(bench.arg("data.scalegate.verdict"))?.stdout)?;
        let median = result["Extra"]["histogram_timer_rego_query_eval_ns_median"].as_f64();
        Ok(median.context("opa bench gives no median")? / 1e3)
    }

    fn by_regorus(&self, regorus: &Path) -> Result<f64> {
        let policies: Vec<_> = self.rego.iter().map(|path| path.display().to_string()).collect();
        let mut decide = Command::new(regorus);
        let output = run(decide.arg(policies.join(",")).arg(&self.questions).arg(&self.data))?;
        Ok(String::from_utf8(output.stdout)?.trim().parse::<f64>()? / 1e3)
    }
}

/// Policies that are made: their names, rules and data.
fn made() -> Vec<(&'static str, String, Value)> {
    let verdict = "verdict := {\"allow\": allow, \"reasons\": [], \"tags\": {}}\n\ndefault allow := false\n";
    let texts = format!(
        "{verdict}\nallow if {{\n\tsome word in split(lower(concat(\",\", words)), \",\")\n\tstartswith(trim_space(replace(word, \
         \"-\", \"_\")), \"none\")\n}}\n\nwords contains sprintf(\"%s/%s-%d\", [input.client.id, upper(input.target.name), number]) \
         if some number in numbers.range(1, 40)\n"
    );
    let patterns = format!(
        "{verdict}\nallow if {{\n\tsome number in numbers.range(1, 20)\n\tregex.match(sprintf(`^spiffe://[a-z.]+/ci-%d$`, [number]), \
         input.client.id)\n}}\n"
    );
    let entries: serde_json::Map<String, Value> = (0..ENTRIES)
        .map(|number| (format!("team-{number}/app-{number}"), json!({ "max": number, "owners": ["a", "b", "c"] })))
        .collect();
    let data = format!(
        "{verdict}\nallow if data.limits[sprintf(\"%s/%s\", [input.target.namespace, input.target.name])].max > 3\n\nallow if \
         count([name | some name; data.limits[name].max == {}]) > 1\n",
        ENTRIES - 1
    );
    // Of one name, they would be a function that is too complex for the gateway to compile.
    let mut rules = verdict.to_owned();
    for number in 0..RULES {
        let name = format!("part{}", number / PART);
        if number % PART == 0 {
            let _ = write!(rules, "\nallow if {name}\n");
        }
        // Writing to a string cannot fail.
        let _ = write!(
            rules,
            "\n{name} if {{\n\tinput.target.name == \"app-{number}\"\n\tinput.client.id == \"someone\"\n}}\n"
        );
    }
    vec![
        ("many texts", texts, json!({})),
        ("20 regular expressions", patterns, json!({})),
        ("5,000 entries of data, each read", data, json!({ "limits": entries })),
        ("1,000 rules", rules, json!({})),
    ]
}

fn sha256(file: &Path) -> Result<String> {
    let output = run(Command::new("sha256sum").arg(file))?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().next().context("sha256sum gives nothing")?.to_owned())
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("run {}", command.get_program().display()))?;
    let failed = || format!("{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    ensure!(output.status.success(), failed());
    Ok(output)
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

impl Decisions {
    /// By policy, the medians of all rounds: the gateway, OPA and regorus.
    fn medians(&self) -> impl Iterator<Item = (&'static str, [f64; 3])> {
        self.0.iter().map(|(name, times)| {
            (*name, [&times.ours, &times.opa, &times.regorus].map(|values| median(values.clone())))
        })
    }
}

impl fmt::Display for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| one decision, p50 | scalegate µs | OPA µs | regorus µs | OPA / scalegate | regorus / scalegate |"
        )?;
        write!(f, "|---|---:|---:|---:|---:|---:|")?;
        for (name, [ours, opa, regorus]) in self.medians() {
            let (by_opa, by_regorus) = (opa / ours, regorus / ours);
            write!(f, "\n| {name} | {ours:.1} | {opa:.1} | {regorus:.1} | {by_opa:.1} | {by_regorus:.1} |")?;
        }
        Ok(())
    }
}
