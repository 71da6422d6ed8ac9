//! What a person who configures the gateway gets wrong.

use std::process::Command;

use anyhow::Result;
use scalegate_tests::paths::binary;

#[test]
fn three_mistakes_are_told_at_once_with_what_is_allowed() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("scalegate.yaml");
    std::fs::write(&file, "listen:\n  address: nowhere\n  maxConnections: 0\npolicy:\n  directory: /x\n")?;
    let output = Command::new(binary("scalegate")?).args(["serve", "--config"]).arg(&file).output()?;
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr)?;
    for field in ["listen.address", "listen.maxConnections", "policy"] {
        assert_eq!(text.lines().filter(|line| line.contains(field)).count(), 1, "{field}:\n{text}");
    }
    Ok(())
}

#[test]
fn a_file_that_is_not_there_and_a_word_that_is_not_known_are_usage_errors() -> Result<()> {
    for arguments in
        [&["serve", "--config", "/nowhere/scalegate.yaml"][..], &["serve", "--no-such-flag"], &["dance"], &[]]
    {
        let output = Command::new(binary("scalegate")?).args(arguments).output()?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    Ok(())
}
