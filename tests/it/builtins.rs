//! The builtins of the gateway beside those of `opa eval`, call by call.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use scalegate::policy::rego::{Module, builtins_page, capabilities, host_builtins};
use scalegate::policy::{Budget, Engine, EvalError};
use scalegate_tests::paths::repository;

use crate::modules::{VERDICT, compiled_with, opa};

/// OPA compiles what is deprecated only with this.
const OLD: &str = "--v0-compatible";

/// What the compiler makes of operators and statements, and nobody calls by name.
const OPERATORS: [&str; 5] = ["eq", "assign", "internal.member_2", "internal.member_3", "internal.template_string"];

/// A call of a builtin.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// In JSON, as they are written: a number may be beyond all floats.
    pub(crate) arguments: Vec<String>,
    /// Whether it ends the evaluation here, where OPA may have an answer.
    ends: bool,
}

/// The calls that are written down beside the builtins.
pub(crate) fn calls() -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    for entry in std::fs::read_dir(repository().join("gateway/src/policy/rego/builtins/cases"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        for line in std::fs::read_to_string(path)?.lines().filter(|line| !line.starts_with('#')) {
            let (ends, call) = line.strip_prefix("! ").map_or((false, line), |call| (true, call));
            let (name, arguments) = call.split_once(' ').with_context(|| line.to_owned())?;
            calls.push(Call { name: name.to_owned(), arguments: items(arguments), ends });
        }
    }
    Ok(calls)
}

/// The items of an array in JSON.
fn items(array: &str) -> Vec<String> {
    let (mut items, mut depth, mut in_text, mut escaped) = (vec![String::new()], 0, false, false);
    for next in array[1..array.len() - 1].chars() {
        match next {
            '"' if !escaped => in_text = !in_text,
            '[' | '{' if !in_text => depth += 1,
            ']' | '}' if !in_text => depth -= 1,
            ',' if !in_text && depth == 0 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        escaped = next == '\\' && !escaped;
        items.last_mut().expect("one at least").push(next);
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

/// Functions that make a set of `{"$set": […]}`, at four levels.
fn decoders() -> Vec<String> {
    let mut rules = vec![
        "import future.keywords".to_owned(),
        "decoded_0(x) := x".to_owned(),
        "is_set_of(x) if { is_object(x); x[\"$set\"] }".to_owned(),
        "is_scalar(x) if { not is_array(x); not is_object(x) }".to_owned(),
    ];
    for level in 1..=4 {
        let (head, inner) = (format!("decoded_{level}(x)"), format!("decoded_{}", level - 1));
        rules.extend([
            format!("{head} := {{v | some item in x[\"$set\"]; v := {inner}(item)}} if is_set_of(x)"),
            format!("{head} := [v | some item in x; v := {inner}(item)] if is_array(x)"),
            format!(
                "{head} := {{k: v | some k, item in x; v := {inner}(item)}} if {{ is_object(x); not is_set_of(x) }}"
            ),
            format!("{head} := x if is_scalar(x)"),
        ]);
    }
    rules
}

/// Rules that answer all calls of the input: a text each, or `undefined`. OPA keeps what a function gave for an equal
/// number, and 1 equals 1.0, so only arguments with sets pass through functions.
fn rules(calls: &[Call]) -> String {
    let arities: BTreeMap<_, _> = calls.iter().map(|call| (call.name.as_str(), call.arguments.len())).collect();
    let mut rules = decoders();
    for (index, (name, arity)) in arities.iter().enumerate() {
        for (sets, before, after) in [("not call.sets", "", ""), ("call.sets", "decoded_4(", ")")] {
            let arguments = (0..*arity).map(|index| format!("{before}call.arguments[{index}]{after}"));
            let arguments = arguments.collect::<Vec<_>>().join(", ");
            rules.push(format!(
                "texts_{index}[place] := text if {{\n  some place, call in input.calls\n  call.name == \"{name}\"\n  {sets}\n  \
                 value := {name}({arguments})\n  text := sprintf(\"%v\", [[value]])\n}}"
            ));
        }
    }
    let texts: Vec<_> = (0..arities.len()).map(|index| format!("texts_{index}")).collect();
    rules.push(format!("texts := object.union_n([{}])", texts.join(", ")));
    rules.push(
        "reasons := [text | some place, _ in input.calls; text := object.get(texts, place, \"undefined\")]".to_owned(),
    );
    rules.push("verdict := {\"allow\": true, \"reasons\": reasons}\n".to_owned());
    rules.join("\n")
}

/// The gateway and OPA, with the same rules.
pub(crate) struct Engines {
    module: Module,
    directory: tempfile::TempDir,
}

impl Engines {
    /// Rules that know the builtins of these calls.
    pub(crate) fn new(calls: &[Call]) -> Result<Self> {
        let rules = rules(calls);
        let budget = Budget { deadline: Duration::from_secs(1), memory_bytes: 64 << 20, output_bytes: 64 << 10 };
        let module = Module::load(&Engine::new()?, &compiled_with(&[OLD], &rules, VERDICT)?, budget, b"{}")?;
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("policy.rego"), format!("package scalegate\n\n{rules}"))?;
        Ok(Self { module, directory })
    }

    /// What the gateway answers to one call.
    pub(crate) fn ours(&self, call: &Call) -> Result<String, EvalError> {
        let input = input(std::slice::from_ref(call));
        let evaluation = self.module.evaluate(input.as_bytes(), Timestamp::UNIX_EPOCH)?;
        Ok(evaluation.verdict.reasons.concat())
    }

    /// What OPA answers to all of them, in one run.
    pub(crate) fn theirs(&self, calls: &[Call]) -> Result<Vec<String>> {
        let policy = self.directory.path().join("policy.rego");
        let mut eval = Command::new(opa()?);
        eval.args(["eval", OLD, "--format", "raw", "--stdin-input", "--data"]).arg(policy);
        eval.arg("data.scalegate.verdict.reasons").env("TZ", "UTC");
        let mut child = eval.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("stdin")?.write_all(input(calls).as_bytes())?;
        let output = child.wait_with_output()?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)]).into_owned();
        ensure!(output.status.success(), "opa eval: {}{}", said(&output.stdout), said(&output.stderr));
        let answers: Vec<String> = serde_json::from_slice(&output.stdout).context("opa eval")?;
        ensure!(answers.len() == calls.len(), "{} answers to {} calls", answers.len(), calls.len());
        Ok(answers)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments = self.arguments.join(", ");
        let sets = arguments.contains("$set");
        write!(f, r#"{{"name": "{}", "sets": {sets}, "arguments": [{arguments}]}}"#, self.name)
    }
}

fn input(calls: &[Call]) -> String {
    let calls: Vec<_> = calls.iter().map(Call::to_string).collect();
    format!(r#"{{"calls": [{}]}}"#, calls.join(",\n"))
}

#[test]
fn each_builtin_answers_as_opas_does() -> Result<()> {
    let calls = calls()?;
    let engines = Engines::new(&calls)?;
    let mut wrong = Vec::new();
    for (call, theirs) in calls.iter().zip(engines.theirs(&calls)?) {
        match engines.ours(call) {
            Err(EvalError::Unsupported(_)) if call.ends => {}
            Ok(ours) if ours == theirs && !call.ends => {}
            ours => wrong.push(format!("{call}\n  here {ours:?}\n  OPA  {theirs:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {} calls:\n{}", wrong.len(), calls.len(), wrong.join("\n"));
    Ok(())
}

/// A rule that calls each of these builtins as OPA declares it.
fn calling(names: &[&str], declared: &serde_json::Value) -> Result<String> {
    let mut rules = vec!["import future.keywords".to_owned()];
    for builtin in declared["builtins"].as_array().context("builtins")? {
        let name = builtin["name"].as_str().context("name")?;
        if !names.contains(&name) {
            continue;
        }
        let arity = builtin["decl"]["args"].as_array().map_or(0, Vec::len);
        let arguments: Vec<_> = (0..arity).map(|index| format!("input.a{index}")).collect();
        rules.push(format!("calls contains 1 if {name}({})", arguments.join(", ")));
    }
    rules.push("verdict := {\"allow\": true, \"reasons\": [\"\" | some _ in calls]}".to_owned());
    Ok(rules.join("\n"))
}

/// A declaration without what describes it.
fn bare(declaration: &serde_json::Value) -> serde_json::Value {
    let mut bare = declaration.clone();
    for field in ["categories", "description"] {
        bare.as_object_mut().expect("an object").remove(field);
    }
    let declared = &mut bare["decl"];
    let arguments = declared["args"].as_array().map_or(0, Vec::len);
    let types = (0..arguments).map(|index| format!("/args/{index}")).chain(["/result".to_owned()]);
    for place in types {
        if let Some(described) = declared.pointer_mut(&place).and_then(serde_json::Value::as_object_mut) {
            described.remove("description");
            described.remove("name");
        }
    }
    bare
}

#[test]
fn capabilities_are_opas_without_what_is_refused() -> Result<()> {
    let theirs: serde_json::Value =
        serde_json::from_slice(&Command::new(opa()?).args(["capabilities", "--current"]).output()?.stdout)?;
    let ours: serde_json::Value = serde_json::from_str(&capabilities())?;
    let page = builtins_page();
    let (mut refused, mut kept) = (Vec::new(), Vec::new());
    for builtin in theirs["builtins"].as_array().context("builtins")? {
        let name = builtin["name"].as_str().context("name")?;
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with(&format!("| `{name}("))).collect();
        assert_eq!(rows.len(), 1, "{name}: {rows:?}");
        if rows[0].contains("` | refused |") {
            refused.push(name);
        } else {
            kept.push(bare(builtin));
        }
    }
    assert_eq!(ours["builtins"], serde_json::Value::from(kept));
    for field in ["features", "future_keywords", "wasm_abi_versions"] {
        assert_eq!(ours[field], theirs[field], "{field}");
    }
    // Those that only `opa test` calls are not in a module.
    refused.retain(|name| !name.starts_with("internal."));
    let module = compiled_with(&[OLD], &calling(&refused, &theirs)?, VERDICT)?;
    let error = Module::load(&Engine::new()?, &module, Budget::default(), b"{}").unwrap_err().to_string();
    for name in refused {
        assert!(error.contains(&format!(" {name} (")), "{name}: {error}");
    }
    Ok(())
}

/// What OPA compiles into a module, the module does not ask the host for; all else the host has.
#[test]
fn a_module_asks_the_host_for_what_the_host_has_and_nothing_else() -> Result<()> {
    let declared: serde_json::Value = serde_json::from_str(&capabilities())?;
    // `print` is a statement, and these are what the compiler makes of others.
    let names: Vec<_> = declared["builtins"]
        .as_array()
        .context("builtins")?
        .iter()
        .filter_map(|builtin| builtin["name"].as_str())
        .collect();
    let called: Vec<_> =
        names.into_iter().filter(|name| !name.contains("print") && !OPERATORS.contains(name)).collect();
    let module = compiled_with(&[OLD], &calling(&called, &declared)?, VERDICT)?;
    let module = Module::load(
        &Engine::new()?,
        &module,
        Budget { deadline: Duration::from_secs(1), ..Budget::default() },
        b"{}",
    )?;
    let asked: BTreeSet<_> = module.host_builtins().collect();
    let hosts: BTreeSet<_> = host_builtins().filter(|name| !name.contains("print")).collect();
    assert_eq!(asked, hosts);
    Ok(())
}

#[test]
fn opa_refuses_by_our_capabilities_what_the_gateway_would_refuse() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text);
    write("capabilities.json", &capabilities())?;
    write(
        "policy.rego",
        "package scalegate\n\nverdict := {\"allow\": true, \"reasons\": []} if {\n  http.send({\"url\": input.url})\n}\n",
    )?;
    for command in ["build", "check"] {
        let mut opa = Command::new(opa()?);
        opa.args([command, "--capabilities", "capabilities.json"]);
        if command == "build" {
            opa.args(["--target", "wasm", "--entrypoint", VERDICT]);
        }
        let output = opa.arg("policy.rego").current_dir(&directory).output()?;
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(
            !output.status.success() && said.contains("policy.rego:4: rego_type_error: undefined function http.send"),
            "{said}"
        );
    }
    Ok(())
}

#[test]
fn a_policy_may_print() -> Result<()> {
    let rules = "verdict := {\"allow\": true, \"reasons\": []} if print(\"asked\", input.a, input.b)";
    for arguments in [&[][..], &["--wasm-include-print"]] {
        let module =
            Module::load(&Engine::new()?, &compiled_with(arguments, rules, VERDICT)?, Budget::default(), b"{}")?;
        assert!(module.evaluate(b"{\"a\": 1}", Timestamp::UNIX_EPOCH)?.verdict.allow);
    }
    Ok(())
}
