//! A kind and a provider from outside the crate, through its public traits alone (docs/extending.md).

mod ask;
mod support;

use std::sync::Arc;

use ask::{call, http, keyed, text_of};
use bytes::Bytes;
use serde_json::{Value, json};
use thryd::connections::HttpRequest;
use thryd::error::{Failure, FailureClass, Invalid};
use thryd::kinds::{Body, Prompt, Usage};
use thryd::options::{DeployOptions, InvokeOptions, RouterOptions};
use thryd::provider::{Call, Outgoing, Provider, ProviderOptions};
use thryd::route::CacheStatus;
use thryd::{Error, Kind, Result, Router};

/// A kind of one's own: which of OpenAI's policies a text breaks.
#[derive(Clone, Debug)]
struct Moderation {
    is_flagged: bool,
    usage: Option<Usage>,
}

#[derive(Clone, Debug)]
struct ModerationRequest(Body);

impl AsRef<Body> for ModerationRequest {
    fn as_ref(&self) -> &Body {
        &self.0
    }
}

impl Kind for Moderation {
    type Request = ModerationRequest;
    const NAME: &'static str = "moderation";
    const PATH: &'static str = "/moderations";

    fn request(body: Body) -> Result<ModerationRequest, Invalid> {
        let input = body.read::<String>("input", "a string")?;
        input
            .map(|_| ModerationRequest(body))
            .ok_or_else(|| Invalid::type_error("request.input", "a string", "nothing"))
    }

    fn read(answer: &Bytes, _request: &ModerationRequest) -> Result<Self, Failure> {
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        let is_flagged = answer["results"][0]["flagged"].as_bool();
        let is_flagged =
            is_flagged.ok_or_else(|| Failure::new(FailureClass::Truncated, "the answer has no verdict"))?;
        Ok(Self { is_flagged, usage: None })
    }

    fn store(&self) -> Bytes {
        Bytes::copy_from_slice(&[u8::from(self.is_flagged)])
    }

    fn load(stored: &Bytes) -> Option<Self> {
        matches!(&stored[..], [0 | 1]).then(|| Self { is_flagged: stored[..] == [1], usage: None })
    }

    fn is_storable(&self) -> bool {
        true
    }

    fn model(&self) -> &str {
        ""
    }

    fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    fn set_usage(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    fn prompt(request: &ModerationRequest) -> Prompt<'_> {
        Prompt {
            texts: vec![request.0.get("input").unwrap_or_default().into()],
            completion: Some(0),
            ..Prompt::default()
        }
    }

    fn join(mut parts: Vec<Self>) -> Self {
        parts.swap_remove(0)
    }
}

/// A provider of one's own, whose dialect shouts.
#[derive(Debug)]
struct Shouting {
    base_url: String,
}

impl Provider for Shouting {
    fn name(&self) -> &'static str {
        "shouting"
    }

    fn supports(&self, kind: &str) -> bool {
        kind == Moderation::NAME
    }

    fn write(&self, call: &Call<'_>) -> Result<Outgoing> {
        let input: String = call.body.read("input", "a string")?.unwrap_or_default();
        Ok(Outgoing::Http(HttpRequest {
            url: format!("{}/{}", self.base_url, call.model),
            headers: Arc::default(),
            body: json!({ "TEXT": input.to_uppercase() }).to_string().into(),
            allow_insecure: false,
            max_response_bytes: 1 << 20,
        }))
    }

    fn read(&self, _call: &Call<'_>, answer: Bytes) -> Result<Bytes, Failure> {
        Ok(json!({ "results": [{ "flagged": &answer[..] == b"YES" }] }).to_string().into())
    }
}

#[test]
fn a_kind_from_outside_travels_through_a_provider_from_inside() {
    let request = Moderation::request(Body::parse(r#"{"input":"a","x":1.0}"#).unwrap()).unwrap();
    let provider = keyed("openai-compatible");
    assert!(provider.supports(Moderation::NAME) && !keyed("groq").supports(Moderation::NAME));
    let sent = http::<Moderation>(&*provider, &request, false);
    assert_eq!(
        (sent.url.as_str(), text_of(&sent)),
        ("https://host/v1/moderations", r#"{"model":"m","input":"a","x":1.0}"#)
    );
    let answer =
        provider.read(&call::<Moderation>(&request, false), r#"{"results":[{"flagged":true}]}"#.into()).unwrap();
    let moderation = Moderation::read(&answer, &request).unwrap();
    assert!(moderation.is_flagged && Moderation::load(&moderation.store()).unwrap().is_flagged);
    assert!(Error::from(Moderation::request(Body::new()).unwrap_err()).to_string().starts_with("request.input"));
}

#[test]
fn a_provider_from_outside_answers_a_kind_from_outside() {
    let request = Moderation::request(Body::parse(r#"{"input":"hey"}"#).unwrap()).unwrap();
    let shouting = Shouting { base_url: "https://host".to_owned() };
    let sent = http::<Moderation>(&shouting, &request, false);
    assert_eq!((sent.url.as_str(), text_of(&sent)), ("https://host/m", r#"{"TEXT":"HEY"}"#));
    let answer = shouting.read(&call::<Moderation>(&request, false), "YES".into()).unwrap();
    assert!(Moderation::read(&answer, &request).unwrap().is_flagged);
}

#[tokio::test]
async fn a_router_routes_limits_and_keeps_a_kind_from_outside_over_providers_from_inside_and_outside() {
    let inside = support::Server::start(|received| {
        let is_right = received.text() == r#"{"model":"m","input":"one"}"#;
        support::Reply::json(if is_right { 200 } else { 400 }, r#"{"results":[{"flagged":false}]}"#)
    })
    .await;
    let outside = support::Server::start(|received| {
        let is_right = received.text() == r#"{"TEXT":"TWO"}"#;
        support::Reply::text(if is_right { 200 } else { 400 }, "text/plain", "YES")
    })
    .await;
    let router: Router<Moderation> =
        Router::new(RouterOptions { cache: Some(thryd::cache::CacheOptions::default()), ..RouterOptions::default() })
            .unwrap();
    router.add_provider(ProviderOptions::new("openai-compatible").base_url(inside.url("/v1"))).unwrap();
    router.add(Arc::new(Shouting { base_url: outside.url("/shout") }));
    router.deploy("inside", "openai-compatible::m", DeployOptions::default()).unwrap();
    router.deploy("outside", "shouting::m", DeployOptions::default()).unwrap();
    let ask = async |group: &str, input: &str| {
        let request = Moderation::request(Body::parse(&json!({ "input": input }).to_string()).unwrap()).unwrap();
        router.invoke(group, request, InvokeOptions::default()).await.unwrap()
    };
    let first = ask("inside", "one").await;
    assert_eq!((first.is_flagged, first.cache), (false, CacheStatus::Miss));
    assert!(first.usage().estimated, "the provider did not say");
    assert!(ask("outside", "two").await.is_flagged);
    let again = ask("outside", "two").await;
    assert_eq!((again.is_flagged, again.cache), (true, CacheStatus::Memory));
    assert_eq!((inside.requests().len(), outside.requests().len()), (1, 1));
}
