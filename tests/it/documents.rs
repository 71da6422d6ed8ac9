//! The documents agree with what they describe.

mod named;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use scalegate_tests::console::{Block, blocks};
use scalegate_tests::paths::{binary, repository};
use scalegate_tests::poll;
use serde_json::Value;
use tokio::process::Command;

use self::named::{Tree, spans, test_name, verbs};

/// Every document in the repository's root, its docs and its parts.
fn documents() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for directory in ["", "docs", "policies", "charts/scalegate", "examples"] {
        for entry in fs::read_dir(repository().join(directory))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    ensure!(found.len() > 5, "too few documents: {found:?}");
    Ok(found)
}

/// Where the links of a document lead, without those to other sites.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://"))
}

/// A heading as an anchor of a link.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn anchors(text: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#'))).collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() -> Result<()> {
    for document in documents()? {
        let text = fs::read_to_string(&document)?;
        for link in links(&text) {
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let path = match file {
                "" => document.clone(),
                file => document.parent().unwrap_or(Path::new("/")).join(file),
            };
            assert!(path.exists(), "{}: {link} is not there", document.display());
            if let Some(heading) = heading {
                let there = anchors(&fs::read_to_string(&path)?);
                assert!(there.iter().any(|anchor| anchor == heading), "{}: {link}", document.display());
            }
        }
    }
    Ok(())
}

#[test]
fn every_alert_has_a_heading_that_says_what_to_do() -> Result<()> {
    let alerts = fs::read_to_string(repository().join("charts/scalegate/files/alerts.yaml"))?;
    let alerts: Vec<&str> = alerts.lines().filter_map(|line| line.strip_prefix("- alert: ")).collect();
    let page = fs::read_to_string(repository().join("docs/operations.md"))?;
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### Scalegate")).collect();
    let named: Vec<&str> = alerts.iter().filter_map(|alert| alert.strip_prefix("Scalegate")).collect();
    assert!(!named.is_empty() && named.len() == alerts.len(), "{alerts:?}");
    assert_eq!(headings, named);
    Ok(())
}

#[test]
fn every_row_of_what_is_down_is_whole_and_shown_by_a_test() -> Result<()> {
    let page = fs::read_to_string(repository().join("docs/operations.md"))?;
    let section = page.split("\n## If something is down\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows: Vec<_> = section.unwrap_or_default().lines().filter(|line| line.starts_with("| ")).collect();
    let columns = |row: &str| row.trim_matches('|').split(" | ").filter(|cell| !cell.trim().is_empty()).count();
    assert!(rows.len() > 10, "{} rows", rows.len());
    for row in &rows[1..] {
        assert_eq!(columns(row), columns(rows[0]), "{row}");
        assert!(row.contains("<!-- `") && row.contains(".rs`: `"), "no test is named that shows this row: {row}");
    }
    Ok(())
}

#[test]
fn the_commands_of_the_operators_pages_can_be_read_by_their_test() -> Result<()> {
    for (page, least) in [("docs/install.md", 10), ("docs/operations.md", 15), ("docs/upgrades.md", 3)] {
        let blocks = blocks(&fs::read_to_string(repository().join(page))?)?;
        assert!(blocks.len() >= least, "{page}: {} blocks", blocks.len());
    }
    Ok(())
}

#[test]
fn the_design_notes_hold_the_whole_proto() -> Result<()> {
    let proto = fs::read_to_string(repository().join("gateway/proto/scalegate/v1/replica_service.proto"))?;
    let notes = fs::read_to_string(repository().join("NOTES.md"))?;
    let block = notes.split("```proto\n").nth(1).and_then(|rest| rest.split("```").next());
    assert!(block == Some(proto.as_str()), "the block in NOTES.md is another: copy the file there");
    Ok(())
}

/// What stands for the README's pauses: no test knows how long a machine takes to load policies.
const WAIT_LOADED: &str = r#"
exec 2>&1
loaded() {
    local digest
    digest=$(scalegate policy check "$SCALEGATE_POLICIES" | sed 's/.*digest //')
    until curl -s "$SCALEGATE_ADMIN_URL/metrics" | grep -q "digest=\"$digest\"} 1"; do sleep 0.1; done
}
"#;

/// Everything that the README types before its first heading, but for `make dev`, and what that prints.
fn first_commands() -> Result<Block> {
    let readme = fs::read_to_string(repository().join("README.md"))?;
    let all = blocks(readme.split("\n## ").next().unwrap_or_default())?;
    let mut typed = all.into_iter().filter(|block| block.commands != "make dev\n");
    let mut whole = typed.next().context("README.md begins without commands")?;
    for block in typed {
        whole.commands.push_str(&block.commands);
        whole.printed.extend(block.printed);
    }
    Ok(whole)
}

#[tokio::test]
async fn the_first_commands_of_the_readme_do_what_it_shows() -> Result<()> {
    let shown = first_commands()?;
    ensure!(shown.printed.len() > 10, "{shown:?}");
    let directory = tempfile::tempdir()?;
    let mut dev = Command::new(binary("dev")?);
    let mut dev = dev.arg(directory.path()).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn()?;
    let env = directory.path().join("env");
    poll::eventually("`make dev` to be up", async || {
        Ok(fs::read_to_string(&env).ok().filter(|text| text.ends_with('\n')).map(drop))
    })
    .await?;
    let commands = shown.commands.replace("target/dev/env", &env.display().to_string()).replace("sleep 2", "loaded");
    let script = format!("{WAIT_LOADED}{commands}");
    let printed = Command::new("bash").args(["-c", &script]).current_dir(repository()).output().await?;
    let printed = String::from_utf8_lossy(&printed.stdout);
    assert_eq!(shown.missing_from(&printed), None, "{printed}");
    kill_process(dev.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("`make dev` ended")?, Signal::TERM)?;
    ensure!(dev.wait().await?.success());
    Ok(())
}

/// A document's path from the root.
fn name(document: &Path) -> String {
    document.strip_prefix(repository()).unwrap_or(document).display().to_string()
}

#[test]
fn every_verb_path_and_test_that_a_document_names_exists() -> Result<()> {
    let tree = Tree::read()?;
    let (mut found, mut missing) = (0, Vec::new());
    for document in documents()? {
        let (text, name) = (fs::read_to_string(&document)?, name(&document));
        for span in spans(&text) {
            let mut check = |is_there: bool, what: &str| {
                found += 1;
                if !is_there {
                    missing.push(format!("{name}:{}: {what}", span.line));
                }
            };
            for verb in verbs(span.text) {
                check(tree.has_verb(verb), &format!("make {verb}"));
            }
            for path in tree.paths_in(span) {
                check(tree.has(&name, path), path);
            }
            if let Some(test) = test_name(span.text) {
                check(tree.defining(test).is_some(), test);
            }
        }
    }
    assert!(missing.is_empty(), "these do not exist:\n{}", missing.join("\n"));
    assert!(found > 300, "only {found} verbs, paths and tests were found");
    Ok(())
}

/// The files and the tests that each line of a document names, with the line's number.
fn tests_by_line(tree: &Tree, text: &str) -> Vec<(usize, Vec<String>, Vec<String>)> {
    let mut lines: Vec<(usize, Vec<String>, Vec<String>)> = Vec::new();
    for span in spans(text) {
        if lines.last().is_none_or(|(line, ..)| *line != span.line) {
            lines.push((span.line, Vec::new(), Vec::new()));
        }
        let Some((_, files, tests)) = lines.last_mut() else { continue };
        files.extend(tree.paths_in(span).into_iter().map(str::to_owned));
        tests.extend(test_name(span.text).map(str::to_owned));
    }
    lines.retain(|(_, _, tests)| !tests.is_empty());
    lines
}

#[test]
fn a_test_is_in_a_file_that_is_named_beside_it() -> Result<()> {
    let tree = Tree::read()?;
    for document in ["docs/walkthrough.md", "docs/contributing.md", "docs/operations.md"] {
        let text = fs::read_to_string(repository().join(document))?;
        let lines = tests_by_line(&tree, &text);
        assert!(lines.len() > 10, "{document} names {} tests", lines.len());
        for (line, files, tests) in lines {
            for test in tests {
                let defining = tree.defining(&test);
                let beside = files.iter().any(|file| defining.is_some_and(|defining| defining.contains(file)));
                assert!(beside, "{document}:{line}: {test} is in {defining:?}, not in {files:?}");
            }
        }
    }
    Ok(())
}

/// `it FILTER` and `unit FILTER` run the tests of a module: the first name is that of its file.
#[test]
fn every_filter_of_the_walkthrough_names_a_module() -> Result<()> {
    let text = fs::read_to_string(repository().join("docs/walkthrough.md"))?;
    let mut filters = 0;
    for span in spans(&text) {
        let (directory, filter) = match span.text.split_once(' ') {
            Some(("it", filter)) => ("tests/it", filter),
            Some(("unit", filter)) => ("gateway/src", filter),
            _ => continue,
        };
        let file = format!("{directory}/{}.rs", filter.trim_end_matches("::").replace("::", "/"));
        assert!(repository().join(&file).is_file(), "docs/walkthrough.md:{}: there is no {file}", span.line);
        filters += 1;
    }
    assert!(filters > 10, "{filters} filters");
    Ok(())
}

#[test]
fn the_page_of_the_api_has_every_path_and_every_method() -> Result<()> {
    let page = fs::read_to_string(repository().join("docs/api.md"))?;
    let section = page.split("## What a client can do").nth(1).and_then(|rest| rest.split("\n## ").next());
    let section = section.unwrap_or_default().replace("{ns}", "{namespace}");
    let described: Value = serde_json::from_slice(&fs::read(repository().join("gateway/openapi.json"))?)?;
    let paths: BTreeSet<_> = described["paths"].as_object().into_iter().flatten().map(|(path, _)| path).collect();
    assert!(paths.len() > 5, "{paths:?}");
    for path in paths {
        assert!(section.contains(&format!("GET {path}`")), "docs/api.md does not have {path}");
    }
    let proto = fs::read_to_string(repository().join("gateway/proto/scalegate/v1/replica_service.proto"))?;
    let methods = proto.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next());
    for method in methods {
        assert!(section.contains(&format!("`{method}`")), "docs/api.md does not have {method}");
    }
    Ok(())
}
