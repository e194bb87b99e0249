//! Makes a connection to an upstream: name, socket, outgoing proxy, TLS, HTTP.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api_key_lb_core::plan::Via;
use api_key_lb_core::target::Target;
use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::tls::Trust;
use super::{Destination, Wire};
use crate::error::SendError;

/// How long one address may take while another one is left to try.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_secs(2);
/// First keep-alive probe on a silent connection; a model may think for minutes behind a NAT
/// that forgets after some.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Longest answer of an outgoing proxy to CONNECT, in bytes.
const MOST_CONNECT_ANSWER: usize = 8 << 10;

/// Makes connections for one worker.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    /// Whom it trusts.
    pub(crate) trust: Trust,
    /// Where we listen ourselves.
    pub(crate) own: Arc<[SocketAddr]>,
}

impl Connector {
    /// A new HTTP connection; `limit` bounds connecting and, again, the TLS handshake.
    pub(crate) async fn connect(
        &self,
        to: Destination<'_>,
        limit: Duration,
    ) -> Result<Wire, SendError> {
        let target = to.target;
        let (host, port) = match to.via {
            Some(via) => (via.host.as_str(), via.port),
            None => (target.host(), target.port()),
        };
        let mut stream = within(limit, "connecting", tcp(host, port)).await?;
        if to.via.is_none() && self.is_own(&stream) {
            return Err(SendError::Loop);
        }
        if let Some(via) = to.via.filter(|_| to.is_tunnelled()) {
            within(
                limit,
                "the outgoing proxy",
                tunnel(&mut stream, target, via),
            )
            .await?;
        }
        if !target.tls() {
            return http(stream).await;
        }
        let Some(tls) = self.trust.config() else {
            return Err(SendError::Connect("TLS is not available".into()));
        };
        let name = ServerName::try_from(target.host().to_owned()).map_err(|_| {
            SendError::Connect(format!("`{}` is no valid host name", target.host()))
        })?;
        let handshake = TlsConnector::from(tls).connect(name, stream);
        let stream = within(limit, "the TLS handshake", handshake).await?;
        http(stream).await
    }

    /// Whether the other end of a new connection is one of our own listening sockets: then the
    /// target is this proxy, under whatever name.
    fn is_own(&self, stream: &TcpStream) -> bool {
        let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else {
            return false;
        };
        self.own.iter().any(|own| {
            own.port() == peer.port()
                && (own.ip() == peer.ip() || (own.ip().is_unspecified() && peer.ip() == local.ip()))
        })
    }
}

async fn within<T, E: std::fmt::Display>(
    limit: Duration,
    doing: &str,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, SendError> {
    match tokio::time::timeout(limit, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(SendError::Connect(format!("{doing}: {error}"))),
        Err(_) => Err(SendError::Connect(format!(
            "{doing} took longer than {} s",
            limit.as_secs_f32()
        ))),
    }
}

/// Tries the addresses of `host` in the resolver's order.
async fn tcp(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    let mut failure = std::io::Error::other("the name has no address");
    for (at, address) in addresses.iter().enumerate() {
        let connecting = TcpStream::connect(address);
        let connected = if at + 1 < addresses.len() {
            tokio::time::timeout(NEXT_ADDRESS_AFTER, connecting)
                .await
                .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        } else {
            connecting.await
        };
        match connected {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                SockRef::from(&stream)
                    .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Asks an outgoing proxy for a tunnel to the target.
async fn tunnel(stream: &mut TcpStream, target: &Target, via: &Via) -> std::io::Result<()> {
    let host = if target.host().contains(':') {
        format!("[{}]:{}", target.host(), target.port())
    } else {
        format!("{}:{}", target.host(), target.port())
    };
    let mut request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n");
    if let Some(authorization) = &via.authorization {
        request.push_str("Proxy-Authorization: ");
        request.push_str(authorization.expose());
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // Byte by byte, because what follows the head already belongs to the tunnel.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == MOST_CONNECT_ANSWER {
            return Err(std::io::Error::other("its answer to CONNECT does not end"));
        }
        answer.push(stream.read_u8().await?);
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut headers);
    parsed.parse(&answer).map_err(|error| {
        std::io::Error::other(format!("its answer to CONNECT is garbled: {error}"))
    })?;
    match parsed.code {
        Some(200..=299) => Ok(()),
        Some(407) => Err(std::io::Error::other(
            "it wants a user name and password (407); put them into the proxy's URL",
        )),
        code => Err(std::io::Error::other(format!(
            "it refused the tunnel with status {}",
            code.unwrap_or_default()
        ))),
    }
}

async fn http<S>(stream: S) -> Result<Wire, SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = Builder::new()
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| SendError::Connect(error.to_string()))?;
    Ok(Wire::new(sender, connection.with_upgrades()))
}
