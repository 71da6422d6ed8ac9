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
    insta::assert_snapshot!("three_mistakes", text.replace(&file.display().to_string(), "scalegate.yaml"));
    Ok(())
}

#[test]
fn a_variable_that_names_no_field_is_told_with_the_one_that_is_meant() -> Result<()> {
    let serve = ["serve", "--tls-certificate=/none", "--tls-key=/none", "--tls-client-ca=/none=example.org"];
    for (variable, told) in [
        ("SCALEGATE__AUDIT", "names a section; name a field in it, such as SCALEGATE__AUDIT__OUTPUT"),
        (
            "SCALEGATE__AUDIT__WHENFULL",
            "names no field of the configuration; SCALEGATE__AUDIT__WHEN_FULL sets audit.whenFull",
        ),
    ] {
        let output = Command::new(binary("scalegate")?).args(serve).env(variable, "/x").output()?;
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr)?;
        assert_eq!(text, format!("scalegate: the configuration is wrong\n{variable}: \"/x\": {told}\n"));
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
