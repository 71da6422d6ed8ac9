//! `certs`: mints the certificates with which scalegate is developed.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use scalegate_certs::development::{Entry, Options, State, refresh};

/// Mints a certificate authority, a server certificate, client certificates and a revocation list for development.
///
/// What is good already stays as it is; what is missing, unreadable, different or about to end is made anew.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The directory to keep the files in
    #[arg(long, value_name = "DIR", default_value = "certs/dev")]
    out: PathBuf,
    /// The trust domain of the clients' SPIFFE ids
    #[arg(long, value_name = "NAME", default_value = "scalegate.test", value_parser = trust_domain)]
    trust_domain: String,
    /// One more DNS name or IP address of the server; may be repeated
    #[arg(long = "server-san", value_name = "NAME", value_parser = server_san)]
    server_sans: Vec<String>,
    /// Make anew what has less than this part of its life left, in percent from 0 to 95
    #[arg(long, value_name = "PERCENT", default_value_t = 33, value_parser = clap::value_parser!(u8).range(0..=95))]
    renew_percent: u8,
    /// Make everything anew, the authority too
    #[arg(long)]
    force: bool,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing can be told to whoever has closed standard error.
            let _ = writeln!(io::stderr(), "certs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let options = Options {
        out: args.out,
        trust_domain: args.trust_domain,
        server_sans: args.server_sans,
        renew_percent: args.renew_percent,
        force: args.force,
    };
    let entries = refresh(&options)?;
    report(io::stdout().lock(), &options, &entries)?;
    Ok(())
}

fn report(mut out: impl Write, options: &Options, entries: &[Entry]) -> io::Result<()> {
    writeln!(out, "{:<23} {:<22} {:<11} in {}", "FILE", "STATE", "UNTIL", options.out.display())?;
    for Entry { file, state, until, note } in entries {
        writeln!(out, "{file:<23} {state:<22} {:<11} {note}", until.date())?;
    }
    let made = entries.iter().filter(|entry| entry.state != State::Kept).count();
    writeln!(out, "{made} made, {} kept; keys are beside them as NAME-key.pem", entries.len() - made)
}

/// The characters of SPIFFE-ID, section 2.1.
fn trust_domain(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if text.is_empty() || text.len() > 255 || !text.chars().all(allowed) {
        return Err("a trust domain is 1 to 255 of a-z, 0-9, '.', '-' and '_'".to_owned());
    }
    Ok(text.to_owned())
}

fn server_san(text: &str) -> Result<String, String> {
    if text.parse::<IpAddr>().is_ok() || is_dns_name(text.strip_prefix("*.").unwrap_or(text)) {
        return Ok(text.to_owned());
    }
    Err("neither a DNS name nor an IP address".to_owned())
}

fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_server_are_dns_names_or_addresses() {
        for good in ["gate.example", "*.gate.example", "10.0.0.1", "fd00::1", "a"] {
            assert!(server_san(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "-a", "a..b", "https://a", "*", "a_b", "1.2.3.4/8"] {
            assert!(server_san(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn trust_domains_are_those_of_spiffe() {
        assert!(trust_domain("prod.example-1_a").is_ok());
        for bad in ["", "Prod", "a/b", "a b", "spiffe://a"] {
            assert!(trust_domain(bad).is_err(), "{bad}");
        }
    }
}
