//! The router: groups of deployments, providers and a cache, for one kind of work.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tokio::time::Instant;

use super::answer::Answer;
use super::call::{Begun, Prepared};
use super::core::Core;
use super::group::{Behind, Demand, Group};
use super::hosts::Hosts;
use super::log::Wish;
use super::serve::Reading;
use super::stats::{DeploymentStats, GroupStats, ProviderStats, RouterStats};
use super::stream::AnswerStream;
use crate::cache::Cache;
use crate::deployment::{Deployment, split_model};
use crate::error::{ErrorKind, Invalid, Result};
use crate::kinds::{Kind, Streaming};
use crate::options::{
    DeployOptions, GroupOptions, GroupPlan, InvokeOptions, OnInterrupt, RouterOptions, StreamOptions, Timeouts,
};
use crate::provider::{Provider, ProviderOptions, create_provider};
use crate::tokens;
use crate::tracker::go_on;

/// Routes requests of one kind to groups of deployments. Clones are the same router.
///
/// Its calls run on the Tokio runtime that they are made on.
pub struct Router<K: Kind>(pub(super) Arc<Core<K>>);

impl<K: Kind> Router<K> {
    /// A router with its providers and groups. Nothing is opened and no thread is started.
    ///
    /// # Errors
    /// As [`Router::add_provider`], [`Router::deploy`] and [`Router::configure_group`].
    pub fn new(options: RouterOptions) -> Result<Self> {
        let router = Self(Arc::new(Core::new(options.retry, options.timeouts, options.cache, options.limits)));
        for provider in options.providers {
            router.add_provider(provider)?;
        }
        router.add_groups(options.groups)?;
        Ok(router)
    }

    /// Adds whole groups.
    ///
    /// # Errors
    /// As [`Router::deploy`] and [`Router::configure_group`].
    pub fn add_groups(&self, groups: Vec<GroupPlan>) -> Result<()> {
        for group in groups {
            for (model, deploy) in group.deployments {
                self.deploy(&group.name, &model, deploy)?;
            }
            self.configure_group(&group.name, group.options)?;
        }
        Ok(())
    }

    /// The clocks of a call that sets none.
    #[must_use]
    pub fn timeouts(&self) -> &Timeouts {
        &self.0.timeouts
    }

    /// Adds a provider that ships with the crate. One of the same name is replaced, for its deployments too. One that is to be
    /// [warmed up](ProviderOptions::warm_up) is so in the context of a Tokio runtime, and nowhere else.
    ///
    /// # Errors
    /// `ERR_NO_PROVIDER` if its key is missing, naming the environment variable; bad options.
    pub fn add_provider(&self, options: ProviderOptions) -> Result<()> {
        self.add(create_provider(options)?);
        Ok(())
    }

    /// Adds a provider of your own. One of the same name is replaced, for its deployments too.
    pub fn add(&self, provider: Arc<dyn Provider>) {
        let name = provider.name().to_owned();
        provider.host().into_iter().for_each(|host| self.0.hosts.add(host));
        let before = self.0.providers.read().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let (Some(old), Some(new)) = (before.and_then(|before| before.account()), provider.account()) {
            go_on(&old, &new);
        }
        for group in self.all_groups() {
            for deployment in group.deployments().iter().filter(|one| one.provider().name() == name) {
                deployment.set_provider(Arc::clone(&provider));
            }
            group.wake();
        }
        self.0.warm_ups.begin(&*provider, self.0.timeouts.connect);
        self.0.providers.write().unwrap_or_else(PoisonError::into_inner).insert(name, provider);
        self.0.memos.change();
    }

    /// Where its providers answer, for those who hide it.
    #[must_use]
    pub fn hosts(&self) -> Hosts {
        self.0.hosts.clone()
    }

    /// Removes a provider and its deployments; their calls in flight finish. Says whether it was there.
    pub fn remove_provider(&self, name: &str) -> bool {
        let removed = self.0.providers.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.0.warm_ups.abandon(name);
        for group in self.all_groups() {
            self.retain(&group, |deployment| deployment.provider().name() != name);
        }
        removed.is_some()
    }

    /// Puts `provider::model` into a group; a group that is not there is made. A model that is in the group already
    /// takes the new options, and what it has spent stays spent.
    ///
    /// # Errors
    /// Bad names; `ERR_NO_PROVIDER` if the provider was not added, `ERR_UNSUPPORTED` if it does not serve this kind.
    pub fn deploy(&self, group: &str, model: &str, options: DeployOptions) -> Result<()> {
        let (provider, model_name) = split_model(model)?;
        if group.is_empty() {
            return Err(Invalid::type_error("group", "a name that is not empty", "\"\"").into());
        }
        let provider = self.provider(provider)?;
        if !provider.supports(K::NAME) {
            let message = format!("provider \"{}\" does not serve requests of kind {}", provider.name(), K::NAME);
            return Err(ErrorKind::Unsupported(message).into());
        }
        let group = self.group_or_new(group);
        let mut deployments = group.deployments().to_vec();
        if let Some(deployment) = deployments.iter().find(|deployment| deployment.name == model) {
            deployment.set_options(options);
            self.0.memos.change();
            group.wake();
            return Ok(());
        }
        let tracker = self.0.retired.recall(&group.name, model);
        let deployment =
            Arc::new(Deployment::new(model, model_name, K::NAME, &provider, options, tracker, self.0.limits.clone()));
        let waiting = Arc::downgrade(&group);
        deployment.on_room(move || {
            if let Some(group) = waiting.upgrade() {
                group.wake();
            }
        });
        deployments.push(deployment);
        group.set_deployments(deployments);
        self.0.memos.change();
        if provider.warm_up().is_some() {
            self.0.warm_ups.count(group.counts_tokens(u64::MAX, Instant::now()));
        }
        Ok(())
    }

    /// Takes a deployment out of a group; its calls in flight finish, calls that wait go to the others. Says whether
    /// it was there.
    #[allow(clippy::must_use_candidate, reason = "called for what it does")]
    pub fn undeploy(&self, group: &str, model: &str) -> bool {
        self.0.group(group).is_some_and(|group| self.retain(&group, |deployment| deployment.name != model))
    }

    /// Sets a group's options; a group that is not there is made.
    ///
    /// # Errors
    /// If its fallbacks lead back to itself.
    pub fn configure_group(&self, group: &str, options: GroupOptions) -> Result<()> {
        let mut seen = HashSet::from([group.to_owned()]);
        let mut ahead = options.fallbacks.clone();
        while let Some(name) = ahead.pop() {
            if name == group {
                let path = format!("group options.fallbacks of \"{group}\"");
                return Err(Invalid::type_error(
                    path,
                    "groups that do not lead back to it",
                    format!("{:?}", options.fallbacks),
                )
                .into());
            }
            if seen.insert(name.clone()) {
                ahead.extend(self.0.group(&name).map(|group| group.options().fallbacks).unwrap_or_default());
            }
        }
        self.group_or_new(group).set_options(options);
        Ok(())
    }

    /// The options of a group; the defaults if it is not there.
    #[must_use]
    pub fn group_options(&self, group: &str) -> GroupOptions {
        self.0.group(group).map(|group| group.options()).unwrap_or_default()
    }

    /// Removes a group; its calls in flight finish, calls that wait fail. Says whether it was there.
    pub fn remove_group(&self, name: &str) -> bool {
        let removed = self.0.groups.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(group) = &removed {
            self.retain(group, |_| false);
            self.0.memos.change();
        }
        removed.is_some()
    }

    /// The names of the groups, in order.
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        self.all_groups().iter().map(|group| group.name.clone()).collect()
    }

    /// Uses this cache from now on. Several routers may share one.
    pub fn mount_cache(&self, cache: Cache) {
        self.0.mount(cache);
    }

    /// The cache, if one is open.
    #[must_use]
    pub fn cache(&self) -> Option<Cache> {
        self.0.open_cache()
    }

    /// Asks a group. Equal requests in flight share one call. Dropping the future cancels.
    ///
    /// # Errors
    /// Every way a call can fail; see [`ErrorKind`].
    pub async fn invoke(&self, group: &str, request: K::Request, options: InvokeOptions) -> Result<Answer<K>> {
        let request = K::request(request.as_ref().clone())?;
        match self.begin(group, request, options) {
            Begun::Ready(result) => result,
            Begun::Pending(call) => call.await,
        }
    }

    /// Asks a group many things, `concurrency` at once; answers come in the order of the requests.
    pub fn invoke_many(
        &self,
        group: &str,
        requests: impl IntoIterator<Item = K::Request>,
        options: &InvokeOptions,
        concurrency: usize,
    ) -> impl Stream<Item = Result<Answer<K>>> {
        let calls = requests.into_iter().map(|request| {
            let (router, group, options) = (self.clone(), group.to_owned(), options.clone());
            async move { router.invoke(&group, request, options).await }
        });
        stream::iter(calls.collect::<Vec<_>>()).buffered(concurrency.max(1))
    }

    /// How long until a request of this size could be admitted; zero is now, `None` never.
    ///
    /// # Errors
    /// `ERR_NO_GROUP`; `ERR_TOO_LARGE` if it can never be admitted.
    pub fn estimate_wait(&self, group: &str, request: &K::Request) -> Result<Duration> {
        let found = self.0.group(group).filter(|group| !group.deployments().is_empty());
        let group = found.ok_or_else(|| self.0.no_group(group))?;
        let mut demand = Demand::UNCOUNTED;
        let now = Instant::now();
        if let Some(model) = group.counts_tokens(u64::MAX, now) {
            let prompt = K::prompt(request);
            let (prompt, completion) = (tokens::count_prompt(&prompt, &model), prompt.completion);
            demand = Demand { prompt, completion, is_counted: true, ..Demand::UNCOUNTED };
        }
        let (line, priority) = (group.line_of(&group.able(&demand, &[])), 0);
        let behind = Behind { line: &line, priority, ahead: line.ahead(priority), patience: None };
        let wait = group.wait(behind, &demand, &[], now);
        wait.ok_or_else(|| group.too_large(&demand))
    }

    /// A snapshot of everything that can be watched.
    #[must_use]
    pub fn stats(&self) -> RouterStats {
        let now = Instant::now();
        let groups = self.all_groups().into_iter().map(|group| {
            let deployments = group.deployments().iter().map(|one| DeploymentStats::of(one, now)).collect();
            (group.name.clone(), GroupStats { waiting: group.waiting(), deployments })
        });
        let groups: std::collections::BTreeMap<_, _> = groups.collect();
        RouterStats {
            in_flight: self.0.in_flight(),
            waiting: groups.values().map(|group| group.waiting).sum(),
            groups,
            providers: self.accounts(now),
            cache: self.0.open_cache().map(|cache| cache.stats()),
            limits: self.0.limits.as_ref().map(|limits| limits.stats(now)),
        }
    }

    /// Refuses new calls from now on, polled or not; the future waits for those in flight and writes what the cache still
    /// holds back.
    ///
    /// # Errors
    /// `ERR_CACHE` if the cache could not be written.
    pub fn close(&self) -> impl Future<Output = Result<()>> + Send + use<K> {
        self.0.refuse();
        let core = Arc::clone(&self.0);
        async move {
            core.idle().await;
            match core.open_cache() {
                Some(cache) => cache.flush().await,
                None => Ok(()),
            }
        }
    }

    fn provider(&self, name: &str) -> Result<Arc<dyn Provider>> {
        let providers = self.0.providers.read().unwrap_or_else(PoisonError::into_inner);
        providers.get(name).cloned().ok_or_else(|| {
            let mut known: Vec<_> = providers.keys().map(String::as_str).collect();
            known.sort_unstable();
            let known = if known.is_empty() { "none yet".to_owned() } else { known.join(", ") };
            ErrorKind::NoProvider(format!("no provider \"{name}\"; there are: {known}; add it with addProvider")).into()
        })
    }

    fn accounts(&self, now: Instant) -> std::collections::BTreeMap<String, ProviderStats> {
        let providers = self.0.providers.read().unwrap_or_else(PoisonError::into_inner);
        let accounts = providers.iter().filter_map(|(name, one)| Some((name.clone(), one.account()?)));
        accounts.map(|(name, account)| (name, ProviderStats::of(&account, now))).collect()
    }

    fn all_groups(&self) -> Vec<Arc<Group>> {
        self.0.groups.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn group_or_new(&self, name: &str) -> Arc<Group> {
        let mut groups = self.0.groups.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(groups.entry(name.to_owned()).or_insert_with(|| Arc::new(Group::new(name))))
    }

    fn retain(&self, group: &Group, keep: impl Fn(&Deployment) -> bool) -> bool {
        let before = group.deployments();
        let (after, gone): (Vec<_>, Vec<_>) = before.iter().cloned().partition(|deployment| keep(deployment));
        for deployment in &gone {
            self.0.retired.keep(&group.name, &deployment.name, &deployment.tracker);
        }
        let is_changed = !gone.is_empty();
        if is_changed {
            group.set_deployments(after);
            self.0.memos.change();
        }
        is_changed
    }
}

impl<K: Streaming> Router<K> {
    /// Asks a group for an answer piece by piece. Runs at once, on the current Tokio runtime; dropping the stream
    /// cancels the call and closes the socket, unless an equal call shares it.
    ///
    /// # Errors
    /// What can be refused before anything is sent.
    pub fn stream(&self, group: &str, request: &K::Request, options: StreamOptions) -> Result<AnswerStream<K>> {
        let stream = self.stream_later(group, request, options)?;
        stream.start();
        Ok(stream)
    }

    /// As [`Router::stream`], but the call sets out when [`AnswerStream::start`] is called, or with an equal one.
    ///
    /// # Errors
    /// As [`Router::stream`].
    pub fn stream_later(&self, group: &str, request: &K::Request, options: StreamOptions) -> Result<AnswerStream<K>> {
        let request = K::request(request.as_ref().clone())?;
        let wish = match options.on_interrupt {
            _ if options.buffer => Wish::Whole,
            OnInterrupt::Error => Wish::Error,
            OnInterrupt::Restart => Wish::Restart,
        };
        let reading = if options.events { Reading::Verbatim } else { Reading::Streamed };
        let prepared = Prepared::new(&self.0, group, request, options.invoke)?;
        Ok(AnswerStream::begin(prepared, wish, reading))
    }
}

impl<K: Kind> Clone for Router<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Kind> fmt::Debug for Router<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("kind", &K::NAME).field("groups", &self.groups()).finish_non_exhaustive()
    }
}
