//! Which directories of policies load, and the reasons why others do not.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::policy::budget::MOST_MEMORY_BYTES;
use crate::policy::rego::testing::{Fake, LOOP};
use crate::policy::testing::{Written, module, sha256, write};

fn loaded(modules: &[Written]) -> (TempDir, Result<PolicySet, SetError>) {
    let directory = TempDir::new().unwrap();
    write(directory.path(), modules);
    let set = PolicySet::load(&Engine::new().unwrap(), directory.path());
    (directory, set)
}

fn refusal(directory: &TempDir) -> String {
    PolicySet::load(&Engine::new().unwrap(), directory.path()).unwrap_err().to_string()
}

#[test]
fn a_set_is_loaded_in_its_order() {
    let (_directory, set) = loaded(&[module("b", &Fake::default()), module("a", &Fake::default())]);
    let names: Vec<_> = set.unwrap().modules().iter().map(|module| module.name.clone()).collect();
    assert_eq!(names, ["b", "a"]);
}

#[test]
fn the_digest_is_of_all_that_decides() {
    let digest = |modules: &[Written]| loaded(modules).1.unwrap().digest().to_string();
    let one = || module("a", &Fake::default());
    let first = digest(&[one()]);
    assert_eq!(first, digest(&[one()]));
    assert_eq!(first.len(), 64);
    assert_ne!(first, digest(&[one().with(", settings: {max: 1}")]));
    assert_ne!(first, digest(&[module("a", &Fake::giving(r#"{"allow":false,"reasons":["no"]}"#))]));
}

#[test]
fn every_broken_module_is_told_with_its_reason() {
    let truncated = Written { wasm: Fake::default().wasm()[..100].to_vec(), ..module("truncated", &Fake::default()) };
    let no_entrypoint = Fake { entrypoints: r#"{"a/b":0}"#.to_owned(), ..Fake::default() };
    let trapping = Fake { start: "unreachable".to_owned(), ..Fake::default() };
    let looping = Fake { start: LOOP.to_owned(), ..Fake::default() };
    let (directory, first) = loaded(&[
        truncated,
        module("no-entrypoint", &no_entrypoint),
        module("trapping", &trapping),
        Written { more: String::new(), ..module("looping", &looping) },
        module("good", &Fake::default()),
        module("missing", &Fake::default()),
        module("changed", &Fake::default()),
    ]);
    assert!(first.is_err());
    fs::remove_file(directory.path().join("missing.wasm")).unwrap();
    fs::write(directory.path().join("changed.wasm"), "other bytes").unwrap();
    let refusal = refusal(&directory);
    for part in [
        r#"module "truncated" (truncated.wasm): it does not compile: "#,
        r#"module "no-entrypoint" (no-entrypoint.wasm): it has no entrypoint scalegate/verdict, only a/b"#,
        r#"module "trapping" (trapping.wasm): it does not start: it trapped: "#,
        r#"module "looping" (looping.wasm): it does not start: it took longer than its deadline of 5ms"#,
        r#"module "changed" (changed.wasm): its sha256 is "#,
        "missing.wasm cannot be read: ",
    ] {
        assert!(refusal.contains(part), "{part} is not in {refusal}");
    }
    assert!(!refusal.contains("good"), "{refusal}");
}

#[test]
fn a_directory_without_policies_is_refused() {
    let directory = TempDir::new().unwrap();
    assert!(refusal(&directory).contains("policies.yaml cannot be read: "));
    fs::create_dir(directory.path().join("policies.yaml")).unwrap();
    assert!(refusal(&directory).ends_with("policies.yaml is no regular file"));
}

#[test]
fn files_without_end_are_not_read_to_it() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("policies.yaml");
    fs::File::create(&path).unwrap().set_len(MANIFEST_BYTES + 1).unwrap();
    assert!(refusal(&directory).ends_with("policies.yaml is longer than 1048576 bytes"));
    write(directory.path(), &[module("a", &Fake::default())]);
    fs::File::create(directory.path().join("a.wasm")).unwrap().set_len(MODULE_BYTES + 1).unwrap();
    assert!(refusal(&directory).ends_with("a.wasm is longer than 33554432 bytes"));
}

/// What a module sees as `data`: this one answers with it, and the error quotes the answer since it is no verdict.
fn data_of(more: &str, files: &[(&str, &str)]) -> String {
    let directory = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    write(directory.path(), &[module("a", &Fake::evaluating("(local.get 2)")).with(more)]);
    refusal(&directory).split_once("answered get with: ").unwrap().1.to_owned()
}

/// The fields of an entry that name `file` with this content.
fn naming(file: &str, text: &str) -> String {
    format!(", data: {file}, dataSha256: {}", sha256(text.as_bytes()))
}

#[test]
fn settings_and_the_data_file_reach_the_module_as_data() {
    let settings = ", settings: {max: 3, who: [\"é\"]}";
    assert_eq!(data_of(settings, &[]), r#"{"settings":{"max":3,"who":["é"]}}"#);
    let (data, both) = (r#"{"rates": {"a": 1.50}}"#, r#"{"settings":{"max":3,"who":["é"]},"rates": {"a": 1.50}}"#);
    assert_eq!(data_of(&format!("{settings}{}", naming("rates.json", data)), &[("rates.json", data)]), both);
}

#[test]
fn a_data_file_is_pinned_and_is_part_of_the_digest() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("data.json");
    let set = |pinned: &str, text: &str| {
        fs::write(&file, text).unwrap();
        write(directory.path(), &[module("a", &Fake::default()).with(&naming("data.json", pinned))]);
        PolicySet::load(&Engine::new().unwrap(), directory.path())
    };
    let first = set("{}", "{}").unwrap().digest().to_string();
    assert_ne!(first, set("{\"a\": 1}", "{\"a\": 1}").unwrap().digest().to_string());
    let torn = set("{}", "{\"a\": 1}").unwrap_err();
    assert!(torn.to_string().contains("its data: the sha256 of data.json is ") && torn.may_pass(), "{torn}");
    let wrong = set("[]", "[]").unwrap_err();
    assert!(
        wrong.to_string().contains("its data: data.json: it is not a usable JSON object") && !wrong.may_pass(),
        "{wrong}"
    );
    fs::File::create(&file).unwrap().set_len(data::BYTES + 1).unwrap();
    assert!(refusal(&directory).ends_with("data.json is longer than 1048576 bytes"));
    fs::remove_file(&file).unwrap();
    assert!(refusal(&directory).contains("data.json cannot be read: "));
}

#[test]
fn a_data_file_that_no_module_names_is_refused_with_the_way_to_name_it() {
    let directory = TempDir::new().unwrap();
    write(directory.path(), &[module("a", &Fake::default())]);
    for (name, refused) in [("notes.txt", false), (".data.json", false), ("Data.JSON", true)] {
        let file = directory.path().join(name);
        fs::write(&file, "{}").unwrap();
        let loaded = PolicySet::load(&Engine::new().unwrap(), directory.path());
        assert_eq!(loaded.is_err(), refused, "{name}");
        if let Err(error) = loaded {
            assert!(error.to_string().contains("`data: Data.JSON` and `dataSha256: …`"), "{error}");
        }
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn a_module_is_asked_what_its_match_lets_through_and_nothing_else() {
    // Its verdict is undefined for all actions but get.
    let at = r#"{"apiVersion":"scalegate.dev/v1","client":"#.len();
    let only_get = |more: &str| {
        let body = format!(
            "(local $at i32) (local.set $at (i32.add (local.get 3) (i32.const {at})))
             (block $found (loop $next
               (br_if $found (i32.eq (i32.load (local.get $at)) (i32.const 0x69746361)))
               (local.set $at (i32.add (local.get $at) (i32.const 1))) (br $next)))
             (if (result i32) (i32.eq (i32.load8_u (i32.add (local.get $at) (i32.const 9))) (i32.const {}))
               (then (i32.const 4096)) (else (i32.const 8192)))",
            b'g'
        );
        let fake = Fake { imports: r#"(data (i32.const 8192) "[]\00")"#.to_owned(), ..Fake::evaluating(body) };
        loaded(&[module("a", &fake).with(more)]).1
    };
    for more in [
        ", match: {actions: [get]}",
        ", match: {actions: [get], namespaces: [\"team-*\"]}",
        ", match: {actions: [get], namespaceLabels: {tier: web}}",
        // A module that is bound to namespaces is never asked to describe the policies.
        ", match: {actions: [get, describe], namespaces: [shop]}",
    ] {
        assert!(only_get(more).is_ok(), "{more}: {}", only_get(more).unwrap_err());
    }
    for (more, action) in [
        ("", "set"),
        (", match: {actions: [release, get]}", "release"),
        (", match: {actions: [describe]}", "describe"),
        (", match: {namespaces: [shop], namespaceLabels: {tier: web}}", "set"),
    ] {
        let told = only_get(more).unwrap_err().to_string();
        let expected =
            format!("module \"a\" (a.wasm): asked about {action}, scalegate/verdict is undefined for this input; ");
        assert!(told.starts_with(&expected), "{more}: {told}");
    }
}

#[test]
fn advice_names_no_budget_that_a_module_cannot_have() {
    let grows = "(loop $more (drop (memory.grow $memory (i32.const 16))) (br $more)) unreachable";
    let (asked, started) = (Fake::evaluating(grows), Fake { start: grows.to_owned(), ..Fake::default() });
    let told = |fake: &Fake, bytes: usize| {
        let more = format!(", budget: {{memoryBytes: {bytes}}}");
        loaded(&[Written { more, ..module("a", fake) }]).1.unwrap_err().to_string()
    };
    for fake in [asked, started] {
        let some = told(&fake, 1 << 20);
        assert!(some.ends_with("its 1048576 bytes; give it a greater budget.memoryBytes, or less to do"), "{some}");
        let most = told(&fake, MOST_MEMORY_BYTES);
        let expected = "its 268435456 bytes; that is the most that a budget may have: give it less to do";
        assert!(most.ends_with(expected), "{most}");
    }
}

#[test]
fn a_missed_deadline_at_load_may_pass() {
    let looping = module("a", &Fake::evaluating(LOOP));
    let (_directory, set) = loaded(&[Written { more: ", budget: {deadline: 2ms}".to_owned(), ..looping }]);
    let error = set.unwrap_err();
    assert!(error.may_pass(), "{error}");
    let (_directory, set) = loaded(&[module("a", &Fake::evaluating("unreachable"))]);
    assert!(!set.unwrap_err().may_pass());
}

#[test]
fn a_set_that_costs_too_much_is_refused_before_anything_is_compiled() {
    let directory = TempDir::new().unwrap();
    let idle = wat::parse_str(format!("(module {})", "(func)".repeat(38_000))).unwrap();
    let modules = (0..20_u8).map(|number| {
        // A custom section makes it a different module.
        let wasm = [&*idle, &[0, 2, 1, number]].concat();
        Written { name: format!("idle-{number}").leak(), wasm, more: String::new() }
    });
    write(directory.path(), &modules.collect::<Vec<_>>());
    let mut loader = Loader::new(Engine::new().unwrap());
    let error = loader.load(directory.path()).unwrap_err();
    assert_eq!(loader.compiled(), 0);
    let expected = r#"module "idle-16" (idle-16.wasm): with it, the set is too much to compile (40000000 at most"#;
    assert!(error.to_string().starts_with(expected) && !error.may_pass(), "{error}");
}

#[test]
fn a_set_of_too_many_bytes_is_refused_before_anything_is_compiled() {
    let directory = TempDir::new().unwrap();
    write(directory.path(), &["a", "b", "c", "d"].map(|name| module(name, &Fake::default())));
    for file in ["b.wasm", "c.wasm", "d.wasm"] {
        fs::File::create(directory.path().join(file)).unwrap().set_len(MODULE_BYTES).unwrap();
    }
    let mut loader = Loader::new(Engine::new().unwrap());
    let error = loader.load(directory.path()).unwrap_err().to_string();
    assert_eq!(loader.compiled(), 0);
    let expected = r#"module "c" (c.wasm): with it, the modules of the set and their data and settings have more than 67108864 bytes"#;
    assert!(error.contains(expected) && !error.contains("module \"d\""), "{error}");
}

#[test]
fn entries_that_share_a_module_compile_and_count_it_once() {
    let directory = TempDir::new().unwrap();
    let modules: Vec<_> = (0..5).map(|number| module(format!("m{number}").leak(), &Fake::default())).collect();
    write(directory.path(), &modules);
    let mut loader = Loader::new(Engine::new().unwrap());
    assert_eq!(loader.load(directory.path()).unwrap().modules().len(), 5);
    assert_eq!(loader.compiled(), 1);
}
