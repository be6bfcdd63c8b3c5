//! The router classes as one binding class: each call converted, made, and converted back.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Wake, Waker};

use napi::Env;
use napi::bindgen_prelude::Float64Array;
use napi_derive::napi;

use super::any_router::{AnyRouter, Started, create};
use super::any_stream::Arrived;
use super::cache::{self, NativeCache};
use super::custom::{CustomCalls, Handler, Said};
use super::letter::{Letter, Mail};
use super::line::{Line, Told, Words};
use super::mailbox::{Mailbox, Post, lock};
use super::pending::{Arrival, Pending, Place};
use super::reply::{guarded, reply};
use super::runtime;
use super::text::{Spoken, Text};
use crate::error::{ErrorKind, Result};
use crate::fields::Fields;
use crate::options::{DeployOptions, Interest, RouterOptions};
use crate::provider::{CustomProvider, Provider, ProviderOptions};
use crate::tracker::Limits;

/// A router.
#[napi]
pub struct NativeRouter {
    kind: String,
    pub(super) post: Post,
    router: OnceLock<Arc<dyn AnyRouter>>,
    custom: CustomCalls,
    /// Providers written in JavaScript that were given before `configure`.
    early: Mutex<Vec<Arc<dyn Provider>>>,
    pub(super) pending: Pending,
    words: RefCell<Words>,
    desk: RefCell<Float64Array>,
}

#[napi]
impl NativeRouter {
    #[napi(constructor)]
    pub fn new(mailbox: &Mailbox, kind: String, desk: Float64Array) -> Self {
        Self {
            kind,
            post: mailbox.post(),
            router: OnceLock::new(),
            custom: CustomCalls::default(),
            early: Mutex::default(),
            pending: Pending::default(),
            words: RefCell::default(),
            desk: RefCell::new(desk),
        }
    }

    /// Makes the router; its groups may name custom providers that were added before. Without it, the first use makes
    /// one with default options.
    #[napi]
    pub fn configure(&self, options: String) -> String {
        reply(|| {
            let options = RouterOptions::read(Fields::parse("router options", &options)?)?;
            let _runtime = options.warms_up().then(|| runtime::handle().enter());
            let router = self.make(options)?;
            let _first = self.router.set(router);
            Ok(())
        })
    }

    #[napi]
    pub fn add_provider(&self, options: String) -> String {
        reply(|| {
            let options = ProviderOptions::read(Fields::parse("provider options", &options)?)?;
            let _runtime = options.warms_up().then(|| runtime::handle().enter());
            self.router()?.add_provider(options)
        })
    }

    /// `router` is given back with every call.
    #[napi]
    pub fn add_custom_provider(&self, name: String, kinds: Vec<String>, router: u32, limits: Option<String>) -> String {
        reply(|| {
            let limits = Limits::read_all(Fields::parse("provider", limits.as_deref().unwrap_or("null"))?)?;
            let calls = self.custom.clone();
            let handler = Handler { name: name.clone(), router, post: self.post.clone(), calls };
            let provider: Arc<dyn Provider> =
                Arc::new(CustomProvider::new(&name, kinds, Arc::new(handler))?.limits(limits));
            match self.router.get() {
                Some(router) => router.add(provider),
                None => lock(&self.early).push(provider),
            }
            Ok(())
        })
    }

    #[napi]
    pub fn remove_provider(&self, name: String) -> String {
        reply(|| Ok(self.router()?.remove_provider(&name)))
    }

    #[napi]
    pub fn deploy(&self, group: String, model: String, options: Option<String>) -> String {
        reply(|| {
            let text = options.as_deref().unwrap_or("null");
            let options = DeployOptions::read(Fields::parse("deploy options", text)?)?;
            self.router()?.deploy(&group, &model, options)
        })
    }

    #[napi]
    pub fn undeploy(&self, group: String, model: String) -> String {
        reply(|| Ok(self.router()?.undeploy(&group, &model)))
    }

    #[napi]
    pub fn configure_group(&self, group: String, options: String) -> String {
        reply(|| {
            let router = self.router()?;
            let options = router.group_options(&group).overlay(Fields::parse("group options", &options)?)?;
            router.configure_group(&group, options)
        })
    }

    #[napi]
    pub fn remove_group(&self, group: String) -> String {
        reply(|| Ok(self.router()?.remove_group(&group)))
    }

    #[napi]
    pub fn groups(&self) -> String {
        reply(|| Ok(self.router()?.groups()))
    }

    /// Opens a cache and uses it; settled by letter.
    #[napi]
    pub fn mount_cache(&self, id: u32, options: String) {
        let asked = guarded(|| Ok((Arc::clone(self.router()?), cache::options(&options))));
        self.post.settle(id, async move {
            let (router, options) = asked?;
            router.mount_cache(cache::open(options).await?);
            Ok(())
        });
    }

    #[napi]
    pub fn mount_open_cache(&self, cache: &NativeCache) -> String {
        reply(|| {
            cache.cache.check_open()?;
            self.router()?.mount_cache(cache.cache.clone());
            Ok(())
        })
    }

    #[napi]
    pub fn cache(&self) -> Option<NativeCache> {
        let cache = guarded(|| Ok(self.router()?.cache())).ok()??;
        Some(NativeCache::new(cache))
    }

    /// What `invoke` would say to these options.
    #[napi]
    pub fn check_options(&self, options: String) -> String {
        reply(|| self.router()?.check_options(&options))
    }

    /// A letter if the call is settled at once, or a line if that will do (`line.rs`), else it comes by mail.
    #[napi(ts_return_type = "string | Letter | null")]
    pub fn invoke(
        &self,
        env: Env,
        id: u32,
        #[napi(ts_arg_type = "string")] group: Text,
        #[napi(ts_arg_type = "string | string[]")] request: Spoken,
        options: Option<String>,
    ) -> napi::Result<Option<Told>> {
        let (words, desk) = (&mut *self.words.borrow_mut(), &mut *self.desk.borrow_mut());
        let mut line = None;
        let mut give = |told: &Line, latency_ms| line = Some(told.give(env.raw(), desk, latency_ms));
        let begun = guarded(|| self.router()?.begin(id, &group, request, options.as_deref(), words, &mut give));
        Ok(match begun {
            Err(error) => Some(Told::Letter(Box::new(Mail::failed(id, &error).into()))),
            Ok(Started::Told) => line.transpose()?.map(Told::Line),
            Ok(Started::Ready(mail)) => Some(Told::Letter(Box::new(mail.into()))),
            Ok(Started::Pending(call, interest)) => {
                self.pend(id, interest, call);
                None
            }
        })
    }

    /// The word that a line has named by its number.
    #[napi]
    pub fn word(&self, number: u32) -> String {
        self.words.borrow().word(number as usize)
    }

    /// A letter if the stream is refused at once, else `pull` gives its chunks.
    #[napi]
    pub fn stream(
        &self,
        id: u32,
        group: String,
        #[napi(ts_arg_type = "string | string[]")] request: Spoken,
        options: Option<String>,
    ) -> Option<Letter> {
        let begun = guarded(|| {
            let _runtime = runtime::handle().enter();
            self.router()?.stream(&group, request, options.as_deref())
        });
        match begun {
            Err(error) => Some(Mail::failed(id, &error).into()),
            Ok(stream) => {
                lock(&self.pending.0.streams).insert(id, Arc::clone(&stream));
                // There, and as work of its own, so that what was ended before it has given back what it held.
                runtime::spawn(async move { stream.start() });
                None
            }
        }
    }

    /// What has arrived of a stream, or null: then it comes by mail, and what comes after it too, in at most so many letters.
    #[napi]
    pub fn pull(&self, id: u32, letters: u32) -> Option<Letter> {
        let stream = lock(&self.pending.0.streams).get(&id).cloned();
        let Some(stream) = stream else {
            return Some(Mail::failed(id, &ErrorKind::Closed("stream").into()).into());
        };
        let arrival = Arc::new(Arrival::new(id, &self.post, &self.pending.0, &stream, letters));
        let found = guarded(|| {
            let _runtime = runtime::handle().enter();
            Ok(match stream.try_next() {
                // Woken by what arrives, on the thread that it arrives on: no task has to be set up for it from here.
                None => stream.try_next_or_wake(&Waker::from(Arc::clone(&arrival))),
                found => Some(found),
            })
        });
        match found {
            Ok(Some(None)) => {
                arrival.wait();
                None
            }
            Ok(None) => {
                arrival.wait();
                arrival.wake();
                None
            }
            Ok(Some(Some(arrived))) => {
                arrival.is_found();
                Some(self.pending.letter(id, arrived))
            }
            Err(error) => {
                arrival.is_found();
                Some(self.pending.letter(id, Arrived { mail: Err(error), is_end: true }))
            }
        }
    }

    /// The caller is no longer interested.
    #[napi]
    pub fn cancel(&self, id: u32) {
        // What they hold is given back on the runtime's thread, so that it is free for whatever is asked next. Until then those
        // who wait are not sent, whatever is changed meanwhile.
        if let Some((call, interest)) = lock(&self.pending.0.calls).remove(&id) {
            interest.lose();
            call.abort();
        }
        let stream = lock(&self.pending.0.streams).remove(&id);
        if let Some(stream) = stream {
            stream.leave();
            runtime::call(move || stream.cancel());
        }
        let response = lock(&self.pending.0.responses).remove(&id);
        if let Some(response) = response {
            response.leave();
            runtime::call(move || response.cancel());
        }
    }

    #[napi]
    pub fn estimate_wait_ms(
        &self,
        group: String,
        #[napi(ts_arg_type = "string | string[]")] request: Spoken,
    ) -> String {
        reply(|| self.router()?.estimate_wait_ms(&group, request))
    }

    #[napi]
    pub fn stats(&self) -> String {
        reply(|| Ok(self.router()?.stats()))
    }

    /// Settled by letter.
    #[napi]
    pub fn close(&self, id: u32) {
        // Called here, so that whatever JavaScript asks next is refused.
        let closing = guarded(|| Ok(self.router()?.close()));
        self.post.settle(id, async move { closing?.await });
    }

    /// What a provider written in JavaScript says to the call that it was given. Whether there is room for more; if not, a
    /// letter says when there is.
    #[napi]
    pub fn custom_reply(&self, call: u32, what: String, text: String) -> bool {
        self.custom.say(
            call,
            match what.as_str() {
                "whole" => Said::Whole(text),
                "event" => Said::Event(text),
                "end" => Said::End,
                _ => Said::Thrown(text),
            },
        )
    }

    fn make(&self, mut options: RouterOptions) -> Result<Arc<dyn AnyRouter>> {
        let groups = std::mem::take(&mut options.groups);
        let router = create(&self.kind, options)?;
        for provider in lock(&self.early).drain(..) {
            router.add(provider);
        }
        router.add_groups(groups)?;
        Ok(router)
    }

    /// Runs a call that `cancel` ends.
    pub(super) fn pend(&self, id: u32, interest: Interest, call: impl Future<Output = Result<Mail>> + Send + 'static) {
        let place = Place { pending: Arc::downgrade(&self.pending.0), id, interest: interest.clone() };
        // Held until the task is known, so that it cannot end before it is.
        let mut calls = lock(&self.pending.0.calls);
        let task = self.post.spawn(id, async move {
            let _place = place;
            call.await
        });
        calls.insert(id, (task, interest));
    }

    pub(super) fn router(&self) -> Result<&Arc<dyn AnyRouter>> {
        if let Some(router) = self.router.get() {
            return Ok(router);
        }
        let router = self.make(RouterOptions::default())?;
        Ok(self.router.get_or_init(|| router))
    }
}

/// The version of the package that this binary was built for.
#[napi]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
