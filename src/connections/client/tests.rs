//! How connections are made, where the name of a host has several addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::pool::{Resolver, builder};
use crate::connections::names::Names;
use crate::connections::tls;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A client to whom every name has these addresses, and how often it asked.
fn client(addresses: &'static [IpAddr]) -> (reqwest::Client, Names, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let counting = Arc::clone(&asked);
    let lookup = move |_| {
        counting.fetch_add(1, Ordering::Relaxed);
        async { Ok(addresses.iter().map(|address| (*address, 0).into()).collect()) }
    };
    let names = Names::default();
    let resolver = Resolver { names: names.clone(), lookup };
    let builder = builder(Duration::from_secs(10), tls::unused().unwrap(), resolver);
    (builder.no_proxy().build().unwrap(), names, asked)
}

/// Answers every request of every connection.
async fn serve(listener: TcpListener) {
    while let Ok((mut socket, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut request = [0; 4096];
            while socket.read(&mut request).await.is_ok_and(|length| length > 0) {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        });
    }
}

/// A server at this address, if the machine has it; its port.
async fn server(address: IpAddr) -> io::Result<u16> {
    let listener = TcpListener::bind((address, 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(serve(listener));
    Ok(port)
}

async fn ask(client: &reqwest::Client, port: u16) -> u16 {
    client.head(format!("http://host.invalid:{port}/")).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn where_one_of_two_families_refuses_the_other_answers() {
    for (address, first) in [(V4, &[V6, V4]), (V6, &[V4, V6])] {
        // A machine without IPv6 has the other half of this.
        let Ok(port) = server(address).await else { continue };
        assert_eq!(ask(&client(first).0, port).await, 200, "{first:?}");
    }
}

/// Connections to this address and port are neither made nor refused: the queue is full, and nobody takes them out of it.
#[cfg(target_os = "linux")]
async fn deaf(address: IpAddr, port: u16) -> io::Result<(TcpListener, Vec<TcpStream>)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind((address, port).into())?;
    let (listener, mut queue) = (socket.listen(0)?, Vec::new());
    while let Ok(queued) = tokio::time::timeout(Duration::from_millis(50), TcpStream::connect((address, port))).await {
        queue.push(queued?);
    }
    Ok((listener, queue))
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn where_one_of_two_families_is_silent_the_other_is_tried_at_once_and_not_when_time_is_up() {
    for (address, silent, first) in [(V4, V6, &[V6, V4]), (V6, V4, &[V4, V6])] {
        let Ok(port) = server(address).await else { continue };
        let Ok(_deaf) = deaf(silent, port).await else { continue };
        let begun = std::time::Instant::now();
        assert_eq!(ask(&client(first).0, port).await, 200, "{first:?}");
        assert!(begun.elapsed() >= Duration::from_millis(250), "the first one was silent: {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_hundred_connections_ask_for_the_name_once_and_again_after_one_failed() {
    let port = server(V4).await.unwrap();
    let (client, names, asked) = client(&[V4]);
    // Each on its own, as none has ended when the last one begins.
    let all = futures_util::future::join_all((0..100).map(|_| ask(&client, port))).await;
    assert_eq!((all, asked.load(Ordering::Relaxed)), (vec![200; 100], 1));
    names.forget("host.invalid");
    let other = server(V4).await.unwrap();
    assert_eq!((ask(&client, other).await, asked.load(Ordering::Relaxed)), (200, 2));
}
