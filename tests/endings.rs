//! An answer that is there stays there, however its stream ends; and whose time it was is what counts.

mod dummies;
mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::{Reply, Server};
use thryd::fields::Fields;
use thryd::kinds::{Completion, CompletionRequest};
use thryd::options::{DeployOptions, InvokeOptions, RouterOptions, StreamOptions, Timeouts};
use thryd::provider::ProviderOptions;
use thryd::route::{Batch, Router};

fn over(server: &Server, timeouts: Timeouts) -> Router<Completion> {
    let router = Router::new(RouterOptions { timeouts, ..RouterOptions::default() }).unwrap();
    let options = ProviderOptions::new("openai-compatible").name("p").base_url(server.url("/v1")).api_key("sk-key");
    router.add_provider(options).unwrap();
    router.deploy("default", "p::m", DeployOptions::default()).unwrap();
    router
}

fn piece(index: u32, text: &str, finish: Option<&str>) -> String {
    json!({ "model": "m-1", "choices": [{ "index": index, "delta": { "content": text }, "finish_reason": finish }] })
        .to_string()
}

async fn read(router: &Router<Completion>, request: &CompletionRequest) -> thryd::Result<String> {
    let stream = router.stream("default", request, StreamOptions::default()).unwrap();
    loop {
        match stream.next().await.unwrap()? {
            Batch::Chunks(_) => {}
            Batch::End(answer) => return Ok(answer.content.clone()),
        }
    }
}

#[tokio::test]
async fn a_complete_answer_survives_a_cut_and_a_silence_after_its_end() {
    let begun = || Reply::stream().event(&piece(0, "one ", None)).event(&piece(0, "two", Some("stop")));
    let rubbish = begun().event("{").event("not JSON").hang();
    for reply in [begun().cut(), begun().hang(), rubbish] {
        let server = Server::start(move |_| reply.clone()).await;
        let router = over(&server, Timeouts { idle: Duration::from_secs(1), ..Timeouts::default() });
        assert_eq!(read(&router, &dummies::request("hi")).await.unwrap(), "one two");
        let stats = router.stats().groups["default"].deployments[0].clone();
        assert_eq!((stats.succeeded, stats.failed), (1, 0));
    }
}

#[tokio::test]
async fn a_silence_after_the_end_is_not_waited_out_for_as_long_as_one_within() {
    let server =
        Server::start(|_| Reply::stream().event(&piece(0, "a", None)).event(&piece(0, "ll", Some("stop"))).hang())
            .await;
    let usual = Timeouts { idle: Duration::from_secs(60), ..Timeouts::default() };
    let total = Some(Duration::from_secs(4));
    let attempt = Duration::from_secs(2);
    // Of the time of the whole call half is left.
    for (timeouts, seconds) in
        [(usual, 5..8), (Timeouts { total, ..usual }, 2..4), (Timeouts { attempt, ..usual }, 2..5)]
    {
        let router = over(&server, timeouts);
        let begun = Instant::now();
        assert_eq!(read(&router, &dummies::request("hi")).await.unwrap(), "all");
        assert!(seconds.contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_finish_reason_with_every_piece_is_no_end() {
    let stop = Some("stop");
    let three = move || Reply::stream().event(&piece(0, "one ", stop)).event(&piece(0, "two ", stop));
    for reply in [three().event(&piece(0, "three ", stop)).cut(), Reply::stream().event(&piece(0, "one ", stop)).cut()]
    {
        let server = Server::start(move |_| reply.clone()).await;
        let error = read(&over(&server, Timeouts::default()), &dummies::request("hi")).await.unwrap_err();
        assert_eq!(error.code(), "ERR_INTERRUPTED", "{error}");
    }
    let server =
        Server::start(move |_| three().pause(Duration::from_millis(5_500)).event(&piece(0, "three", stop)).done())
            .await;
    assert_eq!(read(&over(&server, Timeouts::default()), &dummies::request("hi")).await.unwrap(), "one two three");
}

#[tokio::test]
async fn an_answer_of_two_choices_is_not_complete_with_the_first() {
    let one = || Reply::stream().event(&piece(0, "on", None)).event(&piece(0, "e", Some("stop")));
    let timeouts = Timeouts { idle: Duration::from_secs(1), ..Timeouts::default() };
    let request = dummies::request("hi").set("n", 2);
    let hanging = Server::start(move |_| one().hang()).await;
    assert_eq!(read(&over(&hanging, timeouts), &request).await.unwrap_err().code(), "ERR_INTERRUPTED");

    let timeouts = Timeouts { idle: Duration::from_secs(60), ..Timeouts::default() };
    let pause = Duration::from_millis(50);
    let slow = Server::start(move |_| one().pause(pause).event(&piece(1, "other", Some("stop"))).done()).await;
    assert_eq!(read(&over(&slow, timeouts), &request).await.unwrap(), "one");
}

#[tokio::test]
async fn an_answer_that_is_cut_before_its_end_is_still_no_answer() {
    let server =
        Server::start(|_| Reply::stream().event(&piece(0, "one ", None)).event(&piece(0, "two", None)).cut()).await;
    let error = read(&over(&server, Timeouts::default()), &dummies::request("hi")).await.unwrap_err();
    assert_eq!(error.code(), "ERR_INTERRUPTED", "{error}");
}

#[tokio::test]
async fn a_reader_who_takes_his_time_does_not_use_up_that_of_the_provider() {
    // More than is read ahead, so that the pause of the reader reaches the socket.
    let event = piece(0, &"word ".repeat(2_000), None);
    let server = Server::start(move |_| {
        let all = (0..100).fold(Reply::stream(), |reply, _| reply.event(&event));
        all.event(&piece(0, "", Some("stop"))).done()
    })
    .await;
    let router = over(&server, Timeouts { attempt: Duration::from_secs(3), ..Timeouts::default() });
    let stream = router.stream("default", &dummies::request("hi"), StreamOptions::default()).unwrap();
    let mut is_first = true;
    loop {
        match stream.next().await.unwrap().unwrap() {
            Batch::Chunks(_) if std::mem::take(&mut is_first) => tokio::time::sleep(Duration::from_secs(4)).await,
            Batch::Chunks(_) => {}
            Batch::End(answer) => {
                assert_eq!(answer.content.len(), 1_000_000);
                break;
            }
        }
    }
}

#[tokio::test]
async fn callers_in_a_hurry_take_no_deployment_from_the_others() {
    let server = Server::start(|_| {
        let answer = r#"{"model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}"#;
        Reply::new(200).header("content-type", "application/json").pause(Duration::from_millis(120)).then(answer)
    })
    .await;
    let router = over(&server, Timeouts::default());
    let usual = Timeouts::default();
    let hurry = Duration::from_millis(20);
    let clocks = [
        Timeouts { first_token: Some(hurry), ..usual },
        Timeouts { attempt: hurry, ..usual },
        Timeouts { total: Some(hurry), ..usual },
        Timeouts { idle: hurry, ..usual },
    ];
    for timeouts in clocks.into_iter().cycle().take(24) {
        let options = InvokeOptions { timeouts: Some(timeouts), ..InvokeOptions::default() };
        let error = router.invoke("default", dummies::request("hi"), options).await.unwrap_err();
        assert_eq!(error.code(), "ERR_TIMEOUT", "{error}");
    }
    assert_eq!(router.stats().groups["default"].deployments[0].rest_ms, 0.0);
    router.invoke("default", dummies::request("hi"), InvokeOptions::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_hangs_rests_in_the_end_however_short_its_callers_clocks_are() {
    let router = dummies::router(json!({
        "providers": [dummies::dummy("p", json!({ "latencyMs": 400 }))],
        "groups": { "default": { "deployments": ["p::m"] } },
    }));
    for text in ["one", "two"] {
        dummies::ask(&router, text).await.unwrap();
    }
    let hung = dummies::dummy("p", json!({ "faults": { "hang": 1 } }));
    let hung = ProviderOptions::read(Fields::new("provider options", hung).unwrap()).unwrap();
    router.add_provider(hung).unwrap();
    let begun = tokio::time::Instant::now();
    let rests = || router.stats().groups["default"].deployments[0].rest_ms > 0.0;
    while !rests() {
        let _late = dummies::ask_with(&router, "hi", json!({ "attemptMs": 380 })).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(15), "it still does not rest");
    }
    assert!(begun.elapsed() > Duration::from_secs(5), "nor at once: they are in a hurry");
}
