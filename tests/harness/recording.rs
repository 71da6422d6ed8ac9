//! A newcomer's session with the client, recorded from a terminal: `docs/terminal.svg`.

use std::path::Path;

use anstyle::{Color, RgbColor};
use anstyle_svg::{Term, VGA};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::process::Command;

use crate::client::Client;
use crate::paths::{binary, repository};
use crate::suite::replicas;
use crate::terminal::{COLUMNS, MARK, Terminal};

/// What is typed, and what must be printed, before `watch`.
const BEFORE: [(&str, &str); 3] = [
    ("scalegate list", "worker   1"),
    ("scalegate set web 5 --reason launch --wait", "ready"),
    ("scalegate set web 12", "web allows between 2 and 10 replicas"),
];
/// A change that somebody else makes is shown as it happens.
const WATCH: &str = "scalegate watch -l tier=front  # meanwhile, somebody sets api";
/// What is typed after it.
const AFTER: [(&str, &str); 2] = [("scalegate history web", "launch"), ("kubectl scalegate get web", "ReplicaTarget")];

/// About the pixels of a character in the picture.
const CHARACTER: usize = 8;
const BACKGROUND: RgbColor = RgbColor(0x0d, 0x11, 0x17);
const TEXT: RgbColor = RgbColor(0xe6, 0xed, 0xf3);
/// Red, green and yellow, as bright as a dark background needs.
const TONES: [RgbColor; 3] = [RgbColor(0xff, 0x7b, 0x72), RgbColor(0x3f, 0xb9, 0x50), RgbColor(0xd2, 0x99, 0x22)];

/// Records the session, in a namespace with the Deployments of `make dev`, and draws it.
///
/// `contexts` is the client's file of contexts, `operator` somebody else, `kubectl` that program.
pub async fn record(contexts: &Path, operator: &Client, namespace: &str, kubectl: &Path) -> Result<String> {
    let home = tempfile::tempdir()?;
    std::os::unix::fs::symlink(binary("scalegate")?, home.path().join("scalegate"))?;
    std::os::unix::fs::symlink(binary("scalegate")?, home.path().join("kubectl-scalegate"))?;
    std::os::unix::fs::symlink(kubectl, home.path().join("kubectl"))?;
    let mut terminal = Terminal::start(shell(home.path(), contexts)?)?;
    terminal.prompt_after(0).await?;
    type_all(&mut terminal, &BEFORE).await?;
    watch(&mut terminal, operator, namespace).await?;
    type_all(&mut terminal, &AFTER).await?;
    draw(&terminal.coloured())
}

/// A shell with the client in its `PATH`, whose prompt says nothing of this machine.
fn shell(home: &Path, contexts: &Path) -> Result<Command> {
    let path = std::env::var("PATH").context("there is no PATH")?;
    let mut shell = Command::new("bash");
    shell
        .args(["--norc", "--noprofile"])
        .env_clear()
        .env("HOME", home)
        .env("INPUTRC", "/dev/null")
        .env("PATH", format!("{}:{path}", home.display()))
        .env("PS1", format!("\\[{MARK}\u{1b}[1m\\]$\\[\u{1b}[0m\\] "))
        .env("SCALEGATE_CONFIG", contexts)
        .current_dir(home);
    Ok(shell)
}

async fn type_all(terminal: &mut Terminal, commands: &[(&str, &str)]) -> Result<()> {
    for (command, expected) in commands {
        let printed = terminal.run(command).await?;
        ensure!(printed.contains(expected), "{command} did not print {expected:?}, but\n{printed}");
    }
    Ok(())
}

/// Watches until somebody's change is ready.
async fn watch(terminal: &mut Terminal, operator: &Client, namespace: &str) -> Result<()> {
    let known = terminal.prompts();
    let shows = |terminal: &Terminal, row: &str| {
        let text = terminal.text();
        let watched = text.split_once(WATCH).map_or("", |(_, watched)| watched);
        watched.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(row))
    };
    terminal.press(&format!("{WATCH}\r")).await?;
    terminal.until("the watched rows", |terminal| shows(terminal, "web 5 5 5")).await?;
    let set = operator.put(&replicas(namespace, "api"), &json!({ "replicas": 3, "reason": "more load" })).await?;
    ensure!(set.status == 202, "api was not set: {}", set.status);
    terminal.until("the change", |terminal| shows(terminal, "api 3 3 3")).await?;
    // Ctrl-C.
    terminal.press("\u{3}").await?;
    terminal.prompt_after(known).await
}

/// The picture: its own dark background makes it readable on any page.
fn draw(ansi: &str) -> Result<String> {
    let repository = repository().display().to_string();
    ensure!(!ansi.contains(&repository), "the recording names {repository}:\n{ansi}");
    let mut palette = VGA;
    palette.0[1..=3].copy_from_slice(&TONES);
    let term = Term::new()
        .palette(palette)
        .fg_color(Color::Rgb(TEXT))
        .bg_color(Color::Rgb(BACKGROUND))
        .min_width_px(usize::from(COLUMNS) * CHARACTER);
    scalable(&term.render_svg(ansi.trim_end()))
}

/// The same picture for a page that is narrower: without a view box, a browser would cut it.
fn scalable(svg: &str) -> Result<String> {
    let size = |name: &str| {
        let value = svg.split(&format!("{name}=\"")).nth(1)?.split("px\"").next()?;
        value.parse::<u32>().ok()
    };
    let (width, height) = size("<svg width").zip(size(" height")).context("a picture without a size")?;
    Ok(svg.replacen("<svg ", &format!("<svg viewBox=\"0 0 {width} {height}\" "), 1))
}
