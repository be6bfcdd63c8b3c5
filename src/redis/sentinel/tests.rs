use super::super::connection::CONNECT_WITHIN;
use super::super::fake::{Fake, HELD_UP, settings, watched};
use super::*;

fn found_at(port: u16) -> String {
    let port = port.to_string();
    format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len())
}

async fn server(role: &'static str) -> Fake {
    Fake::start(move |_, words| match words[0].as_str() {
        "ROLE" => format!("*3\r\n${}\r\n{role}\r\n:0\r\n*0\r\n", role.len()),
        _ => "+PONG\r\n".to_owned(),
    })
    .await
}

/// One that accepts a password of its own and names the server at this port.
async fn sentinel(of: u16) -> Fake {
    Fake::start(move |_, words| match words[0].as_str() {
        "AUTH" if words[1..] == ["watcher", "its own"] => "+OK\r\n".to_owned(),
        "AUTH" => "-WRONGPASS no\r\n".to_owned(),
        "SENTINEL" if words[2] == "main" => found_at(of),
        "SENTINEL" => "*-1\r\n".to_owned(),
        _ => "+PONG\r\n".to_owned(),
    })
    .await
}

async fn connect(sentinels: &[Fake], master: &str) -> Result<Connection, Fault> {
    let credentials = Credentials { username: Some("watcher".to_owned()), password: Some("its own".to_owned().into()) };
    let sentinels = sentinels.iter().map(Fake::endpoint).collect();
    connect_to_master(sentinels, master.into(), credentials, settings(), Instant::now() + CONNECT_WITHIN).await
}

#[tokio::test]
async fn sentinels_that_keep_still_or_name_a_demoted_master_do_not_hide_one_that_knows() {
    let (old, new) = (server("slave").await, server("master").await);
    let mut sentinels = vec![sentinel(old.port).await];
    for _ in 0..5 {
        sentinels.push(Fake::start(|_, _| String::new()).await);
    }
    let fault = connect(&sentinels, "main").await.unwrap_err();
    assert_eq!(fault.message, format!("127.0.0.1:{} is no master", old.port));
    sentinels.push(sentinel(new.port).await);
    let (mut found, mut held_up) = watched(connect(&sentinels, "main")).await;
    // A machine that has other things to do may be late, but not each time.
    for _ in 0..4 {
        if found.is_err() && held_up > HELD_UP {
            (found, held_up) = watched(connect(&sentinels, "main")).await;
        }
    }
    assert_eq!(found.unwrap().endpoint(), &new.endpoint());
    let fault = connect(&sentinels, "other").await.unwrap_err();
    assert!(fault.message.contains("knows no master \"other\""), "{fault}");
}
