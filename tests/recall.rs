//! The fear about remembering the words of requests: that somebody is answered otherwise than by reading them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use thryd::Result;
use thryd::cache::{Cache, CacheOptions, CacheStats};
use thryd::fields::Fields;
use thryd::kinds::{Body, Completion, Kind};
use thryd::options::{CacheUse, DeployOptions, InvokeOptions, RouterOptions};
use thryd::provider::{CustomCall, CustomHandler, CustomProvider, LocalFuture, Reply};
use thryd::route::{Answer, Begun, Hit, Router};

/// Says something else each time.
struct Counting(AtomicU64);

impl CustomHandler for Counting {
    fn call(&self, call: CustomCall) -> LocalFuture {
        let content = format!("{} to {}", self.0.fetch_add(1, Ordering::SeqCst), call.body_json);
        Box::pin(async move { Ok(Reply::Whole(Bytes::from(json!({ "content": content }).to_string()))) })
    }
}

fn provider() -> Arc<CustomProvider> {
    Arc::new(CustomProvider::new("mine", ["completion"], Arc::new(Counting(AtomicU64::new(0)))).unwrap())
}

/// A router, two caches that it may use, and their clock.
struct Side {
    router: Router<Completion>,
    caches: [Cache; 2],
    clock: Arc<AtomicU64>,
    remembers: bool,
}

impl Side {
    fn new(remembers: bool, memory_bytes: u64) -> Self {
        let options = json!({ "retry": { "maxRetries": 0 } });
        let options = RouterOptions::read(Fields::new("router options", options).unwrap()).unwrap();
        let router: Router<Completion> = Router::new(options).unwrap();
        router.add(provider());
        let clock = Arc::new(AtomicU64::new(1_000));
        let caches = [None, Some("tenant".to_owned())].map(|namespace| {
            let clock = Arc::clone(&clock);
            let options = CacheOptions { namespace, memory_bytes, ..CacheOptions::default() };
            Cache::open_with_clock(options, move || clock.load(Ordering::SeqCst)).unwrap()
        });
        router.mount_cache(caches[0].clone());
        Self { router, caches, clock, remembers }
    }

    async fn ask(&self, group: &str, text: &str, options: InvokeOptions) -> Result<Answer<Completion>> {
        let read = |text: &str| Ok(Completion::request(Body::parse(text)?)?);
        let begun = if self.remembers {
            let made = |hit: Hit<Completion>| hit;
            if let Some((hit, latency)) = self.router.recall(group, text, &options, made) {
                return Ok((*hit).clone().answer(latency));
            }
            self.router.begin_spoken(group, text, options, read, made)?
        } else {
            self.router.begin(group, read(text)?, options)
        };
        match begun {
            Begun::Ready(result) => result,
            Begun::Pending(call) => call.await,
        }
    }

    /// Does it, and says what can be seen of it.
    async fn act(&self, act: &Act) -> (String, Option<CacheStats>) {
        let router = &self.router;
        let seen = match act {
            Act::Ask { group, text, namespace, cache, ttl_ms } => {
                let options = InvokeOptions {
                    namespace: namespace.map(|name| NAMESPACES[name].to_owned()),
                    cache: USES[*cache],
                    cache_ttl: ttl_ms.map(Duration::from_millis),
                    ..InvokeOptions::default()
                };
                match self.ask(GROUPS[*group], TEXTS[*text], options).await {
                    Ok(answer) => format!("{} by {}, {:?}", answer.content, answer.deployment, answer.cache),
                    Err(error) => error.to_string(),
                }
            }
            Act::Deploy { group, model, cache_as } => {
                let cache_as = cache_as.map(|name| MODELS[name].to_owned());
                let options = DeployOptions { cache_as, ..DeployOptions::default() };
                format!("{:?}", router.deploy(GROUPS[*group], MODELS[*model], options).is_ok())
            }
            Act::Undeploy { group, model } => router.undeploy(GROUPS[*group], MODELS[*model]).to_string(),
            Act::RemoveGroup(group) => router.remove_group(GROUPS[*group]).to_string(),
            Act::RemoveProvider => router.remove_provider("mine").to_string(),
            Act::AddProvider => {
                router.add(provider());
                String::new()
            }
            Act::Mount(cache) => {
                router.mount_cache(self.caches[*cache].clone());
                String::new()
            }
            Act::Clear { cache, namespace } => {
                let namespace = namespace.map(|name| NAMESPACES[name]);
                format!("{:?}", self.caches[*cache].clear(namespace).await.is_ok())
            }
            Act::Wait(milliseconds) => self.clock.fetch_add(*milliseconds, Ordering::SeqCst).to_string(),
        };
        (seen, router.stats().cache)
    }
}

#[derive(Clone, Debug)]
enum Act {
    Ask { group: usize, text: usize, namespace: Option<usize>, cache: usize, ttl_ms: Option<u64> },
    Deploy { group: usize, model: usize, cache_as: Option<usize> },
    Undeploy { group: usize, model: usize },
    RemoveGroup(usize),
    RemoveProvider,
    AddProvider,
    Mount(usize),
    Clear { cache: usize, namespace: Option<usize> },
    Wait(u64),
}

const GROUPS: [&str; 3] = ["default", "other", "missing"];
const MODELS: [&str; 3] = ["mine::a", "mine::b", "mine::c"];
const NAMESPACES: [&str; 3] = ["", "tenant", "default"];
const USES: [CacheUse; 4] = [CacheUse::Default, CacheUse::OnlyIfCached, CacheUse::Reload, CacheUse::NoStore];
/// Two questions, each in several spellings, and some that are none.
const TEXTS: [&str; 9] = [
    r#"{"message":"q"}"#,
    r#"{"messages":[{"role":"user","content":"q"}]}"#,
    r#"{ "message": "q", "user": "me" }"#,
    r#"{"temperature":1.0,"message":"q"}"#,
    r#"{"message":"q","temperature":1}"#,
    r#"{"message":"\u0071","temperature":null}"#,
    r#"{"message":5}"#,
    r#"{"message":"q""#,
    r#"{"message":"q","temperature":9}"#,
];

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let ask = (0..10_usize, 0..TEXTS.len(), prop::option::of(0..3_usize), 0..8_usize, prop::option::of(0..200_u64));
    let ask = ask.prop_map(|(group, text, namespace, cache, ttl_ms)| Act::Ask {
        group: [0, 0, 0, 0, 0, 0, 1, 1, 1, 2][group],
        text,
        namespace,
        cache: cache.saturating_sub(4),
        ttl_ms: ttl_ms.filter(|milliseconds| milliseconds % 4 == 0),
    });
    let deploy = (0..2_usize, 0..3_usize, prop::option::of(0..3_usize))
        .prop_map(|(group, model, cache_as)| Act::Deploy { group, model, cache_as });
    let act = prop_oneof![
        24 => ask,
        4 => deploy,
        2 => (0..2_usize, 0..3_usize).prop_map(|(group, model)| Act::Undeploy { group, model }),
        1 => (0..3_usize).prop_map(Act::RemoveGroup),
        1 => Just(Act::RemoveProvider),
        2 => Just(Act::AddProvider),
        1 => (0..2_usize).prop_map(Act::Mount),
        1 => (0..2_usize, prop::option::of(0..3_usize)).prop_map(|(cache, namespace)| Act::Clear { cache, namespace }),
        2 => (0..150_u64).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 1..80)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #[test]
    fn who_is_remembered_is_answered_as_if_he_were_not(acts in acts()) {
        runtime().block_on(async {
            let sides = [true, false].map(|remembers| Side::new(remembers, 1 << 20));
            for side in &sides {
                side.act(&Act::Deploy { group: 0, model: 0, cache_as: None }).await;
            }
            for (place, act) in acts.iter().enumerate() {
                let [ours, theirs] = [sides[0].act(act).await, sides[1].act(act).await];
                prop_assert_eq!(ours, theirs, "{} {:?}", place, act);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn what_is_asked_twice_in_the_same_words_is_remembered_and_counted() {
    let side = Side::new(true, 1 << 20);
    side.router.deploy("default", "mine::a", DeployOptions::default()).unwrap();
    let recalled = |text: &str| {
        let found = side.router.recall("default", text, &InvokeOptions::default(), |hit| hit);
        found.map(|(hit, _)| hit.value.content.clone())
    };
    for _ in 0..2 {
        assert_eq!(recalled(TEXTS[0]), None);
        side.ask("default", TEXTS[0], InvokeOptions::default()).await.unwrap();
    }
    assert!(recalled(TEXTS[0]).is_some_and(|content| content.starts_with("0 to")));
    assert_eq!(recalled(TEXTS[1]), None, "the same question in other words");
    let stats = side.caches[0].stats();
    assert_eq!((stats.hits, stats.memory_hits, stats.misses), (2, 2, 1));
    let _closing = side.router.close();
    assert_eq!(recalled(TEXTS[0]), None);
    assert_eq!(side.ask("default", TEXTS[0], InvokeOptions::default()).await.unwrap_err().code(), "ERR_CLOSED");
}

#[tokio::test]
async fn an_answer_that_was_renewed_is_made_anew() {
    let side = Side::new(true, 1 << 20);
    side.router.deploy("default", "mine::a", DeployOptions::default()).unwrap();
    let content = async |cache| {
        let options = InvokeOptions { cache, ..InvokeOptions::default() };
        side.ask("default", TEXTS[0], options).await.unwrap().content.clone()
    };
    for _ in 0..3 {
        assert!(content(CacheUse::Default).await.starts_with("0 to"));
    }
    assert!(content(CacheUse::Reload).await.starts_with("1 to"));
    for _ in 0..3 {
        assert!(content(CacheUse::Default).await.starts_with("1 to"));
    }
}
