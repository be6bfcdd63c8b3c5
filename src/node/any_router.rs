//! A router of any kind behind one trait, so that the binding has one class for all.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;

use super::any_stream::AnyStream;
use super::letter::{Kind as LetterKind, Mail};
use super::line::{Line, Words};
use super::runtime;
use super::served::Crossing;
use super::spelling;
use super::text::Spoken;
use crate::cache::Cache;
use crate::error::{ErrorKind, Invalid, Result};
use crate::fields::Fields;
use crate::gateway::{Responding, respond};
use crate::kinds::{Body, Completion, Embeddings, Kind, ModelResponse, Ranking};
use crate::options::{DeployOptions, GroupOptions, GroupPlan, Interest, InvokeOptions, RouterOptions, StreamOptions};
use crate::provider::{Provider, ProviderOptions};
use crate::route::{Begun, Hit, Router, RouterStats};

/// A router of any kind.
pub trait AnyRouter: Send + Sync {
    fn add_provider(&self, options: ProviderOptions) -> Result<()>;
    fn add(&self, provider: Arc<dyn Provider>);
    fn remove_provider(&self, name: &str) -> bool;
    fn add_groups(&self, groups: Vec<GroupPlan>) -> Result<()>;
    fn deploy(&self, group: &str, model: &str, options: DeployOptions) -> Result<()>;
    fn undeploy(&self, group: &str, model: &str) -> bool;
    fn group_options(&self, group: &str) -> GroupOptions;
    fn configure_group(&self, group: &str, options: GroupOptions) -> Result<()>;
    fn remove_group(&self, group: &str) -> bool;
    fn groups(&self) -> Vec<String>;
    fn mount_cache(&self, cache: Cache);
    fn cache(&self) -> Option<Cache>;
    fn check_options(&self, options: &str) -> Result<()>;
    /// `give` is given a hit that can be told in a line, and how many milliseconds it took.
    fn begin(
        &self,
        id: u32,
        group: &str,
        request: Spoken,
        options: Option<&str>,
        words: &mut Words,
        give: &mut dyn FnMut(&Line, f64),
    ) -> Result<Started>;
    fn stream(&self, group: &str, request: Spoken, options: Option<&str>) -> Result<Arc<dyn AnyStream>>;
    fn respond(&self, body: &[u8], options: Option<&str>) -> Result<(Responding, Interest)>;
    fn estimate_wait_ms(&self, group: &str, request: Spoken) -> Result<f64>;
    fn stats(&self) -> RouterStats;
    fn close(&self) -> BoxFuture<'static, Result<()>>;
}

/// A call that was begun.
pub enum Started {
    /// A hit, which was given as a line.
    Told,
    Ready(Mail),
    /// Under way, as long as somebody is interested.
    Pending(BoxFuture<'static, Result<Mail>>, Interest),
}

/// A hit, made ready to be shown again.
enum Shown<K> {
    Line(Line),
    /// What cannot be told in a line.
    Hit(Hit<K>),
}

impl<K: Crossing> Shown<K> {
    fn new(hit: Hit<K>, words: &mut Words) -> Self {
        match K::line(&hit, words) {
            Some(line) => Self::Line(line),
            None => Self::Hit(hit),
        }
    }
}

/// The request that is given, as the face spells it.
pub(super) fn request<K: Kind>(spoken: Spoken) -> Result<K::Request> {
    of_json::<K>(spelling::json(spoken))
}

fn of_json<K: Kind>(json: Option<String>) -> Result<K::Request> {
    let json = json.ok_or_else(|| ErrorKind::Bug("a request was not spelled well".to_owned()))?;
    Ok(K::request(Body::of(json)?)?)
}

impl<K: Crossing> AnyRouter for Router<K> {
    fn add_provider(&self, options: ProviderOptions) -> Result<()> {
        self.add_provider(options)
    }
    fn add(&self, provider: Arc<dyn Provider>) {
        self.add(provider);
    }
    fn remove_provider(&self, name: &str) -> bool {
        self.remove_provider(name)
    }
    fn add_groups(&self, groups: Vec<GroupPlan>) -> Result<()> {
        self.add_groups(groups)
    }
    fn deploy(&self, group: &str, model: &str, options: DeployOptions) -> Result<()> {
        self.deploy(group, model, options)
    }
    fn undeploy(&self, group: &str, model: &str) -> bool {
        self.undeploy(group, model)
    }
    fn group_options(&self, group: &str) -> GroupOptions {
        self.group_options(group)
    }
    fn configure_group(&self, group: &str, options: GroupOptions) -> Result<()> {
        self.configure_group(group, options)
    }
    fn remove_group(&self, group: &str) -> bool {
        self.remove_group(group)
    }
    fn groups(&self) -> Vec<String> {
        self.groups()
    }
    fn mount_cache(&self, cache: Cache) {
        self.mount_cache(cache);
    }
    fn cache(&self) -> Option<Cache> {
        self.cache()
    }
    fn check_options(&self, options: &str) -> Result<()> {
        InvokeOptions::read(Fields::parse("invoke options", options)?, self.timeouts())?;
        Ok(())
    }
    fn begin(
        &self,
        id: u32,
        group: &str,
        spoken: Spoken,
        options: Option<&str>,
        words: &mut Words,
        give: &mut dyn FnMut(&Line, f64),
    ) -> Result<Started> {
        let mut options = match options {
            None => InvokeOptions::default(),
            Some(text) => InvokeOptions::read(Fields::parse("invoke options", text)?, self.timeouts())?,
        };
        if !spelling::is_whole(&spoken) {
            let _runtime = runtime::handle().enter();
            let interest = options.interest.insert(Interest::default()).clone();
            return begun(id, self.begin(group, request::<K>(spoken)?, options), interest);
        }
        let text = &*spoken.text;
        if let Some((shown, latency)) = self.recall(group, text, &options, |hit| Shown::new(hit, words)) {
            return Ok(match &*shown {
                Shown::Line(line) => {
                    give(line, latency.as_secs_f64() * 1000.0);
                    Started::Told
                }
                Shown::Hit(hit) => Started::Ready(K::letter(LetterKind::Settled, id, hit.clone().answer(latency))),
            });
        }
        let (started, mut is_told) = (Instant::now(), false);
        let make = |hit| {
            let shown = Shown::new(hit, words);
            if let Shown::Line(line) = &shown {
                give(line, started.elapsed().as_secs_f64() * 1000.0);
                is_told = true;
            }
            shown
        };
        let _runtime = runtime::handle().enter();
        let interest = options.interest.insert(Interest::default()).clone();
        match self.begin_spoken(group, text, options, |text| of_json::<K>(spelling::json_of(text)), make)? {
            Begun::Ready(Ok(_)) if is_told => Ok(Started::Told),
            other => begun(id, other, interest),
        }
    }
    fn stream(&self, group: &str, request: Spoken, options: Option<&str>) -> Result<Arc<dyn AnyStream>> {
        let mut options = match options {
            None => StreamOptions::default(),
            Some(text) => StreamOptions::read(Fields::parse("stream options", text)?, self.timeouts())?,
        };
        options.invoke.interest = Some(Interest::default());
        K::stream(self, group, request, options)
    }
    fn respond(&self, body: &[u8], options: Option<&str>) -> Result<(Responding, Interest)> {
        let mut options = match options {
            None => InvokeOptions::default(),
            Some(text) => InvokeOptions::read(Fields::parse("options", text)?, self.timeouts())?,
        };
        let interest = options.interest.insert(Interest::default()).clone();
        Ok((respond(self, body, options), interest))
    }
    fn estimate_wait_ms(&self, group: &str, spoken: Spoken) -> Result<f64> {
        Ok(self.estimate_wait(group, &request::<K>(spoken)?)?.as_secs_f64() * 1000.0)
    }
    fn stats(&self) -> RouterStats {
        self.stats()
    }
    fn close(&self) -> BoxFuture<'static, Result<()>> {
        Box::pin(self.close())
    }
}

fn begun<K: Crossing>(id: u32, begun: Begun<K>, interest: Interest) -> Result<Started> {
    Ok(match begun {
        Begun::Ready(result) => Started::Ready(K::letter(LetterKind::Settled, id, result?)),
        Begun::Pending(call) => {
            let call = async move { Ok(K::letter(LetterKind::Settled, id, call.await?)) };
            Started::Pending(Box::pin(call), interest)
        }
    })
}

/// A router of the kind of this name.
///
/// # Errors
/// Those of [`Router::new`].
pub fn create(kind: &str, options: RouterOptions) -> Result<Arc<dyn AnyRouter>> {
    // One line a kind.
    Ok(match kind {
        Completion::NAME => Arc::new(Router::<Completion>::new(options)?),
        Embeddings::NAME => Arc::new(Router::<Embeddings>::new(options)?),
        Ranking::NAME => Arc::new(Router::<Ranking>::new(options)?),
        ModelResponse::NAME => Arc::new(Router::<ModelResponse>::new(options)?),
        other => return Err(Invalid::type_error("kind", "a kind of router", other).into()),
    })
}
