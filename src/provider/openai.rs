//! OpenAI's dialect, driven by a row of the table: most providers are this and a base URL.

use std::sync::Arc;

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};

use super::presets::{Dialect, KeyHeader, Preset};
use super::{BatchLimit, Call, EventReader, Outgoing, Provider, anthropic, azure, gemini};
use crate::connections::{HeaderText, HttpRequest};
use crate::error::{ErrorKind, Failure, Result};
use crate::kinds::{Body, Completion, Embeddings, Kind, ModelResponse, Ranking, Usage};
use crate::tracker::Tracker;

/// A provider that speaks OpenAI's dialect.
#[derive(Debug)]
pub(super) struct OpenAi {
    name: String,
    preset: &'static Preset,
    base_url: String,
    api_version: Option<String>,
    headers: Arc<Vec<(String, HeaderText)>>,
    allow_insecure: bool,
    max_response_bytes: usize,
    account: Option<Tracker>,
    identity: [u8; 32],
    warms_up: bool,
}

/// What the options say, checked.
pub(super) struct Settings {
    pub name: String,
    /// Without a slash at its end.
    pub base_url: String,
    /// Of Azure's API.
    pub api_version: Option<String>,
    pub key: Option<SecretString>,
    /// Names in lower case; they go before the preset's.
    pub headers: Vec<(String, HeaderText)>,
    pub allow_insecure: bool,
    pub max_response_bytes: usize,
    pub account: Option<Tracker>,
    /// Hash of base URL and key.
    pub identity: [u8; 32],
    pub warms_up: bool,
}

impl OpenAi {
    pub fn new(preset: &'static Preset, settings: Settings) -> Self {
        let mut headers = settings.headers;
        if let Some(key) = settings.key {
            let (name, value) = match preset.key_header {
                KeyHeader::Bearer => ("authorization", format!("Bearer {}", key.expose_secret()).into()),
                KeyHeader::ApiKey => ("api-key", key),
            };
            // Two keys would be one too many: a token in `authorization` stands for Azure's key as well.
            if headers.iter().all(|(given, _)| given != name && given != "authorization") {
                headers.push((name.to_owned(), HeaderText::Secret(value)));
            }
        }
        Self {
            name: settings.name,
            preset,
            base_url: settings.base_url,
            api_version: settings.api_version,
            headers: Arc::new(headers),
            allow_insecure: settings.allow_insecure,
            max_response_bytes: settings.max_response_bytes,
            account: settings.account,
            identity: settings.identity,
            warms_up: settings.warms_up,
        }
    }

    fn calls_like_gemini(&self, call: &Call<'_>) -> bool {
        call.kind == Completion::NAME && self.preset.completion.is_some_and(|shape| shape.calls_like_gemini)
    }

    /// The path below the base URL and the body, in this provider's words. `None` if it has no such endpoint.
    fn dialect<'a>(&self, call: &Call<'a>) -> Option<(&'a str, Bytes)> {
        match call.kind {
            Completion::NAME => {
                let shape = self.preset.completion?;
                let mut body = call.body.clone();
                for name in shape.left_out {
                    body.remove(name);
                }
                if !shape.takes_blocks {
                    anthropic::forget_blocks(&mut body);
                }
                body.rename("max_completion_tokens", shape.max_tokens);
                // Refused beside a whole answer, and by some in any case.
                let options = body.take("stream_options").map(|raw| Body::parse(&raw).unwrap_or_default());
                if call.is_stream {
                    body.set("stream", &true);
                    if shape.takes_stream_options {
                        let mut options = options.unwrap_or_default();
                        options.set("include_usage", &true);
                        body.set("stream_options", &options);
                    }
                }
                Some((shape.path, body.write(&[("model", call.model)])))
            }
            Embeddings::NAME => {
                let shape = self.preset.embedding?;
                let mut body = call.body.clone();
                body.rename("dimensions", shape.dimensions);
                if shape.takes_base64 && !has_other_numbers(&body) {
                    body.set("encoding_format", &"base64");
                }
                Some((shape.path, body.write(&[("model", call.model)])))
            }
            Ranking::NAME => {
                let shape = self.preset.rerank?;
                Some((shape.path, shape.write(call.body, call.model)))
            }
            ModelResponse::NAME => {
                let shape = self.preset.response?;
                let mut body = call.body.clone();
                if call.is_stream {
                    body.set("stream", &true);
                } else {
                    // Of a stream alone.
                    body.remove("stream_options");
                }
                Some((shape.path, body.write(&[("model", call.model)])))
            }
            _ if self.preset.is_open => Some((call.path, call.body.write(&[("model", call.model)]))),
            _ => None,
        }
    }
}

/// Whether vectors are asked for whose numbers are no `f32`s, so that their bytes say nothing: Voyage's and Mistral's
/// `output_dtype`, Jina's `embedding_type`, Cohere's `embedding_types`.
fn has_other_numbers(body: &Body) -> bool {
    let names = ["output_dtype", "embedding_type", "embedding_types"];
    names.iter().filter_map(|name| body.get(name)).any(|asked| !matches!(asked, "\"float\"" | "[\"float\"]"))
}

/// Joins a base URL and a path, so that segments that stand at both sides stand once: a base of `https://host/v1` and
/// the path `/v1/embeddings` are `https://host/v1/embeddings`.
pub(super) fn join(base: &str, path: &str) -> String {
    let host = base.find("://").map_or(0, |scheme| scheme + 3);
    let given = base[host..].find('/').map_or("", |start| &base[host + start..]);
    let ends = path.match_indices('/').map(|(end, _)| end).filter(|end| *end > 0);
    let shared = ends.filter(|end| given.ends_with(&path[..*end])).max().unwrap_or(0);
    format!("{base}{}", &path[shared..])
}

/// The host of a URL, without the port; an IPv6 address without its brackets.
pub(super) fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    match authority.strip_prefix('[') {
        Some(address) => address.split(']').next(),
        None => authority.split(':').next(),
    }
}

impl Provider for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    fn host(&self) -> Option<&str> {
        host(&self.base_url)
    }

    fn warm_up(&self) -> Option<&str> {
        self.warms_up.then_some(&*self.base_url)
    }

    fn supports(&self, kind: &str) -> bool {
        match kind {
            Completion::NAME => self.preset.completion.is_some(),
            Embeddings::NAME => self.preset.embedding.is_some(),
            Ranking::NAME => self.preset.rerank.is_some(),
            ModelResponse::NAME => self.preset.response.is_some(),
            _ => self.preset.is_open,
        }
    }

    fn write(&self, call: &Call<'_>) -> Result<Outgoing> {
        let Some((path, body)) = self.dialect(call) else {
            return Err(
                ErrorKind::Unsupported(format!("provider \"{}\" has no {} endpoint", self.name, call.kind)).into()
            );
        };
        let is_response = call.kind == ModelResponse::NAME;
        let url = if self.preset.dialect == Dialect::Azure {
            // The model of a response stands in its body alone.
            let model = Some(call.model).filter(|_| !is_response);
            azure::url(&self.base_url, self.api_version.as_deref(), model, path)
        } else {
            let is_beside = is_response && self.preset.response.is_some_and(|shape| shape.is_beside_version);
            let base = self.base_url.strip_suffix("/v1").filter(|_| is_beside).unwrap_or(&self.base_url);
            join(base, path)
        };
        Ok(Outgoing::Http(HttpRequest {
            url,
            headers: Arc::clone(&self.headers),
            body,
            allow_insecure: self.allow_insecure,
            max_response_bytes: self.max_response_bytes,
        }))
    }

    fn read(&self, call: &Call<'_>, answer: Bytes) -> Result<Bytes, Failure> {
        match self.preset.rerank {
            Some(shape) if call.kind == Ranking::NAME => shape.read(&answer),
            _ if self.calls_like_gemini(call) => Ok(gemini::read(answer)),
            _ => Ok(answer),
        }
    }

    fn event_reader(&self, call: &Call<'_>) -> Option<Box<dyn EventReader>> {
        self.calls_like_gemini(call).then(|| Box::new(gemini::Reader::default()) as Box<dyn EventReader>)
    }

    fn charged_tokens(&self, usage: &Usage) -> u64 {
        let cached = usage.cached_prompt_tokens.filter(|_| !self.preset.limits_cached_tokens);
        usage.total_tokens.saturating_sub(cached.unwrap_or(0))
    }

    fn account(&self) -> Option<Tracker> {
        self.account.clone()
    }

    fn identity(&self) -> [u8; 32] {
        self.identity
    }

    fn batch_limit(&self, kind: &str) -> BatchLimit {
        let embedding = self.preset.embedding.filter(|_| kind == Embeddings::NAME);
        embedding.map_or(BatchLimit { inputs: 2048, tokens: 300_000 }, |shape| shape.batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::presets::PRESETS;

    #[test]
    fn what_a_provider_took_from_its_cache_is_charged_unless_it_says_otherwise() {
        let charged = |kind: &str, cached| {
            let preset = PRESETS.iter().find(|preset| preset.kind == kind).unwrap();
            let settings = Settings {
                name: kind.to_owned(),
                base_url: String::new(),
                api_version: None,
                key: None,
                headers: Vec::new(),
                allow_insecure: false,
                max_response_bytes: 0,
                account: None,
                identity: [0; 32],
                warms_up: false,
            };
            let usage = Usage { total_tokens: 100, cached_prompt_tokens: cached, ..Usage::default() };
            OpenAi::new(preset, settings).charged_tokens(&usage)
        };
        for (kind, cached, tokens) in [
            ("groq", Some(30), 70),
            ("groq", None, 100),
            ("groq", Some(101), 0),
            ("openai", Some(30), 100),
            ("fireworks", Some(30), 100),
        ] {
            assert_eq!(charged(kind, cached), tokens, "{kind} {cached:?}");
        }
    }

    #[test]
    fn a_base_url_that_already_says_the_version_does_not_say_it_twice() {
        for (base, path, url) in [
            ("https://a/v1", "/chat/completions", "https://a/v1/chat/completions"),
            ("https://a", "/v1/embeddings", "https://a/v1/embeddings"),
            ("https://a/v1", "/v1/embeddings", "https://a/v1/embeddings"),
            ("https://a/x/compatibility/v1", "/compatibility/v1/embeddings", "https://a/x/compatibility/v1/embeddings"),
            ("https://v2", "/v2/rerank", "https://v2/v2/rerank"),
        ] {
            assert_eq!(join(base, path), url);
        }
    }
}
