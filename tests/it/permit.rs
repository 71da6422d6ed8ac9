//! No way around the policies: a handler that does not ask them does not compile.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use scalegate_tests::paths::repository;

const OPERATIONS: &str = "gateway/src/api/operations.rs";
/// The doors, each with the type that has the operations.
const DOORS: [(&str, &str); 2] =
    [("gateway/src/api/http.rs", "HttpApi"), ("gateway/src/api/grpc/service.rs", "ReplicaDoor")];

#[test]
fn a_handler_without_its_policy_call_does_not_compile() -> Result<()> {
    let source = std::fs::read_to_string(repository().join(OPERATIONS))?;
    let handlers = [
        "async fn get",
        "async fn history",
        "async fn list",
        "async fn set",
        "async fn release",
        "pub(super) fn repeat",
    ];
    for name in handlers {
        assert!(source.contains(&format!("    {name}(")), "there is no handler {name}");
    }
    let handlers = handlers.len();
    let (without, removed) = without_policy_calls(&source)?;
    let dry_runs = source.matches("DryRun(change.action)").count();
    assert_eq!(removed, handlers + dry_runs, "each handler asks the policies once, and once for its dry run");
    assert_eq!(dry_runs, 2);

    let errors = check("no-policy-call", &[(OPERATIONS, without)])?;
    for value in ["permit", "listing"] {
        assert!(errors.contains(&format!("cannot find value `{value}` in this scope")), "{errors}");
    }
    // A handler mentions its permit more than once; each mention is an error.
    let functions = errors.lines().filter(|line| line.contains(OPERATIONS) && line.contains("E0425")).count();
    assert!(functions >= handlers, "{errors}");
    Ok(())
}

#[test]
fn a_permit_cannot_be_forged_nor_the_cache_reached_around_it() -> Result<()> {
    let source = std::fs::read_to_string(repository().join(OPERATIONS))?;
    for (case, code, error) in [
        (
            "forged-permit",
            "fn forge(permit: Permit<Set>, action: Set) -> Permit<Set> { Permit { action, ..permit } }",
            "of struct `permit::Permit` are private",
        ),
        (
            "converted-permit",
            "fn convert(permit: Permit<Get>) -> Permit<Set> { permit }",
            "expected `Permit<Set>`, found `Permit<Get>`",
        ),
        (
            "dry-run",
            "async fn write(targets: &Targets, permit: Permit<DryRun<Set>>) { let _ = targets.set(&permit, None).await; }",
            "expected `&Permit<Set>`, found `&Permit<DryRun<Set>>`",
        ),
        (
            "cache",
            "impl Operations { fn look(&self, name: &WorkloadRef) -> Observation { self.policy.replicas.observe(name) } }",
            "field `replicas` of struct `policy::Policy` is private",
        ),
    ] {
        let errors = check(case, &[(OPERATIONS, format!("{source}\n{code}\n"))])?;
        assert!(errors.contains(error), "no {error:?} in:\n{errors}");
    }
    Ok(())
}

#[test]
fn no_door_leads_past_the_operations() -> Result<()> {
    let mut sources = Vec::new();
    for (door, of) in DOORS {
        let source = std::fs::read_to_string(repository().join(door))?;
        let past = format!(
            "impl {of} {{ fn past(&self) {{ let _ = (&self.operations.policy, &self.operations.targets); }} }}"
        );
        sources.push((door, format!("{source}\n{past}\n")));
    }
    let errors = check("doors", &sources)?;
    for (door, _) in DOORS {
        for field in ["policy", "targets"] {
            let error = format!("field `{field}` of struct `Operations` is private");
            let found = errors.lines().any(|line| line.contains(door) && line.contains(&error));
            assert!(found, "no {error:?} in {door}:\n{errors}");
        }
    }
    Ok(())
}

/// The source without the statements that ask the policies, and how many there were.
fn without_policy_calls(source: &str) -> Result<(String, usize)> {
    let (mut rest, mut kept, mut removed) = (source, String::new(), 0);
    while let Some(at) = ["let permit = self.policy.", "let listing ="].iter().filter_map(|call| rest.find(call)).min()
    {
        kept.push_str(&rest[..at]);
        let end = rest[at..].find(";\n").context("the end of a statement")?;
        rest = &rest[at + end + 1..];
        removed += 1;
    }
    Ok((kept + rest, removed))
}

/// What the compiler says of the gateway with other `sources`; an error if it compiles.
fn check(case: &str, sources: &[(&str, String)]) -> Result<String> {
    let copy = repository().join("target/compile-fail").join(case);
    if copy.exists() {
        std::fs::remove_dir_all(&copy)?;
    }
    for name in [
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
        "gateway",
        "certs/Cargo.toml",
        "certs/src",
        "tests/Cargo.toml",
        "bench/Cargo.toml",
    ] {
        copy_tree(&repository().join(name), &copy.join(name))?;
    }
    for target in [
        "tests/harness/lib.rs",
        "tests/it/main.rs",
        "tests/bin/guard.rs",
        "tests/bin/demo.rs",
        "tests/bin/dev.rs",
        "tests/bin/terminal.rs",
        "bench/src/main.rs",
    ] {
        let path = copy.join(target);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        std::fs::write(path, "fn main() {}")?;
    }
    for (file, source) in sources {
        std::fs::write(copy.join(file), source)?;
    }
    // The target directory of this workspace: its dependencies are checked already.
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["check", "--offline", "--workspace", "--all-targets", "--message-format", "short"])
        .env("CARGO_TARGET_DIR", target_directory()?)
        .current_dir(&copy)
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    anyhow::ensure!(!output.status.success(), "{case} compiles");
    Ok(text)
}

fn target_directory() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    Ok(this.ancestors().nth(3).context("a target directory above this program")?.to_owned())
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    std::fs::create_dir_all(to.parent().unwrap_or(Path::new("/")))?;
    std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
