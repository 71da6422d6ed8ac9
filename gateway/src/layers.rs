//! The modules stand in layers: each imports only modules that stand below it in the list of `lib.rs`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules in the order of the list in the crate's documentation.
fn layers(documentation: &str) -> Vec<String> {
    let items = documentation.lines().filter_map(|line| line.strip_prefix("//! - "));
    items.flat_map(|item| item.split(": ").next().unwrap_or_default().split(", ").map(name)).collect()
}

/// The module's name in a link such as [`config`].
fn name(link: &str) -> String {
    link.trim_matches(|character| "[`]".contains(character)).to_owned()
}

/// The top-level modules that a source file names as `crate::module`.
fn named(source: &str) -> BTreeSet<String> {
    let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let paths = code.split("crate::").skip(1);
    let word = |path: &str| path.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    paths.map(word).collect()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn no_module_imports_one_that_stands_above_it() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let library = fs::read_to_string(root.join("lib.rs")).unwrap();
    let layers = layers(&library);
    let floor = |module: &str| layers.iter().position(|layer| layer == module);
    for module in library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')) {
        assert!(floor(module).is_some(), "lib.rs does not list {module}");
    }
    let mut wrong = Vec::new();
    let mut imports = 0;
    for file in sources(root) {
        let inside = file.strip_prefix(root).unwrap();
        let module = inside.iter().next().unwrap().to_string_lossy();
        let Some(own) = floor(module.trim_end_matches(".rs")) else { continue };
        for other in named(&fs::read_to_string(&file).unwrap()) {
            let Some(other_floor) = floor(&other) else { continue };
            imports += 1;
            if other_floor < own {
                wrong.push(format!("{} imports {other}, which stands above {}", inside.display(), layers[own]));
            }
        }
    }
    assert!(imports > 50, "the imports were not found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_import_is_found_wherever_it_is_named() {
    let source = "use crate::{\n// crate::cli\nuse crate::config::Tls; fn f(x: crate::policy::Permit) {}";
    assert_eq!(named(source), ["", "config", "policy"].map(str::to_owned).into());
    assert_eq!(layers("//! - [`admin`], [`shutdown`]: probes.\n//! - [`files`]: x"), ["admin", "shutdown", "files"]);
}
