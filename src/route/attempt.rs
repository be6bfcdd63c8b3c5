//! One try on one deployment: write, send, read, each against its clock.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt};
use memchr::memmem;
use tokio::time::{Instant, timeout_at};

use super::log::Log;
use super::patience::{Patience, Standstill};
use super::race::Lead;
use super::write::write;
use crate::connections::{Client, HttpRequest, HttpResponse, Rejection, Secrets, SseParser, rate_limits};
use crate::deployment::Deployment;
use crate::error::{Error, Failure, FailureClass, Phase};
use crate::health::Pass;
use crate::kinds::{Assembly, Chunk, Kind};
use crate::options::Timeouts;
use crate::provider::{Call, EventReader, EventStream, Outgoing, Provider, Reply, in_band, not_an_answer};
use crate::tracker::Permit;

/// How long the end of a stream is waited for whose answer is complete: for its usage, and a `[DONE]` that some servers
/// never send.
const END_WITHIN: Duration = Duration::from_secs(5);

/// How long the words of a refusal are waited for whose status says enough.
const WORDS_WITHIN: Duration = Duration::from_secs(1);

/// How long they are waited for if they decide what is done: another deployment may have a larger window.
const DECISIVE_WORDS_WITHIN: Duration = Duration::from_secs(5);

/// How an answer is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Mode<'a> {
    /// Whether the provider is asked for it piece by piece.
    pub is_stream: bool,
    /// Whether those who read along want the events themselves.
    pub is_verbatim: bool,
    /// Whether the clock of the first token runs. It would not be fair to a whole answer where only a stream was to show the
    /// first token.
    pub has_first_token: bool,
    /// Who reads along.
    pub log: Option<&'a Log>,
    /// Taken before anything is said.
    pub lead: Lead<'a>,
    /// Where the status of the answer is put as soon as it is there; 0 is none.
    pub status: &'a AtomicU16,
}

/// An attempt that did not succeed.
pub(crate) enum Ended {
    /// The deployment failed or refused.
    Failed(Failure),
    /// Nothing was sent, because it cannot be said to this provider.
    Refused(Error),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Runs one attempt. `permit` is marked as sent as soon as the provider may see the request.
pub(crate) async fn attempt<K: Kind>(
    deployment: &Deployment,
    pass: &Pass,
    permit: &mut Permit,
    request: &K::Request,
    patience: &Patience,
    mode: Mode<'_>,
) -> Result<K, Ended> {
    let provider = deployment.provider();
    let (model, is_stream) = (&*deployment.model, mode.is_stream);
    let call = Call { kind: K::NAME, path: K::PATH, model, body: request.as_ref(), is_stream };
    let outgoing = write(&provider, &call).await.map_err(Ended::Refused)?;
    permit.sent();
    let (provider, begun) = (&*provider, Instant::now());
    let standstill = Standstill::default();
    let has_first_token = mode.has_first_token;
    let exchange =
        Exchange { deployment, pass, provider, call, patience, begun, request, permit, has_first_token, standstill };
    let result = match outgoing {
        Outgoing::Http(http) => {
            let secrets = Secrets::of(&http);
            let result = exchange.in_time(pin!(exchange.over_http::<K>(http, mode))).await;
            result.map_err(|failure| secrets.taken_out_of(failure))
        }
        Outgoing::Local(future) => exchange.in_time(pin!(exchange.in_process::<K>(future, mode))).await,
    };
    Ok(result?)
}

/// Finds the name of an error inside a stream.
static ERROR: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new("\"error\""));

struct Exchange<'a, R> {
    deployment: &'a Deployment,
    pass: &'a Pass,
    provider: &'a dyn Provider,
    call: Call<'a>,
    patience: &'a Patience,
    begun: Instant,
    request: &'a R,
    permit: &'a Permit,
    has_first_token: bool,
    /// Waiting for those who read along.
    standstill: Standstill,
}

/// The text of an answer as JavaScript would read it: without a byte order mark, and with U+FFFD for what is not UTF-8.
fn as_json_text(mut answer: Bytes) -> Bytes {
    if answer.starts_with(b"\xEF\xBB\xBF") {
        answer.advance(3);
    }
    // The check alone is several times as fast as what repairs.
    if std::str::from_utf8(&answer).is_ok() { answer } else { String::from_utf8_lossy(&answer).into_owned().into() }
}

/// Where the data of events comes from.
enum Events {
    Http(Box<(HttpResponse, SseParser)>),
    Local(EventStream),
}

impl<R: Sync> Exchange<'_, R> {
    async fn over_http<K: Kind<Request = R>>(&self, http: HttpRequest, mode: Mode<'_>) -> Result<K, Failure> {
        let client = Client::shared(self.patience.timeouts().connect);
        let mut response = self.within_first_token(pin!(client.send(http))).await?;
        self.permit.hear(&rate_limits(response.headers(), SystemTime::now()), Instant::now());
        let status = response.status();
        // One task's, and read when the attempt is over: there is nothing to order.
        mode.status.store(status, Ordering::Relaxed);
        if !(200..300).contains(&status) {
            return Err(self.rejection(response).await);
        }
        // Also what nobody asked to have streamed may come so, and the other way round.
        let is_wanted = self.call.is_stream;
        let is_stream = {
            let asked = pin!(response.is_event_stream(is_wanted));
            if is_wanted { self.within_first_token(asked).await? } else { self.within_gap(asked).await? }
        };
        if is_stream {
            self.events(Events::Http(Box::new((response, SseParser::default()))), mode).await
        } else {
            let answer = as_json_text(self.whole_body(&mut response).await?);
            let read = self.provider.read(&self.call, answer.clone());
            match read.and_then(|answer| K::read(&answer, self.request)) {
                Ok(value) => self.deliver(value, mode).await,
                // A provider that fails in a success's clothes, or something that is none.
                Err(failure) => Err(not_an_answer(response.headers(), &answer, failure)),
            }
        }
    }

    async fn in_process<K: Kind<Request = R>>(
        &self,
        future: impl Future<Output = Result<Reply, Failure>>,
        mode: Mode<'_>,
    ) -> Result<K, Failure> {
        match self.within_first_token(pin!(future)).await.map_err(Failure::refused)? {
            Reply::Whole(answer) => match K::read(&answer, self.request) {
                Ok(value) => self.deliver(value, mode).await,
                // Failed in an answer's clothes.
                Err(failure) => Err(std::str::from_utf8(&answer).ok().and_then(in_band).unwrap_or(failure)),
            },
            Reply::Events(stream) => self.events(Events::Local(stream), mode).await,
        }
    }

    /// What the provider said instead of answering.
    async fn rejection(&self, response: HttpResponse) -> Failure {
        let (status, headers) = (response.status(), response.headers().clone());
        let limit = if status >= 500 { WORDS_WITHIN } else { DECISIVE_WORDS_WITHIN };
        let limit = limit.min(self.patience.timeouts().idle);
        let (body, is_whole) = response.error_body(limit).await;
        let failure = self.provider.classify(&Rejection { status, headers: &headers, body: &body }).refused();
        if is_whole || failure.class != FailureClass::Transient || failure.retry_after.is_some() {
            return failure;
        }
        // To ask it again would cost as much time again.
        let message = format!("{} (the rest of the answer did not come)", failure.message);
        Failure { class: FailureClass::Silent, message, ..failure }
    }

    async fn whole_body(&self, response: &mut HttpResponse) -> Result<Bytes, Failure> {
        let first = self.next_chunk(response).await?.unwrap_or_default();
        let Some(second) = self.next_chunk(response).await? else { return Ok(first) };
        let mut all = BytesMut::with_capacity((first.len() + second.len()) * 2);
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(chunk) = self.next_chunk(response).await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    async fn next_chunk(&self, response: &mut HttpResponse) -> Result<Option<Bytes>, Failure> {
        self.within_gap(pin!(response.chunk())).await
    }

    /// Reads events to the end and hands on what they say as it comes.
    async fn events<K: Kind<Request = R>>(&self, mut source: Events, mode: Mode<'_>) -> Result<K, Failure> {
        let Some(mut assembly) = K::assembly() else {
            let message = format!("{} answered a {} with a stream", self.provider.name(), K::NAME);
            return Err(Failure::new(FailureClass::Truncated, message));
        };
        let is_http = matches!(source, Events::Http(_));
        let mut reader = is_http.then(|| self.provider.event_reader(&self.call)).flatten();
        let (mut has_begun, mut is_shown) = (false, false);
        let (mut batch, mut chunks) = (Vec::new(), Vec::new());
        let (mut is_done, mut closes, choices) = (false, None, K::choices(self.request));
        while !is_done {
            let is_open = {
                let next = pin!(source.next(&mut batch));
                if assembly.is_complete(choices) {
                    // However it ends, the answer is there.
                    let closes = *closes.get_or_insert_with(|| self.closes());
                    timeout_at(closes, next).await.is_ok_and(|next| next.unwrap_or(false))
                } else if has_begun {
                    self.within_gap(next).await?
                } else {
                    self.within_first_token(next).await?
                }
            };
            is_done = !is_open;
            let mut broken = None;
            for data in batch.drain(..) {
                is_done |= data.trim_ascii() == "[DONE]";
                if is_done {
                    break;
                }
                if let Err(failure) = self.event(data, mode, reader.as_deref_mut(), &mut *assembly, &mut chunks) {
                    // What cannot be read after the end takes nothing away.
                    is_done = failure.class == FailureClass::Truncated && assembly.is_complete(choices);
                    broken = (!is_done).then_some(failure);
                    break;
                }
                if assembly.is_over() {
                    is_done = true;
                    break;
                }
            }
            // What came together with a failure continues what was shown; but as long as nothing was, nothing is.
            if broken.is_some() && !is_shown {
                chunks.clear();
            }
            // Until an event says something of the answer itself, another deployment can still give it.
            let speaks = assembly.has_spoken();
            let shows = !chunks.is_empty() && (is_shown || !mode.is_verbatim || speaks);
            if (shows || (speaks && broken.is_none())) && !std::mem::replace(&mut has_begun, true) {
                self.begin(mode).await;
            }
            if shows {
                is_shown = true;
                if let Some(log) = mode.log {
                    self.standstill.during(log.push(&chunks)).await;
                }
                chunks.clear();
            }
            if let Some(failure) = broken {
                return Err(failure);
            }
        }
        source.let_go();
        let value = assembly.finish()?;
        if !has_begun {
            self.begin(mode).await;
        }
        if let Some(log) = mode.log.filter(|_| !is_shown) {
            // It said nothing, which may replace something that was said.
            log.push(&chunks).await;
        }
        Ok(value)
    }

    /// When the end of the stream of a complete answer is not waited for any longer: before any clock would end the attempt, and
    /// with half of the call's time left, so that its caller has the answer in time however busy the machine is.
    fn closes(&self) -> Instant {
        let (timeouts, now) = (self.patience.timeouts(), Instant::now());
        let end = now + END_WITHIN.min(timeouts.idle);
        let attempt = self.begun + timeouts.attempt + self.standstill.so_far();
        let half = |deadline: Instant| now + deadline.saturating_duration_since(now) / 2;
        self.patience.deadline().map_or(end, |deadline| end.min(half(deadline))).min(attempt)
    }

    /// The first token is there.
    async fn begin(&self, mode: Mode<'_>) {
        mode.lead.take().await;
        // Told at once and not with the end of the answer, which may take minutes.
        self.deployment.first_token(self.pass, self.begun.elapsed(), Instant::now());
        if let Some(log) = mode.log {
            log.begin(&self.deployment.name);
        }
    }

    /// Gives a whole answer also to those who wanted it piece by piece.
    async fn deliver<K: Kind<Request = R>>(&self, value: K, mode: Mode<'_>) -> Result<K, Failure> {
        self.begin(mode).await;
        if let Some(log) = mode.log {
            log.push(&if mode.is_verbatim { value.events() } else { value.chunks() }).await;
        }
        Ok(value)
    }

    fn event<K>(
        &self,
        data: String,
        mode: Mode<'_>,
        reader: Option<&mut (dyn EventReader + 'static)>,
        assembly: &mut dyn Assembly<K>,
        chunks: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        // Some proxies keep a connection alive with events of nothing.
        if matches!(data.trim_ascii(), "" | "\"\"" | "null") {
            return Ok(());
        }
        let data = match reader {
            Some(reader) => reader.read(data)?,
            None if self.call.is_stream => self.provider.read_event(&self.call, data)?,
            None => Some(data),
        };
        let Some(data) = data else { return Ok(()) };
        let may_be_error = ERROR.find(data.as_bytes()).is_some();
        match may_be_error.then(|| in_band(&data)).flatten() {
            Some(failure) => Err(failure),
            None if mode.is_verbatim => {
                assembly.push(&data, &mut Vec::new())?;
                chunks.push(Chunk::Event { data: assembly.mended(&data).unwrap_or(data) });
                Ok(())
            }
            None => assembly.push(&data, chunks),
        }
    }

    async fn within_first_token<T>(
        &self,
        work: Pin<&mut impl Future<Output = Result<T, Failure>>>,
    ) -> Result<T, Failure> {
        let has_clock = self.has_first_token;
        let clock = |timeouts: &Timeouts| timeouts.first_token_of(self.call.is_stream).filter(|_| has_clock);
        let result = self.patience.within_clock(self.begun, clock, work).await;
        result.unwrap_or_else(|limit| Err(Failure::timeout(Phase::FirstToken, limit)))
    }

    async fn within_gap<T>(&self, work: Pin<&mut impl Future<Output = Result<T, Failure>>>) -> Result<T, Failure> {
        let result = self.patience.within_clock(Instant::now(), |timeouts| Some(timeouts.idle), work).await;
        result.unwrap_or_else(|limit| Err(Failure::timeout(Phase::Idle, limit)))
    }

    /// The whole attempt, without the time that those take who read along.
    async fn in_time<T>(&self, work: Pin<&mut impl Future<Output = Result<T, Failure>>>) -> Result<T, Failure> {
        let clock = |timeouts: &Timeouts| Some(timeouts.attempt + self.standstill.so_far());
        let result = self.patience.within_clock(self.begun, clock, work).await;
        let limit = || self.patience.timeouts().attempt;
        result.unwrap_or_else(|_| Err(Failure::timeout(Phase::Attempt, limit())))
    }
}

impl Events {
    /// Appends the data of at least one event to `batch`; false at the end.
    async fn next(&mut self, batch: &mut Vec<String>) -> Result<bool, Failure> {
        match self {
            Self::Local(stream) => match stream.next().await {
                Some(event) => batch.push(event?),
                None => return Ok(false),
            },
            Self::Http(http) => {
                let (response, parser) = &mut **http;
                while batch.is_empty() {
                    match response.chunk().await? {
                        Some(bytes) => parser.push(&bytes, batch)?,
                        None => return Ok(false),
                    }
                }
            }
        }
        Ok(true)
    }

    /// Takes the end of the body if it is there already, so that the connection can serve again.
    fn let_go(mut self) {
        if let Self::Http(http) = &mut self {
            let _end = http.0.chunk().now_or_never();
        }
    }
}
