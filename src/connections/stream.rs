//! A connection that carries bytes of any protocol, over TLS or not.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::tls::Tls;

/// Bytes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Connects to a host, by name or address; with `is_secure` over TLS, trusting whom providers' connections trust.
///
/// # Errors
/// If the name is not known, nobody answers, or its certificate is not trusted.
pub(crate) async fn open_stream(host: &str, port: u16, is_secure: bool) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    if !is_secure {
        return Ok(Box::new(stream));
    }
    let tls = Tls::shared().map_err(|failure| io::Error::other(failure.message))?;
    if let Some(missing) = &tls.missing {
        return Err(io::Error::other(missing.message.clone()));
    }
    let mut config = tls.config.clone();
    // Those are HTTP's.
    config.alpn_protocols.clear();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
}
