//! Connections to other machines, as the environment has them: whom to trust, and through whom to go.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use support::{Reply, Server, child};
use thryd::connections::{Client, HeaderText, HttpRequest};
use thryd::error::{Failure, FailureClass};

fn client() -> Client {
    Client::shared(Duration::from_secs(10))
}

fn request(url: impl Into<String>) -> HttpRequest {
    let key = HeaderText::Secret("Bearer sk-never-to-be-seen".to_owned().into());
    HttpRequest {
        url: url.into(),
        headers: Arc::new(vec![("authorization".into(), key)]),
        body: Bytes::from_static(b"{}"),
        allow_insecure: false,
        max_response_bytes: 1 << 16,
    }
}

async fn refused(request: HttpRequest) -> Failure {
    client().send(request).await.expect_err("it is refused")
}

/// A TLS server for one connection, which says by its answer which protocol it would have liked.
fn tls_server() -> u16 {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let certificate = CertificateDer::from_pem_slice(include_bytes!("support/certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("support/key.pem")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::Stream::new(&mut connection, &mut socket);
        // A client that does not trust the certificate hangs up here.
        if stream.read(&mut [0; 4096]).is_ok() {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\ntrusted").unwrap();
        }
    });
    port
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_trusted() {
    let failure = refused(request(format!("https://localhost:{}/", tls_server()))).await;
    assert_eq!((failure.class, failure.is_sent), (FailureClass::Transient, false));
    assert!(failure.message.contains("NODE_EXTRA_CA_CERTS"), "{}", failure.message);
}

#[tokio::test]
#[ignore = "a child: the variable is read once"]
async fn child_that_trusts_the_company() {
    let response = client().send(request(format!("https://localhost:{}/", tls_server()))).await.unwrap();
    assert_eq!(response.whole().await.unwrap(), "trusted");
}

#[test]
#[cfg_attr(target_vendor = "apple", ignore = "Apple trusts no certificate of more than 825 days")]
fn a_company_authority_is_trusted_when_node_is_told_of_it() {
    let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/certificate.pem");
    let (is_passed, output) = child("child_that_trusts_the_company", &[("NODE_EXTRA_CA_CERTS", authority)]);
    assert!(is_passed, "{output}");
    let missing = [("NODE_EXTRA_CA_CERTS", "/nowhere/company.pem")];
    let (is_passed, output) = child("child_that_trusts_the_company", &missing);
    assert!(!is_passed && output.contains("/nowhere/company.pem"), "{output}");
}

#[tokio::test]
#[ignore = "a child: the variables are read from the environment"]
async fn child_behind_a_proxy() {
    let local = Server::start(|_| Reply::json(200, "\"local\"")).await;
    let answer = client().send(request(local.url("/"))).await.unwrap().whole().await;
    assert_eq!(answer.unwrap(), "\"local\"");
    let mut remote = request("http://example.invalid/v1");
    remote.allow_insecure = true;
    assert_eq!(client().send(remote).await.unwrap().whole().await.unwrap(), "\"proxy\"");
}

#[tokio::test]
async fn a_proxy_is_used_for_other_machines_only() {
    let proxy = Server::start(|_| Reply::json(200, "\"proxy\"")).await;
    let address = proxy.url("");
    let child = tokio::task::spawn_blocking(move || child("child_behind_a_proxy", &[("HTTP_PROXY", &address)]));
    let (is_passed, output) = child.await.unwrap();
    assert!(is_passed, "{output}");
    let [got] = &proxy.requests()[..] else { panic!("one request") };
    assert_eq!(got.path, "http://example.invalid/v1");
}

#[tokio::test]
#[ignore = "a child: a proxy would resolve the name"]
async fn child_that_looks_a_name_up() {
    // With the dot at its end it is looked for nowhere else.
    // Without a key, and with one that may: both are let through, so the name is looked up, and nobody has it.
    let mut without = request("http://example.invalid./v1");
    Arc::make_mut(&mut without.headers).clear();
    let mut allowed = request("http://example.invalid./v1");
    allowed.allow_insecure = true;
    for request in [without, allowed] {
        let failure = Client::shared(Duration::from_secs(120)).send(request).await.expect_err("it is refused");
        assert_eq!((failure.class, failure.is_sent), (FailureClass::Transient, false));
        let expected = "the name of http://example.invalid. cannot be resolved";
        assert!(failure.message.starts_with(expected), "{}", failure.message);
    }
}

#[test]
fn plain_http_to_another_machine_is_allowed_without_a_key_or_when_it_says_so() {
    let (is_passed, output) = child("child_that_looks_a_name_up", &[]);
    assert!(is_passed, "{output}");
}
