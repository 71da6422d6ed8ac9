//! The example policy, the development policies and the schema, as they are checked in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::*;

fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn example_policy() -> Vec<u8> {
    let path = workspace("target/policies/scalegate.wasm");
    fs::read(&path).unwrap_or_else(|error| panic!("run `make policies` first: {}: {error}", path.display()))
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_example_policy_gives_the_verdicts_that_opa_gives() {
    let engine = Engine::new().unwrap();
    let wasm = example_policy();
    let examples = workspace("policies/rego/examples");
    let budget = Budget { deadline: Duration::from_secs(1), ..Budget::default() };
    let load = |settings: &Path| rego::Module::load(&engine, &wasm, budget, &fs::read(settings).unwrap()).unwrap();
    let mut modules: BTreeMap<PathBuf, rego::Module> = BTreeMap::new();
    let mut compared = 0;
    for entry in fs::read_dir(&examples).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".input.json") else { continue };
        let settings = examples.join(format!("{name}.settings.json"));
        let settings = if settings.exists() { settings } else { examples.join("settings.json") };
        let module = modules.entry(settings).or_insert_with_key(|settings| load(settings));
        let input = fs::read(examples.join(format!("{name}.input.json"))).unwrap();
        let verdict = module.evaluate(&input, Timestamp::now()).unwrap().verdict;
        let expected: Verdict = serde_json::from_value(json(&examples.join(format!("{name}.verdict.json")))).unwrap();
        assert_eq!(verdict, expected, "{name}");
        compared += 1;
    }
    assert!(compared > 0, "{} holds no examples", examples.display());
}

#[tokio::test]
async fn the_development_policies_decide_about_the_gateways_own_document() {
    for (variant, expected) in [("normal", None), ("freeze", Some("changes are frozen"))] {
        let directory = workspace("target/policies").join(variant);
        let started = PolicyReloader::start(Loader::new(Engine::new().unwrap()), &directory, metrics());
        let (_, live) = started.unwrap_or_else(|error| panic!("run `make policies` first: {error}"));
        let decided = Evaluator::new(live, metrics(), audit())
            .decide(&caller(), turn(), asked(input(Action::Set, "demo"), Effect::Read))
            .await;
        match (decided, expected) {
            (Ok(Allowed { tags, .. }), None) => assert_eq!(tags, labelled(&[("role", "ci")])),
            (Err(Denied::Refused { reasons, .. }), Some(reason)) => {
                assert!(reasons[0].starts_with(reason), "{reasons:?}");
            }
            (other, _) => panic!("{variant}: {other:?}"),
        }
    }
}

#[test]
fn the_checked_in_schema_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/schema.json");
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    assert_eq!(
        json(&checked_in),
        json(&crate::policy::document::schema()),
        "run `make schema` and read the difference"
    );
}
