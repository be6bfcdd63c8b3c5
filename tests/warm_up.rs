//! Connections that are opened ahead of the first request: what they save, and that nothing comes of those that fail.

mod support;

use std::time::Duration;

use support::{Gate, Reply, Server};
use thryd::error::Result;
use thryd::kinds::{Completion, CompletionRequest, Kind};
use thryd::options::{DeployOptions, InvokeOptions, RouterOptions};
use thryd::provider::ProviderOptions;
use thryd::route::Router;

const ANSWER: &str =
    r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;

fn provider(url: &str) -> ProviderOptions {
    ProviderOptions::new("openai-compatible").name("p").base_url(url).api_key("sk-never-to-be-seen").warm_up(true)
}

fn router(url: &str) -> Router<Completion> {
    let options = RouterOptions { providers: vec![provider(url)], ..RouterOptions::default() };
    let router = Router::new(options).unwrap();
    router.deploy("default", "p::m", DeployOptions::default()).unwrap();
    router
}

async fn ask(router: &Router<Completion>) -> Result<String> {
    let answer = router.invoke("default", CompletionRequest::message("Hi"), InvokeOptions::default()).await?;
    Ok(answer.value.text().into_owned())
}

/// What is answered to the request that only opens a connection, and to all others.
async fn server(cold: Reply) -> Server {
    Server::start(move |request| if request.method == "HEAD" { cold.clone() } else { Reply::json(200, ANSWER) }).await
}

/// Until everything has happened that can: server and client share this thread, and each turn looks at all sockets.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Until the connection that is opened waits for a request, as far as that can be told from here: what the server has sent is there
/// at once, but where the kernel is busy.
async fn until_open(server: &Server) {
    server.until_received(1).await;
    settle().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    settle().await;
}

#[tokio::test]
async fn the_first_request_goes_over_the_connection_that_was_opened_and_the_key_did_not() {
    for status in [200, 301, 401, 404, 405, 421, 500] {
        let server = server(Reply::new(status).header("location", "/elsewhere")).await;
        let router = router(&server.url("/v1"));
        until_open(&server).await;
        assert_eq!(ask(&router).await.unwrap(), "Hi");
        let [opening, asking] = &server.requests()[..] else { panic!("two requests: {:?}", server.requests()) };
        assert_eq!((opening.method.as_str(), opening.path.as_str()), ("HEAD", "/"), "{status}");
        assert!(!format!("{opening:?}").contains("sk-never"), "{opening:?}");
        assert_eq!((opening.connection, asking.connection, server.connections()), (0, 0, 1), "{status}");
        let deployment = &router.stats().groups["default"].deployments[0];
        assert_eq!((deployment.succeeded, deployment.failed), (1, 0), "{status}");
    }
}

#[tokio::test]
async fn routers_that_share_a_provider_open_one_connection() {
    let server = server(Reply::new(404)).await;
    let routers = [(); 4].map(|()| router(&server.url("/v1")));
    until_open(&server).await;
    for router in &routers {
        ask(router).await.unwrap();
    }
    assert_eq!((server.requests().len(), server.connections()), (5, 1));
}

#[tokio::test]
async fn nothing_is_opened_where_nobody_asks_for_it_or_nothing_could_run() {
    let server = server(Reply::new(404)).await;
    let options = RouterOptions { providers: vec![provider(&server.url("/v1")).warm_up(false)], ..Default::default() };
    let _cold = Router::<Completion>::new(options).unwrap();
    let url = server.url("/v1");
    // Where there is no runtime it is no error.
    std::thread::spawn(move || drop(router(&url))).join().unwrap();
    settle().await;
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_host_that_is_down_breaks_nothing() {
    let (_held, address) = support::refusing();
    let router = router(&format!("http://{address}/v1"));
    settle().await;
    let stats = router.stats();
    assert_eq!((stats.in_flight, stats.groups["default"].deployments[0].failed), (0, 0));
    // It is the first request that says what is wrong.
    assert!(ask(&router).await.unwrap_err().to_string().contains("connection refused"));
}

#[tokio::test]
async fn what_is_under_way_is_abandoned_with_the_provider_the_router_and_its_last_clone() {
    type Leave = fn(Router<Completion>) -> Option<Router<Completion>>;
    let gone: [Leave; 4] = [
        |router| {
            router.remove_provider("p");
            Some(router)
        },
        |router| {
            // Refuses at once; nobody has to wait for it.
            drop(router.close());
            Some(router)
        },
        |router| {
            router.add_provider(provider("http://127.0.0.1:1/v1").warm_up(false)).unwrap();
            Some(router)
        },
        |_| None,
    ];
    for leave in gone {
        let server = server(Reply::silence()).await;
        let router = router(&server.url("/v1"));
        server.until_received(1).await;
        let _rest = leave(router);
        server.until_closed().await;
    }
}

#[tokio::test]
async fn a_router_that_is_closed_opens_nothing_and_waits_for_nothing() {
    let server = server(Reply::silence()).await;
    let router = router(&server.url("/v1"));
    server.until_received(1).await;
    router.close().await.unwrap();
    router.add_provider(provider(&server.url("/v1"))).unwrap();
    settle().await;
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_request_does_not_wait_for_a_connection_that_is_being_opened() {
    let gate = Gate::closed();
    let server = server(Reply::new(404).wait(&gate)).await;
    let router = router(&server.url("/v1"));
    server.until_received(1).await;
    assert_eq!(ask(&router).await.unwrap(), "Hi");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn the_vocabulary_of_a_group_that_counts_is_loaded_ahead_and_no_other() {
    let server = server(Reply::new(404)).await;
    let router = router(&server.url("/v1"));
    router.deploy("free", "p::davinci", DeployOptions::default()).unwrap();
    let mut counted = DeployOptions::default();
    counted.limits.tpm = Some(1_000_000);
    router.deploy("counted", "p::gpt-4", counted).unwrap();
    let loaded = async {
        while !thryd::tokens::is_loaded("gpt-4") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), loaded).await.expect("it is loaded ahead");
    assert!(!thryd::tokens::is_loaded("davinci"));
}
