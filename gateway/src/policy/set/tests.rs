//! Directories of policies that cannot be used, each with its reason.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::policy::rego::testing::{Fake, LOOP};
use crate::policy::testing::{Written, module, write};

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

#[test]
fn settings_reach_the_module_as_data() {
    // The module answers with its data, which is no verdict and is quoted in the error.
    let (_directory, set) =
        loaded(&[module("a", &Fake::evaluating("(local.get 2)")).with(", settings: {max: 3, who: [\"é\"]}")]);
    let answer = set.unwrap().modules()[0].module.evaluate(b"{}", Timestamp::UNIX_EPOCH).unwrap_err().to_string();
    assert!(answer.contains("invalid type: map, expected a sequence"), "{answer}");
}
