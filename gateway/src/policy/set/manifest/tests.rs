#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn module(changes: &str) -> String {
    let digest = "0".repeat(64);
    format!("modules:\n- {{name: a, module: a.wasm, sha256: \"{digest}\", mode: enforce{changes}}}\n")
}

fn refusal(yaml: &str) -> String {
    parse(yaml).unwrap_err().to_string()
}

#[test]
fn defaults_stand_in_for_what_is_absent() {
    let entries = parse(&module("")).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].budget, Budget::default());
    assert!(entries[0].settings.is_empty() && entries[0].data.is_none());
}

#[test]
fn every_field_is_read() {
    let yaml = module(
        ", match: {actions: [get, set], namespaces: [\"team-*\"], namespaceLabels: {tier: web}}, \
         settings: {max: 3, deep: {list: [1, two]}}, budget: {deadline: 20ms, memoryBytes: 1048576, outputBytes: 10}",
    );
    let entry = parse(&yaml).unwrap().remove(0);
    assert_eq!(serde_json::Value::from(entry.settings), serde_json::json!({"max": 3, "deep": {"list": [1, "two"]}}));
    let deadline = Duration::from_millis(20);
    assert_eq!(entry.budget, Budget { deadline, memory_bytes: 1 << 20, output_bytes: 10 });
    assert_eq!(entry.matcher.actions, Some(vec![Action::Get, Action::Set]));
    assert_eq!(entry.matcher.namespace_labels, BTreeMap::from([("tier".to_owned(), "web".to_owned())]));
}

#[test]
fn a_data_file_is_named_with_its_digest() {
    let digest = "A".repeat(64);
    let entry = parse(&module(&format!(", data: rates.json, dataSha256: \"{digest}\""))).unwrap().remove(0);
    let data = entry.data.unwrap();
    assert_eq!((data.file.as_str(), data.sha256), ("rates.json", digest.to_ascii_lowercase()));
}

#[test]
fn what_is_out_of_bounds_is_told_all_at_once() {
    let yaml = "modules:\n\
        - {name: A, module: ../a.wasm, sha256: abc, mode: shadow, budget: {deadline: 2s, memoryBytes: 1, outputBytes: 0}}\n\
        - {name: b, module: b/c.wasm, sha256: abc, mode: audit, match: {actions: [], namespaces: [\"a*b\"]}}\n\
        - {name: b, module: b.wasm, sha256: abc, mode: enforce, match: {namespaces: []}}\n\
        - {name: c, module: c.wasm, sha256: abc, mode: enforce, data: data.json}\n\
        - {name: d, module: d.wasm, sha256: abc, mode: enforce, dataSha256: abc}\n\
        - {name: e, module: e.wasm, sha256: abc, mode: enforce, data: ../data.yaml, dataSha256: abc}\n";
    let refusal = refusal(yaml);
    for part in [
        "module \"A\": name must",
        "module \"A\": module must",
        "module \"A\": sha256 must",
        "module \"A\": mode must be enforce: shadow is not supported yet",
        "module \"A\": budget.deadline must",
        "module \"A\": budget.memoryBytes must be from 1048576 to 268435456",
        "module \"A\": budget.outputBytes must be from 1 to 1048576",
        "module \"b\": module must",
        "module \"b\": mode must be enforce, not \"audit\"",
        "module \"b\": match.actions must",
        "module \"b\": match.namespaces has \"a*b\"",
        "module \"b\": match.namespaces must",
        "the name \"b\" is taken twice",
        "module \"c\": data \"data.json\" is there without dataSha256",
        "module \"d\": dataSha256 is there without data",
        "module \"e\": data must be the name of a .json file in the directory, not \"../data.yaml\"",
        "module \"e\": dataSha256 must be 64 hexadecimal digits",
    ] {
        assert!(refusal.contains(part), "{part} is not in {refusal}");
    }
}

#[test]
fn another_shape_is_refused() {
    for yaml in [
        "",
        "modules",
        "{}",
        "modules: {}",
        "modules: []\nmore: 1",
        &module(", settings: 3"),
        &module(", Budget: {}"),
        &module(", match: {actions: [got]}"),
        &module(", match: {labels: {}}"),
        &module(", budget: {memoryBytes: -1}"),
        &module(", budget: {fuel: 1}"),
    ] {
        assert!(refusal(yaml).starts_with("policies.yaml: "), "{yaml}");
    }
    assert_eq!(refusal("modules: []"), "policies.yaml: a set without modules would deny everything");
}

#[test]
fn a_set_has_a_bounded_number_of_modules() {
    let digest = "0".repeat(64);
    let set = |count: usize| {
        let entry = |number| format!("- {{name: m{number}, module: a.wasm, sha256: \"{digest}\", mode: enforce}}\n");
        format!("modules:\n{}", (0..count).map(entry).collect::<String>())
    };
    assert_eq!(parse(&set(MODULES)).unwrap().len(), MODULES);
    let expected = "policies.yaml: module \"m256\" is one too many of 1000: 256 at most; ";
    assert!(refusal(&set(1000)).starts_with(expected), "{}", refusal(&set(1000)));
}
