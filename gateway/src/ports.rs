//! Opens TCP ports to listen on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use rustix::io::Errno;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

/// How many connections the kernel keeps that have not been accepted.
const BACKLOG: u32 = 1024;
/// How many bytes the kernel keeps of what a client sends before it is read; with its own overhead twice as many. Without a
/// limit it would keep megabytes of each connection, and take them in on the thread that reads a few.
const RECEIVE_BUFFER: u32 = 32 * 1024;

/// Listens on `address`. The IPv6 address `[::]` is every address of the machine, those of IPv4 too; on a machine without
/// IPv6 it is 0.0.0.0.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match address {
        SocketAddr::V4(_) => bind(TcpSocket::new_v4()?, address),
        SocketAddr::V6(every) if every.ip().is_unspecified() => match every_address(address) {
            Err(error) if lacks_ipv6(&error) => {
                let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
                tracing::info!(%address, %error, "this machine has no IPv6: listening on IPv4 alone");
                bind(TcpSocket::new_v4()?, address)
            }
            listening => listening,
        },
        SocketAddr::V6(_) => bind(TcpSocket::new_v6()?, address),
    }
}

/// `address` with IPv4 written as such: a socket for both has IPv4 clients at `::ffff:192.0.2.1`.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    let ip = address.ip().to_canonical();
    // What was IPv6 all along keeps its scope.
    if ip.is_ipv4() { SocketAddr::new(ip, address.port()) } else { address }
}

fn every_address(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v6()?;
    // Whatever the machine's net.ipv6.bindv6only is.
    SockRef::from(&socket).set_only_v6(false)?;
    bind(socket, address)
}

fn bind(socket: TcpSocket, address: SocketAddr) -> io::Result<TcpListener> {
    // As the standard library does it: connections that are ending do not keep the port.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Returns whether a machine without IPv6, or a process that may not use it, would give this error.
fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::net::Ipv6Addr;
    use std::time::Duration;

    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    /// Where a client at `from` that connects to `port` is seen to be.
    async fn seen(listener: &TcpListener, from: impl Into<std::net::IpAddr>) -> String {
        let to = SocketAddr::new(from.into(), listener.local_addr().unwrap().port());
        let (client, accepted) = tokio::join!(TcpStream::connect(to), listener.accept());
        let address = canonical(accepted.unwrap().1);
        assert_eq!(address, client.unwrap().local_addr().unwrap());
        address.ip().to_string()
    }

    #[tokio::test]
    async fn every_address_is_of_ipv4_and_of_ipv6_whatever_the_machine_s_default_is() {
        let listener = listen("[::]:0".parse().unwrap()).unwrap();
        assert_eq!(seen(&listener, Ipv4Addr::LOCALHOST).await, "127.0.0.1");
        // The fallback is tested with a process that may not use IPv6.
        if listener.local_addr().unwrap().is_ipv6() {
            assert!(!SockRef::from(&listener).only_v6().unwrap());
        }
        if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            assert_eq!(seen(&listener, Ipv6Addr::LOCALHOST).await, "::1");
        }
    }

    #[tokio::test]
    async fn an_address_that_is_named_is_the_only_one() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(seen(&listener, Ipv4Addr::LOCALHOST).await, "127.0.0.1");
        let port = listener.local_addr().unwrap().port();
        assert!(TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.is_err());
        let taken = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn the_kernel_keeps_little_of_what_is_not_read() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (client, accepted) = (client.unwrap(), accepted.unwrap().0);
        SockRef::from(&client).set_send_buffer_size(4096).unwrap();
        let mut sent = 0;
        // Until nothing more was taken for a while, which is longer than the kernel waits.
        while timeout(Duration::from_secs(1), client.writable()).await.is_ok() {
            sent += client.try_write(&[0; 4096]).unwrap_or_default();
        }
        assert!((32 << 10..256 << 10).contains(&sent), "{sent}");
        drop(accepted);
    }

    #[test]
    fn a_scope_is_kept() {
        for (address, expected) in [
            ("[::ffff:192.0.2.1]:7", "192.0.2.1:7"),
            ("[fe80::1%3]:7", "[fe80::1%3]:7"),
            ("[2001:db8::1]:7", "[2001:db8::1]:7"),
            ("192.0.2.1:7", "192.0.2.1:7"),
        ] {
            assert_eq!(canonical(address.parse().unwrap()).to_string(), expected);
        }
    }
}
