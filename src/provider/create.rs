//! The one factory behind every provider that ships with the crate.

use std::sync::Arc;

use ::http::{HeaderName, HeaderValue, Uri};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::Provider;
use super::anthropic::Anthropic;
use super::dummy::{Dummy, DummyOptions};
use super::openai::{OpenAi, Settings};
use super::presets::{Dialect, PRESETS, Preset};
use crate::connections::HeaderText;
use crate::constants::MAX_RESPONSE_BYTES;
use crate::error::{ErrorKind, Invalid, Result};
use crate::fields::{Fields, describe};
use crate::tracker::{Limits, Tracker, account};

const PATH: &str = "provider options";
const DUMMY: &str = "dummy";

/// What makes a provider. Printing it never shows a key.
///
/// ```
/// use thryd::provider::{ProviderOptions, create_provider};
/// let options = ProviderOptions::new("openai-compatible").name("local").base_url("http://localhost:8080/v1");
/// assert_eq!(create_provider(options)?.name(), "local");
/// # Ok::<(), thryd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ProviderOptions {
    kind: String,
    name: Option<String>,
    api_key: Option<SecretString>,
    base_url: Option<String>,
    headers: Vec<(String, HeaderText)>,
    allow_insecure_http: bool,
    max_response_bytes: Option<usize>,
    dummy: Option<DummyOptions>,
    limits: Limits,
}

impl ProviderOptions {
    /// A provider of this type, e.g. `openai`; see [`provider_types`].
    #[must_use]
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), ..Self::default() }
    }

    /// The name that models use. Default: the type.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The key. Default: the type's environment variable.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(SecretString::from(key.into()));
        self
    }

    /// Where the API is, version included, e.g. `http://localhost:8080/v1`. Default: the type's.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// A further header of each request. It takes the place of one that the provider would send.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        let name = name.to_ascii_lowercase();
        let value = value.into();
        let value = if is_credential(&name) { HeaderText::Secret(value.into()) } else { HeaderText::Plain(value) };
        self.headers.retain(|(given, _)| *given != name);
        self.headers.push((name, value));
        self
    }

    /// Whether a key may go over plain http to anything but loopback. Default: no.
    #[must_use]
    pub fn allow_insecure_http(mut self, allow: bool) -> Self {
        self.allow_insecure_http = allow;
        self
    }

    /// Most bytes of one answer. Default: [`MAX_RESPONSE_BYTES`].
    #[must_use]
    pub fn max_response_bytes(mut self, bytes: usize) -> Self {
        self.max_response_bytes = Some(bytes);
        self
    }

    /// Limits of the account, charged by every deployment on it beside its own: by those of every router in this process
    /// that gives limits for the same base URL and key. Those that were given last hold for all. Default: none.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What a provider of type `dummy` does.
    #[must_use]
    pub fn dummy(mut self, options: DummyOptions) -> Self {
        self.dummy = Some(options);
        self
    }

    /// Reads the options of `addProvider`.
    ///
    /// # Errors
    /// If a field is unknown, missing or wrong.
    pub fn read(mut fields: Fields) -> Result<Self, Invalid> {
        let mut options = Self::new(fields.required_string("type")?);
        options.name = fields.string("name")?;
        options.api_key = fields.take("apiKey").map(read_key).transpose()?;
        options.base_url = fields.string("baseUrl")?;
        for (name, value) in read_headers(fields.take("headers"))? {
            options = options.header(&name, value);
        }
        options.allow_insecure_http = fields.boolean("allowInsecureHttp")?.unwrap_or(false);
        let bytes = fields.integer("maxResponseBytes", 1)?;
        options.max_response_bytes = bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        options.limits = Limits {
            rpm: fields.integer("rpm", 1)?,
            tpm: fields.integer("tpm", 1)?,
            max_concurrent: fields.integer("maxConcurrent", 1)?,
        };
        options.dummy = fields.nested("dummy", "provider options.dummy", DummyOptions::read)?;
        fields.finish(
            "type, name, apiKey, baseUrl, headers, allowInsecureHttp, maxResponseBytes, rpm, tpm, maxConcurrent, dummy",
        )?;
        options.check()?;
        Ok(options)
    }

    /// Checks what does not depend on the environment, and gives the type's preset; `None` for the dummy.
    fn check(&self) -> Result<Option<&'static Preset>, Invalid> {
        let preset = PRESETS.iter().find(|preset| preset.kind == self.kind);
        if preset.is_none() && self.kind != DUMMY {
            let known: Vec<_> = provider_types().map(|kind| format!("'{kind}'")).collect();
            let expected = format!("one of {}", known.join(", "));
            return Err(invalid("type", expected, format!("{:?}", self.kind)));
        }
        if let Some(name) = &self.name {
            check_name("provider options.name", name)?;
        }
        self.base_url.as_deref().map(|url| check_url("provider options.baseUrl", url)).transpose()?;
        self.headers.iter().try_for_each(|(name, value)| check_header(name, value))?;
        if self.dummy.is_some() && self.kind != DUMMY {
            return Err(invalid(
                "dummy",
                "nothing, unless type is 'dummy'",
                format!("an object for type '{}'", self.kind),
            ));
        }
        Ok(preset)
    }
}

/// Every type that [`create_provider`] knows.
pub fn provider_types() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|preset| preset.kind).chain([DUMMY])
}

/// Makes a provider.
///
/// # Errors
/// `ERR_NO_PROVIDER` if the key is missing, naming the environment variable; a programming error if an option is wrong.
pub fn create_provider(options: ProviderOptions) -> Result<Arc<dyn Provider>> {
    create_in(options, &|variable| std::env::var(variable).ok())
}

/// The same with an environment of its own.
fn create_in(options: ProviderOptions, environment: &dyn Fn(&str) -> Option<String>) -> Result<Arc<dyn Provider>> {
    let variable = |name: &str| environment(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let name = options.name.clone().unwrap_or_else(|| options.kind.clone());
    let Some(preset) = options.check()? else {
        let account = match &options.api_key {
            // Without a key there is nothing that two dummies could have in common.
            None => (options.limits != Limits::default()).then(|| Tracker::new(options.limits)),
            key => account_of(DUMMY, key.as_ref(), options.limits),
        };
        return Ok(Arc::new(Dummy::new(name, options.dummy.unwrap_or_default(), account)));
    };
    let key = options.api_key.as_ref().map(|key| key.expose_secret().trim().to_owned()).filter(|key| !key.is_empty());
    let key = key.or_else(|| preset.key_variables.iter().find_map(|name| variable(name))).map(SecretString::from);
    if let Some(key) = &key {
        check_key(key)?;
    }
    let has_own = options.headers.iter().any(|(name, _)| is_credential(name));
    if key.is_none() && preset.needs_key && !has_own {
        let remedy = preset.key_variables.join(" or ");
        return Err(
            ErrorKind::NoProvider(format!("provider \"{name}\" needs a key: set {remedy} or pass apiKey")).into()
        );
    }
    let base_url = base_url(&options, preset, &variable)?;
    let own = options.headers.iter().find(|(name, _)| is_credential(name)).map(|(_, value)| value.expose().into());
    let settings = Settings {
        account: account_of(&base_url, own.as_ref().or(key.as_ref()), options.limits),
        base_url,
        name,
        key,
        headers: options.headers,
        allow_insecure: options.allow_insecure_http,
        max_response_bytes: options.max_response_bytes.unwrap_or(MAX_RESPONSE_BYTES),
    };
    match preset.dialect {
        Dialect::OpenAi => Ok(Arc::new(OpenAi::new(preset, settings))),
        Dialect::Anthropic => Ok(Arc::new(Anthropic::new(settings))),
    }
}

/// The window of an account with limits: that of whoever names the same URL and key.
fn account_of(url: &str, key: Option<&SecretString>, limits: Limits) -> Option<Tracker> {
    if limits == Limits::default() {
        return None;
    }
    let mut hasher = blake3::Hasher::new_derive_key("thryd 2026-11 account: base URL, key");
    for part in [url, key.map_or("", |key| key.expose_secret())] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    Some(account(*hasher.finalize().as_bytes(), limits))
}

/// The option's base URL, else the environment's, else the preset's.
fn base_url(
    options: &ProviderOptions,
    preset: &Preset,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Invalid> {
    let from_environment = preset.url_variable.and_then(|name| Some((name, variable(name)?)));
    let url = match (&options.base_url, from_environment) {
        (Some(url), _) => url.clone(),
        (None, Some((name, url))) => {
            check_url(name, &url)?;
            url
        }
        (None, None) => match preset.base_url {
            Some(url) => url.to_owned(),
            None => {
                return Err(invalid(
                    "baseUrl",
                    format!("a URL, which type '{}' has no default for", preset.kind),
                    "nothing",
                ));
            }
        },
    };
    Ok(url.trim_end_matches('/').to_owned())
}

/// Checks the name of a provider: what stands before the `::` of its models.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), Invalid> {
    let is_name = !name.is_empty() && !name.contains("::");
    let expected = "a name that is not empty and has no `::`";
    is_name.then_some(()).ok_or_else(|| Invalid::type_error(field, expected, format!("{name:?}")))
}

/// A URL may hold a secret in its query or before its host, so messages only tell what is wrong with it.
fn check_url(field: &str, url: &str) -> Result<(), Invalid> {
    let wrong =
        |got: &str| Err(Invalid::type_error(field, "an http or https URL without query, such as https://host/v1", got));
    let Ok(uri) = url.parse::<Uri>() else { return wrong("text that is not a URL") };
    match uri.scheme_str() {
        _ if uri.query().is_some() || url.contains('#') => wrong("a URL with a query or a fragment"),
        Some("http" | "https") if uri.authority().is_some_and(|host| host.as_str().contains('@')) => {
            wrong("a URL with a user name")
        }
        Some("http" | "https") => Ok(()),
        Some(scheme) => wrong(&format!("a URL of scheme {scheme}")),
        None => wrong("a URL without a scheme"),
    }
}

fn read_key(value: Value) -> Result<SecretString, Invalid> {
    match value {
        Value::String(key) => Ok(key.into()),
        Value::Array(_) | Value::Object(_) => Err(invalid("apiKey", "a string", describe(&value))),
        _ => Err(invalid("apiKey", "a string", "a value of another type")),
    }
}

fn check_key(key: &SecretString) -> Result<(), Invalid> {
    let is_sendable = HeaderValue::from_str(key.expose_secret()).is_ok();
    is_sendable
        .then_some(())
        .ok_or_else(|| invalid("apiKey", "a key without line breaks or control characters", "one that has them"))
}

fn read_headers(value: Option<Value>) -> Result<Vec<(String, String)>, Invalid> {
    let Some(value) = value else { return Ok(Vec::new()) };
    // What came may hold a key, whatever its type.
    let Value::Object(map) = value else {
        return Err(invalid("headers", "an object of strings", "a value of another type"));
    };
    let read = |(name, value): (String, Value)| match value {
        Value::String(text) => Some(Ok((name, text))),
        Value::Null => None,
        _ => Some(Err(invalid(&format!("headers.{name}"), "a string", "a value of another type"))),
    };
    map.into_iter().filter_map(read).collect()
}

/// Headers that the connection sets itself.
const RESERVED: [&str; 5] = ["connection", "content-length", "content-type", "host", "transfer-encoding"];

fn check_header(name: &str, value: &HeaderText) -> Result<(), Invalid> {
    let field = format!("headers.{name}");
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(invalid("headers", "names of HTTP headers", format!("{name:?}")));
    }
    if RESERVED.contains(&name) {
        return Err(invalid(&field, "a header that thryd does not set itself", name));
    }
    let is_sendable = HeaderValue::from_str(value.expose()).is_ok();
    is_sendable.then_some(()).ok_or_else(|| invalid(&field, "text without control characters", "text that has them"))
}

/// Whether a header's name says that its value is a key.
fn is_credential(name: &str) -> bool {
    let words = ["authorization", "api-key", "apikey", "cookie", "token", "secret", "password"];
    words.iter().any(|word| name.contains(word))
}

fn invalid(field: &str, expected: impl Into<String>, got: impl std::fmt::Display) -> Invalid {
    Invalid::type_error(format!("{PATH}.{field}"), expected, got)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::{Completion, CompletionRequest, Kind};
    use crate::provider::{Call, Outgoing};

    /// What the provider sends where, and with which key, in this environment.
    fn sent(options: ProviderOptions, environment: &[(&str, &str)]) -> Result<(String, Option<String>)> {
        let variable = |name: &str| Some((*environment.iter().find(|(known, _)| *known == name)?.1).to_owned());
        let provider = create_in(options, &variable)?;
        let request = CompletionRequest::message("Hi");
        let call = Call {
            kind: Completion::NAME,
            path: Completion::PATH,
            model: "m",
            body: request.as_ref(),
            is_stream: false,
        };
        let Outgoing::Http(request) = provider.write(&call)? else { panic!("no socket") };
        Ok((request.url, request.headers.first().map(|(_, value)| value.expose().to_owned())))
    }

    #[test]
    fn a_missing_key_names_the_variable() {
        for empty in ["", "  "] {
            let error = sent(ProviderOptions::new("openai"), &[("OPENAI_API_KEY", empty)]).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::NoProvider(_)));
            assert_eq!(error.to_string(), "provider \"openai\" needs a key: set OPENAI_API_KEY or pass apiKey");
        }
        let error = sent(ProviderOptions::new("cohere").name("c").api_key(""), &[]).unwrap_err();
        assert_eq!(error.to_string(), "provider \"c\" needs a key: set COHERE_API_KEY or CO_API_KEY or pass apiKey");
    }

    #[test]
    fn a_key_comes_from_the_options_before_the_environment() {
        let environment = [("OPENAI_API_KEY", "there\n")];
        let key = |options| sent(options, &environment).unwrap().1.unwrap();
        assert_eq!(key(ProviderOptions::new("openai")), "Bearer there");
        assert_eq!(key(ProviderOptions::new("openai").api_key("here")), "Bearer here");
    }

    #[test]
    fn a_key_for_openai_is_not_given_to_whoever_speaks_its_dialect() {
        let options = ProviderOptions::new("openai-compatible").base_url("http://host/v1");
        let environment = [("OPENAI_API_KEY", "sk-secret"), ("OPENAI_BASE_URL", "https://other/v1")];
        assert_eq!(sent(options, &environment).unwrap(), ("http://host/v1/chat/completions".to_owned(), None));
    }

    #[test]
    fn local_servers_need_no_key() {
        for kind in ["ollama", "lmstudio", "vllm"] {
            assert_eq!(sent(ProviderOptions::new(kind), &[]).unwrap().1, None);
        }
    }

    #[test]
    fn the_base_url_comes_from_the_options_before_the_environment() {
        let options = || ProviderOptions::new("openai").api_key("k");
        let environment = [("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/")];
        let url = |options, environment: &[(&str, &str)]| sent(options, environment).unwrap().0;
        assert_eq!(url(options(), &environment), "http://127.0.0.1:9/v1/chat/completions");
        assert_eq!(url(options().base_url("https://here"), &environment), "https://here/chat/completions");
        assert_eq!(url(options(), &[("OPENAI_BASE_URL", "")]), "https://api.openai.com/v1/chat/completions");
        let error = sent(options(), &[("OPENAI_BASE_URL", "nowhere")]).unwrap_err();
        assert!(error.to_string().starts_with("OPENAI_BASE_URL: expected an http or https URL"), "{error}");
    }
}
