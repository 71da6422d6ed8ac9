//! The policies that are measured, and a question for each.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use scalegate_tests::paths::repository;
use serde_json::{Value, json};

use super::run;

/// The names of the policies.
pub(crate) const READ: &str = "the example, a read";
pub(crate) const SET: &str = "the example, a set";
pub(crate) const TEXTS: &str = "many texts";
pub(crate) const PATTERNS: &str = "20 regular expressions";
pub(crate) const DATA: &str = "5,000 entries of data, each read";
pub(crate) const RULES: &str = "1,000 rules";

/// How many rules the policy with many has, and how many entries the one with much data.
const RULE_COUNT: usize = 1_000;
const ENTRIES: usize = 5_000;
/// How many of the rules have the same name.
const PART: usize = 100;

/// A policy, its data, and a question about it.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// The policy as OPA compiles it.
    pub(super) module: PathBuf,
    /// The policy's sources.
    pub(super) rego: Vec<PathBuf>,
    pub(super) data: PathBuf,
    pub(super) input: PathBuf,
    /// An array with the question alone.
    pub(super) questions: PathBuf,
}

/// The example policy with its settings, compiled by `opa` into `work`.
pub(crate) fn example(opa: &Path, work: &Path) -> Result<Vec<Shape>> {
    let rego = repository().join("policies/rego");
    let settings = rego.join("examples/settings.json");
    let sources = ["scalegate.rego", "freeze.rego", "limits.rego"].map(|name| rego.join(name));
    let shape = |name, question| Shape::new(name, sources.to_vec(), settings.clone(), question, opa, work);
    Ok(vec![shape(READ, "viewer-gets")?, shape(SET, "operator-sets")?])
}

/// Policies that are made, compiled by `opa` into `work`. They refuse the question, a read.
pub(crate) fn made(opa: &Path, work: &Path) -> Result<Vec<Shape>> {
    let shape = |(name, rules, content): (_, String, Value)| {
        let directory = directory(work, name)?;
        let (policy, data) = (directory.join("policy.rego"), directory.join("data.json"));
        fs::write(&policy, format!("package scalegate\n\n{rules}\n"))?;
        fs::write(&data, content.to_string())?;
        Shape::new(name, vec![policy], data, "viewer-gets", opa, work)
    };
    sources().into_iter().map(shape).collect()
}

impl Shape {
    fn new(
        name: &'static str,
        rego: Vec<PathBuf>,
        data: PathBuf,
        question: &str,
        opa: &Path,
        work: &Path,
    ) -> Result<Self> {
        let directory = directory(work, name)?;
        let bundle = directory.join("bundle.tar.gz");
        let mut build = Command::new(opa);
        build.args(["build", "--target", "wasm", "--optimize", "0", "--entrypoint", "scalegate/verdict", "--output"]);
        run(build.arg(&bundle).args(&rego))?;
        let module = directory.join("module.wasm");
        fs::write(&module, run(Command::new("tar").arg("-xzPOf").arg(&bundle).arg("/policy.wasm"))?.stdout)?;
        let input = repository().join(format!("policies/rego/examples/{question}.input.json"));
        let questions = directory.join("questions.json");
        fs::write(&questions, format!("[{}]", fs::read_to_string(&input)?))?;
        Ok(Self { name, module, rego, data, input, questions })
    }

    /// Makes the policy the only one of `set`, a directory with the policies of a gateway.
    pub(crate) fn install(&self, set: &Path) -> Result<()> {
        for (source, name) in [(&self.module, "module.wasm"), (&self.data, "data.json")] {
            fs::copy(source, set.join(name)).with_context(|| format!("copy {}", source.display()))?;
        }
        let entry = json!({
            "name": "bench", "mode": "enforce", "match": { "actions": ["get", "set"] },
            "module": "module.wasm", "sha256": sha256(&self.module)?,
            "data": "data.json", "dataSha256": sha256(&self.data)?,
            "budget": { "deadline": "1s" },
        });
        fs::write(set.join("policies.yaml"), json!({ "modules": [entry] }).to_string())?;
        Ok(())
    }
}

/// A directory for the files of a policy.
fn directory(work: &Path, name: &str) -> Result<PathBuf> {
    let directory = work.join(name.replace([' ', ','], "-"));
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

fn sha256(file: &Path) -> Result<String> {
    let output = run(Command::new("sha256sum").arg(file))?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().next().context("sha256sum gives nothing")?.to_owned())
}

/// Names, rules and data.
fn sources() -> [(&'static str, String, Value); 4] {
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
    for number in 0..RULE_COUNT {
        let name = format!("part{}", number / PART);
        // Writing to a string cannot fail.
        if number % PART == 0 {
            let _ = write!(rules, "\nallow if {name}\n");
        }
        let _ = write!(
            rules,
            "\n{name} if {{\n\tinput.target.name == \"app-{number}\"\n\tinput.client.id == \"someone\"\n}}\n"
        );
    }
    [
        (TEXTS, texts, json!({})),
        (PATTERNS, patterns, json!({})),
        (DATA, data, json!({ "limits": entries })),
        (RULES, rules, json!({})),
    ]
}
