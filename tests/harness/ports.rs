//! Free loopback ports for programs that must be told their port before they start.
//!
//! Between choosing a port and the program's own bind, somebody else may take it. Two things keep that rare. The port
//! lies below the range that Linux (32768) and macOS (49152) draw the ports of outgoing connections from, so no client,
//! not even one that reconnects to a stopped server, is given it by the kernel. And it is held by a listener until the
//! moment before the program is spawned, so that neither this process nor another that asks here chooses it too. What
//! remains shows in the program's log as an address in use, and whoever starts programs tries again then.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Counts up from a random start, so that processes that start at once look in different places.
static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
    let random = RandomState::new().hash_one(std::process::id()) % u64::from(COUNT);
    AtomicU16::new(u16::try_from(random).unwrap_or_default())
});

/// A loopback port that nobody else can take while this value lives.
#[derive(Debug)]
pub struct ReservedPort {
    number: u16,
    _listener: TcpListener,
}

impl ReservedPort {
    /// Reserves a port of 127.0.0.1 between 20000 and 31999; an error if all of them are taken.
    pub fn reserve() -> Result<Self> {
        for _ in 0..COUNT {
            let number = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, number)) {
                return Ok(Self { number, _listener: listener });
            }
        }
        bail!("no port of 127.0.0.1 from {FIRST} to {} is free", FIRST + COUNT - 1)
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Lets go of the port; to be called right before the program that will bind it is spawned.
    pub fn release(self) -> u16 {
        self.number
    }
}
