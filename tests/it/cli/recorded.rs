//! The recorded session in README.md.

use anyhow::Result;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::paths::{built, repository};
use scalegate_tests::recording;
use scalegate_tests::sandbox::write_contexts;
use scalegate_tests::suite;

/// The lines of a picture's text.
fn lines(svg: &str) -> Vec<String> {
    let text = svg.split_once("<text").map_or("", |(_, text)| text);
    let rows = text.split("<tspan x=").skip(1).map(|row| row.split_once('>').map_or("", |(_, row)| row));
    let plain = rows.map(|row| {
        let parts = row.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
        parts.collect::<String>().replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    });
    plain.map(|line| line.trim_end().to_owned()).collect()
}

/// The commands of a session.
fn commands(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| line.starts_with("$ ")).collect()
}

#[tokio::test]
async fn the_session_in_the_readme_can_be_recorded_again() -> Result<()> {
    let recorded = std::fs::read_to_string(repository().join("docs/terminal.svg"))?;
    assert!(recorded.len() < 100_000, "{} bytes", recorded.len());
    let Some(programs) = built("tests/plugin/build.sh").await? else {
        println!("skipped: there is no Go to build kubectl with");
        return Ok(());
    };
    let suite = suite::shared().await?;
    let (namespace, kube) = (suite.namespace("recorded").await?, suite.kube().await?);
    let web = deployment(&namespace, "web").replicas(3).label("tier", "front");
    let web = web.annotation("scalegate.dev/min-replicas", "2").annotation("scalegate.dev/max-replicas", "10");
    web.create(&kube).await?;
    deployment(&namespace, "api").replicas(2).label("tier", "front").create(&kube).await?;
    deployment(&namespace, "worker").label("tier", "back").create(&kube).await?;
    let viewer = suite.client("viewer")?;
    for (name, replicas) in [("web", 3), ("api", 2), ("worker", 1)] {
        suite.wait_ready(&viewer, &namespace, name, replicas).await?;
    }
    let home = tempfile::tempdir()?;
    let contexts = home.path().join("scalegate.yaml");
    let server = format!("https://localhost:{}", suite.address().port());
    write_contexts(&contexts, "dev", &server, suite.certs(), &namespace).await?;
    let operator = suite.client("operator")?;
    let again = recording::record(&contexts, &operator, &namespace, &programs.join("kubectl")).await?;

    let (recorded, again) = (lines(&recorded), lines(&again));
    assert_eq!(commands(&recorded), commands(&again), "run `make terminal-docs`");
    assert!(commands(&again).len() > 5, "{again:?}");
    let headers = |lines: &[String]| lines.iter().filter(|line| line.contains("NAME ")).cloned().collect::<Vec<_>>();
    let words = |lines: &[String]| {
        headers(lines).iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(words(&recorded), words(&again), "run `make terminal-docs`");
    let path = repository().display().to_string();
    let home = home.path().display().to_string();
    assert!(again.iter().chain(&recorded).all(|line| !line.contains(&path) && !line.contains(&home)), "{again:#?}");
    // The sentence goes on in the next row.
    let shown = again.concat();
    assert!(shown.contains("403 refused") && shown.contains("between 2 and 10 replicas"), "{again:#?}");
    Ok(())
}
