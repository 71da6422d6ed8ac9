//! nginx with one worker, serving one file over mTLS.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use scalegate_tests::ports::ReservedPort;
use scalegate_tests::process::Process;
use scalegate_tests::suite::replicas;

use crate::cluster::{NAME, NAMESPACE};
use crate::machine;

/// Where Debian installs it, which the PATH of a user need not have.
const SYSTEM_PROGRAMS: &str = "/usr/sbin";

/// A running nginx. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Nginx {
    process: Process,
    /// Where it serves HTTP/1.1 and HTTP/2.
    pub(crate) address: SocketAddr,
    /// Its name and version.
    pub(crate) version: String,
}

/// The program; an error that says how to install it where there is none.
pub(crate) fn program() -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    find(env::split_paths(&path).chain([PathBuf::from(SYSTEM_PROGRAMS)]))
}

fn find(mut directories: impl Iterator<Item = PathBuf>) -> Result<PathBuf> {
    directories
        .find_map(|directory| Some(directory.join("nginx")).filter(|program| program.is_file()))
        .context("nginx is not installed; on Debian and Ubuntu: apt-get install nginx-light")
}

impl Nginx {
    /// Starts `program` with its files in `prefix` and the gateway's certificates in `certs`. It answers a read of the
    /// Deployment with `body`.
    pub(crate) async fn start(program: &Path, prefix: &Path, certs: &Path, body: &[u8]) -> Result<Self> {
        let version = version(program)?;
        let file = prefix.join("files").join(replicas(NAMESPACE, NAME).trim_start_matches('/'));
        fs::create_dir_all(file.parent().unwrap_or(prefix)).context("create the directories of nginx")?;
        fs::write(&file, body).context("write the file that nginx serves")?;
        let port = ReservedPort::reserve()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let config = prefix.join("nginx.conf");
        fs::write(&config, configuration(address, certs)).context("write the configuration of nginx")?;
        let text = |path: &Path| path.display().to_string();
        let arguments = ["-p".to_owned(), text(prefix), "-c".to_owned(), text(&config)];
        port.release();
        let process = Process::spawn("nginx", program, &arguments, &[], prefix).await?;
        let nginx = Self { process, address, version };
        nginx.process.wait_for_port(address).await?;
        Ok(nginx)
    }

    /// The master and its worker.
    pub(crate) fn processes(&self) -> Result<Vec<u32>> {
        let mut processes = machine::children(self.process.pid())?;
        ensure!(processes.len() == 1, "nginx has {} workers, not one", processes.len());
        processes.push(self.process.pid());
        Ok(processes)
    }

    /// Ends it and waits for the end.
    pub(crate) async fn stop(self) -> Result<()> {
        self.process.terminate().await?;
        Ok(())
    }
}

/// What `nginx -v` says: `nginx/1.22.1`.
fn version(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("-v").output().with_context(|| format!("run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stderr);
    Ok(text.trim().trim_start_matches("nginx version: ").to_owned())
}

fn configuration(address: SocketAddr, certs: &Path) -> String {
    // The worker of root's nginx would run as another user, which cannot read the files. The harness writes nginx.pid.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let certs = certs.display();
    format!(
        "daemon off;
{user}
pid master.pid;
error_log stderr;
worker_processes 1;
events {{ }}
http {{
    access_log off;
    default_type application/json;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    server {{
        listen {address} ssl http2;
        root files;
        ssl_protocols TLSv1.3;
        ssl_certificate \"{certs}/server.pem\";
        ssl_certificate_key \"{certs}/server-key.pem\";
        ssl_client_certificate \"{certs}/ca.pem\";
        ssl_verify_client on;
        ssl_crl \"{certs}/crl.pem\";
        ssl_session_tickets off;
    }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nginx_is_missing_the_error_names_its_package() {
        let nowhere = [PathBuf::from("/nonexistent")].into_iter();
        assert!(find(nowhere).is_err_and(|error| error.to_string().contains("nginx-light")));
    }
}
