//! Connections over TLS: sessions that are resumed, and requests that share one over HTTP/2.
//!
//! Whom to trust is read once in a process, so each runs in one of its own.
#![cfg(not(target_vendor = "apple"))] // Apple trusts no certificate of more than 825 days.

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig, SupportedProtocolVersion};
use support::child;
use thryd::connections::{Client, HttpRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const AUTHORITY: [(&str, &str); 1] =
    [("NODE_EXTRA_CA_CERTS", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/certificate.pem"))];

fn config(version: &'static SupportedProtocolVersion, protocol: &str) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("support/certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("support/key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Arc::new(config)
}

/// A server that does this with each connection.
async fn server<F>(config: Arc<ServerConfig>, serve: impl Fn(TlsStream<TcpStream>) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(config);
        while let Ok((socket, _)) = listener.accept().await {
            if let Ok(connection) = acceptor.accept(socket).await {
                tokio::spawn(serve(connection));
            }
        }
    });
    address
}

fn request(server: SocketAddr, path: &str) -> HttpRequest {
    HttpRequest {
        url: format!("https://localhost:{}{path}", server.port()),
        headers: Arc::default(),
        body: Bytes::from_static(b"{}"),
        allow_insecure: false,
        max_response_bytes: 16 << 20,
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
#[ignore = "a child: whom to trust is read once"]
fn child_that_comes_again() {
    let servers = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // A ticket of 1.3 is tried first, for any port of the host.
    for version in [&TLS12, &TLS13] {
        let kinds = Arc::<Mutex<Vec<HandshakeKind>>>::default();
        let seen = Arc::clone(&kinds);
        let address = servers.block_on(server(config(version, "http/1.1"), move |mut connection| {
            seen.lock().unwrap().extend(connection.get_ref().1.handshake_kind());
            async move {
                let _request = connection.read(&mut [0; 4096]).await;
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
                connection.write_all(answer).await.unwrap();
                let _closed = connection.shutdown().await;
            }
        }));
        let ask = async |seconds| {
            let client = Client::shared(Duration::from_secs(seconds));
            assert_eq!(client.send(request(address, "/")).await.unwrap().whole().await.unwrap(), "ok");
        };
        // Twice on one runtime, over connections of another setting, and on another runtime.
        let first = runtime();
        first.block_on(ask(10));
        first.block_on(ask(10));
        first.block_on(ask(11));
        runtime().block_on(ask(10));
        let expected = [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed, HandshakeKind::Resumed];
        assert_eq!(*kinds.lock().unwrap(), expected, "{version:?}");
    }
}

#[test]
fn who_was_there_before_agrees_on_keys_in_one_step_less_whichever_thread_it_was_on() {
    let (is_passed, output) = child("child_that_comes_again", &AUTHORITY);
    assert!(is_passed, "{output}");
}

/// What comes of one stream before anybody reads it.
const WINDOW: usize = 2 << 20;

/// Answers `/flood` with as much as is taken, and all else with a little; counts the bytes of all floods.
async fn multiplex(connection: TlsStream<TcpStream>, flooded: Arc<watch::Sender<usize>>) {
    let mut connection = h2::server::handshake(connection).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let mut body = respond.send_response(http::Response::new(()), false).unwrap();
        if request.uri().path() != "/flood" {
            body.send_data(Bytes::from(vec![b'a'; 100_000]), true).unwrap();
            continue;
        }
        let flooded = Arc::clone(&flooded);
        tokio::spawn(async move {
            let mut left = WINDOW;
            while left > 0 {
                body.reserve_capacity(left);
                let Some(Ok(room)) = std::future::poll_fn(|context| body.poll_capacity(context)).await else { return };
                body.send_data(Bytes::from(vec![b'a'; room]), false).unwrap();
                left -= room;
                flooded.send_modify(|bytes| *bytes += room);
            }
            std::future::pending::<()>().await;
        });
    }
}

#[tokio::test]
#[ignore = "a child: whom to trust is read once"]
async fn child_with_readers_that_stop() {
    let (flooded, mut bytes) = watch::channel(0);
    let (flooded, accepted) = (Arc::new(flooded), Arc::<Mutex<usize>>::default());
    let count = Arc::clone(&accepted);
    let address = server(config(&TLS13, "h2"), move |connection| {
        *count.lock().unwrap() += 1;
        multiplex(connection, Arc::clone(&flooded))
    });
    let (address, client) = (address.await, Client::shared(Duration::from_secs(10)));
    let mut stopped = Vec::new();
    for _ in 0..8 {
        stopped.push(client.send(request(address, "/flood")).await.unwrap());
    }
    let all = tokio::time::timeout(Duration::from_secs(20), bytes.wait_for(|bytes| *bytes == 8 * WINDOW)).await;
    assert!(all.is_ok(), "those that nobody reads on take the connection from each other");
    let answer = tokio::time::timeout(Duration::from_secs(20), async {
        client.send(request(address, "/")).await.unwrap().whole().await.unwrap()
    });
    assert_eq!(answer.await.expect("others go on").len(), 100_000);
    assert_eq!(*accepted.lock().unwrap(), 1, "all share one connection");
}

#[test]
fn readers_that_stop_hold_up_nobody_else_on_their_connection() {
    let (is_passed, output) = child("child_with_readers_that_stop", &AUTHORITY);
    assert!(is_passed, "{output}");
}
