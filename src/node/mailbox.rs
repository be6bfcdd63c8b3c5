//! The way back to JavaScript: letters queue up, and one wake-up has them all taken out.
//!
//! One weak thread-safe function per environment instead of one promise per call: measured at a fortieth of the cost,
//! and it never keeps the process alive by itself.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use napi::bindgen_prelude::{FnArgs, Function};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use napi_derive::napi;
use serde::Serialize;

use super::cache::flush_all;
use super::letter::{Kind, Letter, Mail, Raw};
use super::reply::bug;
use super::runtime::{self, Task};
use crate::error::Result;

/// Those that are nothing but texts in one JSON, as kind, id and what each says, again and again, which costs JavaScript
/// half of what as many objects do; the raw texts of those that have one; then the others. Null is none.
type Letters = FnArgs<(Option<String>, Option<Vec<Raw>>, Option<Vec<Letter>>)>;
type Wake = ThreadsafeFunction<(), (), Letters, Status, false, true>;

/// One environment's letters. Clones are the same mailbox.
#[derive(Clone)]
pub struct Post(Arc<Inner>);

struct Inner {
    queue: Arc<Queue>,
    /// Gone when the environment ends.
    wake: Mutex<Option<Wake>>,
    /// Caches that were opened and wait to be taken, by call.
    opened: Mutex<HashMap<u32, crate::cache::Cache>>,
}

#[derive(Default)]
struct Queue {
    mails: Mutex<Vec<Mail>>,
    /// Whether a wake-up is on its way that will see what is put in now.
    is_armed: AtomicBool,
}

impl Queue {
    /// Everything that has come.
    fn take(&self) -> Letters {
        // Disarmed first: whatever is put in from now on wakes again, at worst for nothing.
        self.is_armed.store(false, Ordering::SeqCst);
        let mails = std::mem::take(&mut *lock(&self.mails));
        let (mut plain, rich): (Vec<_>, Vec<_>) = mails.into_iter().partition(Mail::is_plain);
        let said = (!plain.is_empty()).then(|| Mail::all(&plain));
        let raws: Vec<_> = plain.iter_mut().filter_map(|mail| mail.raw.take().map(Raw)).collect();
        let raws = (!raws.is_empty()).then_some(raws);
        let rich = (!rich.is_empty()).then(|| rich.into_iter().map(Letter::from).collect());
        FnArgs::from((said, raws, rich))
    }
}

/// The mailbox as JavaScript holds it.
#[napi]
pub struct Mailbox {
    post: Post,
}

#[napi]
impl Mailbox {
    /// `receive` is called on the JavaScript thread, with everything that has come.
    #[napi(constructor)]
    pub fn new(env: Env, receive: Function<'_, Letters, ()>) -> napi::Result<Self> {
        let queue = Arc::<Queue>::default();
        let taken = Arc::clone(&queue);
        let wake = receive
            .build_threadsafe_function()
            .callee_handled::<false>()
            .weak::<true>()
            .build_callback(move |_| Ok(taken.take()))?;
        let inner = Arc::new(Inner { queue, wake: Mutex::new(Some(wake)), opened: Mutex::default() });
        // However the environment ends, also where it tells JavaScript nothing: a worker that is terminated, or that its
        // process ends with. Hooks run last to first, so this one comes before Node closes what wakes, which keeps what
        // was not given back by then for ever.
        env.add_env_cleanup_hook(Arc::downgrade(&inner), |inner| {
            if let Some(inner) = inner.upgrade() {
                drop(lock(&inner.wake).take());
            }
            flush_all();
        })?;
        Ok(Self { post: Post(inner) })
    }

    /// Keeps the event loop alive: a call is pending.
    #[napi(js_name = "ref")]
    #[allow(deprecated, reason = "the replacement, cloning, does not hold the loop of a weak function")]
    pub fn hold(&self, env: Env) -> napi::Result<()> {
        lock(&self.post.0.wake).as_mut().map_or(Ok(()), |wake| wake.refer(&env))
    }

    /// Lets the event loop end: nothing is pending.
    #[napi(js_name = "unref")]
    #[allow(deprecated, reason = "as above")]
    pub fn release(&self, env: Env) -> napi::Result<()> {
        lock(&self.post.0.wake).as_mut().map_or(Ok(()), |wake| wake.unref(&env))
    }
}

impl Mailbox {
    pub fn post(&self) -> Post {
        self.post.clone()
    }
}

impl Post {
    /// Puts a letter in and sees to it that it is taken out.
    pub fn send(&self, mail: Mail) {
        lock(&self.0.queue.mails).push(mail);
        if !self.0.queue.is_armed.swap(true, Ordering::SeqCst) {
            // Refused only when the environment is going away, and then nobody waits.
            let wake = lock(&self.0.wake);
            let _status = wake.as_ref().map(|wake| wake.call((), ThreadsafeFunctionCallMode::NonBlocking));
        }
    }

    /// Runs `work` on the runtime and settles the call `id` with what comes of it.
    pub fn settle<T: Serialize>(&self, id: u32, work: impl Future<Output = Result<T>> + Send + 'static) {
        let _task = self.spawn(id, async move {
            let text = serde_json::to_string(&work.await?).expect("plain data serialises");
            Ok(Mail::new(Kind::Settled, id, Some(text)))
        });
    }

    /// Runs `work` on the runtime and sends its letter, or that of its failure; a panic is a failure too.
    pub fn spawn(&self, id: u32, work: impl Future<Output = Result<Mail>> + Send + 'static) -> Task {
        let post = self.clone();
        runtime::spawn(async move {
            let result = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(bug(&*panic)));
            post.send(result.unwrap_or_else(|error| Mail::failed(id, &error)));
        })
    }

    /// Keeps an open cache until JavaScript takes it.
    pub fn keep_cache(&self, id: u32, cache: crate::cache::Cache) {
        lock(&self.0.opened).insert(id, cache);
    }

    pub fn take_cache(&self, id: u32) -> Option<crate::cache::Cache> {
        lock(&self.0.opened).remove(&id)
    }
}

// Std mutexes: nothing is awaited while one is held.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
