//! Binding the listening sockets: 127.0.0.1 and, where there is one, `[::1]`.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel queues for us: a herd of agents reconnects at once after a restart.
const BACKLOG: i32 = 1024;
/// How often a free port is looked for that is free on every address.
const FREE_PORT_TRIES: usize = 20;

/// Why we cannot listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// Somebody else listens there.
    #[error("{0} is taken by another program; choose another port with `--port`")]
    Taken(SocketAddr),
    /// Ports below 1024, or a policy.
    #[error("this user may not listen on {0}; choose a port from 1024 on with `--port`")]
    Forbidden(SocketAddr),
    /// The address is not one of this machine.
    #[error("this machine has no address {0}; change `host`")]
    NoSuchAddress(IpAddr),
    /// The sockets that we were handed cannot be used.
    #[error("cannot use the sockets that were handed over ($LISTEN_FDS): {0}")]
    Handed(io::Error),
    /// They lead out of this machine, and no client needs a token.
    #[error(
        "the socket {0} that was handed over can be reached by other machines, and whoever reaches it \
         could spend your keys; add \"client_tokens\" to the configuration file, or let the socket \
         unit listen on 127.0.0.1"
    )]
    Unguarded(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, io::Error),
    /// No port is free on all addresses at once.
    #[error("found no port that is free on all of the addresses; name one with `--port`")]
    NoFreePort,
}

impl ListenError {
    fn of(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::Taken(address),
            io::ErrorKind::PermissionDenied => Self::Forbidden(address),
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress(address.ip()),
            _ => Self::Other(address, error),
        }
    }
}

/// Sockets that listen on the same port of every address in `hosts`, ready for an async runtime.
///
/// Port 0 chooses one that is free on all of them. An IPv6 address this machine does not have is
/// left out unless it was asked for (`explicit`), as long as another address remains.
///
/// # Errors
/// [`ListenError`] for the first address that cannot be had.
pub(crate) fn bind(
    hosts: &[IpAddr],
    port: u16,
    explicit: bool,
) -> Result<Vec<TcpListener>, ListenError> {
    if port != 0 {
        return bind_all(hosts, port, explicit);
    }
    for _ in 0..FREE_PORT_TRIES {
        match bind_all(hosts, 0, explicit) {
            Err(ListenError::Taken(_)) => {}
            result => return result,
        }
    }
    Err(ListenError::NoFreePort)
}

/// The first address chooses the port if it is 0; the others follow it.
fn bind_all(
    hosts: &[IpAddr],
    mut port: u16,
    explicit: bool,
) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::with_capacity(hosts.len());
    for host in hosts {
        let address = SocketAddr::new(*host, port);
        match bind_one(address) {
            Ok(listener) => {
                if let Ok(bound) = listener.local_addr() {
                    port = bound.port();
                }
                listeners.push(listener);
            }
            Err(error) if !explicit && !listeners.is_empty() && lacks_ipv6(address, &error) => {}
            Err(error) => return Err(ListenError::of(address, error)),
        }
    }
    Ok(listeners)
}

/// As [`bind`], but with the sockets among `handed` that listen on these addresses already: they
/// never stopped. The others are closed.
pub(crate) fn take_over(
    handed: Vec<TcpListener>,
    hosts: &[IpAddr],
    port: u16,
    explicit: bool,
) -> Result<Vec<TcpListener>, ListenError> {
    let mut handed: Vec<(SocketAddr, TcpListener)> = handed
        .into_iter()
        .filter_map(|socket| Some((socket.local_addr().ok()?, socket)))
        .collect();
    let port = match (port, handed.first()) {
        // Any will do, so the one that there is.
        (0, Some((address, _))) => address.port(),
        _ => port,
    };
    let mut listeners = Vec::with_capacity(hosts.len());
    for host in hosts {
        let address = SocketAddr::new(*host, port);
        let known = handed.iter().position(|(known, _)| *known == address);
        match known {
            Some(at) => listeners.push(handed.swap_remove(at).1),
            None => match bind_one(address) {
                Ok(listener) => listeners.push(listener),
                Err(error) if !explicit && !listeners.is_empty() && lacks_ipv6(address, &error) => {
                }
                Err(error) => return Err(ListenError::of(address, error)),
            },
        }
    }
    Ok(listeners)
}

/// The sockets that systemd has opened for us (socket activation); `None` if it has not.
#[cfg(unix)]
pub(crate) fn activated() -> Result<Option<Vec<TcpListener>>, ListenError> {
    let mut handed = listenfd::ListenFd::from_env();
    let mut listeners = Vec::with_capacity(handed.len());
    for index in 0..handed.len() {
        if let Some(listener) = handed
            .take_tcp_listener(index)
            .map_err(ListenError::Handed)?
        {
            listener
                .set_nonblocking(true)
                .map_err(ListenError::Handed)?;
            listeners.push(listener);
        }
    }
    Ok(Some(listeners).filter(|listeners| !listeners.is_empty()))
}

/// No other system has that.
#[cfg(not(unix))]
pub(crate) fn activated() -> Result<Option<Vec<TcpListener>>, ListenError> {
    Ok(None)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for TIME_WAIT to pass. On Windows the option means something else:
    // it would let two programs share the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `::` would otherwise claim the IPv4 port too, and 0.0.0.0 beside it fail.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Whether the failure only means that there is no IPv6 here: no such address, or no such family.
fn lacks_ipv6(address: SocketAddr, error: &io::Error) -> bool {
    address.is_ipv6()
        && !matches!(
            error.kind(),
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
        )
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    #[test]
    fn port_zero_chooses_one_port_for_all_addresses() {
        let listeners = bind(&[V4, V6], 0, false).unwrap();
        let ports: Vec<u16> = listeners
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        assert_ne!(ports[0], 0);
        assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }

    #[test]
    fn sockets_that_were_handed_over_are_kept_and_only_what_is_missing_is_opened() {
        let first = bind(&[V4], 0, false).unwrap();
        let port = first[0].local_addr().unwrap().port();
        let copy = || vec![first[0].try_clone().unwrap()];
        for asked in [0, port] {
            let taken = take_over(copy(), &[V4, V6], asked, false).unwrap();
            let ports = taken
                .iter()
                .map(|socket| socket.local_addr().unwrap().port());
            assert!(ports.clone().all(|found| found == port));
            assert!(ports.count() >= 1);
        }
        let elsewhere = bind(&[V4], 0, false).unwrap()[0].local_addr().unwrap();
        let taken = take_over(copy(), &[V4], elsewhere.port(), false).unwrap();
        assert_eq!(taken[0].local_addr().unwrap(), elsewhere);
    }

    #[test]
    fn a_taken_port_is_said_to_be_taken() {
        let first = bind(&[V4], 0, false).unwrap();
        let address = first[0].local_addr().unwrap();
        let error = bind(&[V4], address.port(), false).unwrap_err();
        assert!(
            matches!(error, ListenError::Taken(taken) if taken == address),
            "{error}"
        );
    }

    #[test]
    fn an_address_of_another_machine_is_an_error() {
        // TEST-NET-1: never assigned.
        let foreign: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(matches!(
            bind(&[foreign], 0, true),
            Err(ListenError::NoSuchAddress(_))
        ));
    }
}
