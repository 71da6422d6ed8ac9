//! The documents agree with what they describe.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use scalegate_tests::console::blocks;
use scalegate_tests::paths::repository;

/// Every document in the repository's root, its docs and its parts.
fn documents() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for directory in ["", "docs", "policies", "charts/scalegate"] {
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
fn the_commands_of_the_operations_guide_can_be_read_by_their_test() -> Result<()> {
    let blocks = blocks(&fs::read_to_string(repository().join("docs/operations.md"))?)?;
    assert!(blocks.len() > 10, "{} blocks", blocks.len());
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
