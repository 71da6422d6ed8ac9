//! The second opinion: `openssl verify`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use tokio::process::Command;

use super::world::{Asked, World};

/// Writes certificates as PEM.
fn pem(certificates: &[CertificateDer<'_>]) -> String {
    certificates.iter().map(|der| block("CERTIFICATE", der)).collect()
}

/// A PEM block.
pub(super) fn block(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Writes what each world is verified with; gives the directory of each.
pub(super) fn prepare(directory: &Path, worlds: &[World]) -> Result<Vec<PathBuf>> {
    let mut directories = Vec::new();
    for (number, world) in worlds.iter().enumerate() {
        let directory = directory.join(format!("world-{number}"));
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("ca.pem"), pem(std::slice::from_ref(&world.root)))?;
        fs::write(directory.join("lists.pem"), world.lists()?)?;
        directories.push(directory);
    }
    Ok(directories)
}

/// What it says of a chain, the client's certificate first; whether it takes it, and why not.
pub(super) async fn verify(
    world: &World,
    directory: &Path,
    name: &str,
    sent: &[CertificateDer<'_>],
) -> Result<(bool, String)> {
    let file = |end: &str| directory.join(format!("{name}-{end}.pem"));
    let (leaf, untrusted) = (file("leaf"), file("untrusted"));
    fs::write(&leaf, pem(&sent[..1]))?;
    fs::write(&untrusted, pem(&sent[1..]))?;
    let mut command = Command::new("openssl");
    command.args(["verify", "-purpose", "sslclient", "-no-CAfile", "-no-CApath", "-no-CAstore"]);
    command.arg("-CAfile").arg(directory.join("ca.pem"));
    if sent.len() > 1 {
        command.arg("-untrusted").arg(&untrusted);
    }
    match world.spec.asked {
        Asked::None => {}
        Asked::Leaf => drop(command.arg("-crl_check")),
        Asked::All => drop(command.args(["-crl_check", "-crl_check_all"])),
    }
    if world.spec.asked != Asked::None {
        command.arg("-CRLfile").arg(directory.join("lists.pem"));
    }
    let output = command.arg(&leaf).output().await?;
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    // 0 is yes and 2 is no; 1 is a command that it does not understand.
    let is_unread = ["Unable to load", "Could not read"].iter().any(|text| said.contains(text));
    ensure!(matches!(output.status.code(), Some(0 | 2)) || is_unread, "{said}");
    Ok((output.status.success(), said))
}
