//! What makes a provider: the options of `addProvider`, read and checked.

use ::http::{HeaderName, HeaderValue, Uri};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::dummy::DummyOptions;
use super::presets::{Dialect, PRESETS, Preset};
use crate::connections::HeaderText;
use crate::error::Invalid;
use crate::fields::{Fields, describe};
use crate::tracker::Limits;

const PATH: &str = "provider options";
pub(super) const DUMMY: &str = "dummy";

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
    pub(super) kind: String,
    pub(super) name: Option<String>,
    pub(super) api_key: Option<SecretString>,
    pub(super) base_url: Option<String>,
    pub(super) api_version: Option<String>,
    pub(super) headers: Vec<(String, HeaderText)>,
    pub(super) allow_insecure_http: bool,
    pub(super) max_response_bytes: Option<usize>,
    pub(super) dummy: Option<DummyOptions>,
    pub(super) limits: Limits,
    pub(super) warm_up: bool,
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

    /// For type `azure`: the version of its API, e.g. `2024-10-21`, if it is not the v1 API that is to be used.
    #[must_use]
    pub fn api_version(mut self, version: impl Into<String>) -> Self {
        self.api_version = Some(version.into());
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

    /// Most bytes of one answer. Default: [`MAX_RESPONSE_BYTES`](crate::constants::MAX_RESPONSE_BYTES).
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

    /// Whether a connection is opened as soon as the provider is added, in the background, so that the first request finds names
    /// looked up, certificates read and TLS agreed. It asks for the head of `/`, without the key; whatever comes of it is
    /// nobody's error. A `dummy` has nothing to open. Default: no.
    #[must_use]
    pub fn warm_up(mut self, warm_up: bool) -> Self {
        self.warm_up = warm_up;
        self
    }

    /// Whether it is to be [warmed up](Self::warm_up), which needs a Tokio runtime.
    #[must_use]
    pub fn warms_up(&self) -> bool {
        self.warm_up
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
        options.api_version = fields.string("apiVersion")?;
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
        options.warm_up = fields.boolean("warmUp")?.unwrap_or(false);
        options.dummy = fields.nested("dummy", "provider options.dummy", DummyOptions::read)?;
        fields.finish(
            "type, name, apiKey, baseUrl, apiVersion, headers, allowInsecureHttp, maxResponseBytes, rpm, tpm, maxConcurrent, warmUp, dummy",
        )?;
        options.check()?;
        Ok(options)
    }

    /// Checks what does not depend on the environment, and gives the type's preset; `None` for the dummy.
    pub(super) fn check(&self) -> Result<Option<&'static Preset>, Invalid> {
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
        if let Some(version) = &self.api_version {
            check_api_version(version, preset.is_some_and(|preset| preset.dialect == Dialect::Azure))?;
        }
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

/// Every type that [`create_provider`](super::create_provider) knows.
pub fn provider_types() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|preset| preset.kind).chain([DUMMY])
}
/// Checks the name of a provider: what stands before the `::` of its models.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), Invalid> {
    let is_name = !name.is_empty() && !name.contains("::");
    let expected = "a name that is not empty and has no `::`";
    is_name.then_some(()).ok_or_else(|| Invalid::type_error(field, expected, format!("{name:?}")))
}

/// A URL may hold a secret in its query or before its host, so messages only tell what is wrong with it.
pub(super) fn check_url(field: &str, url: &str) -> Result<(), Invalid> {
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

fn check_api_version(version: &str, is_azure: bool) -> Result<(), Invalid> {
    if !is_azure {
        return Err(invalid("apiVersion", "nothing, unless type is 'azure'", format!("{version:?}")));
    }
    let is_version = version.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    let expected = "a version of the API, such as '2024-10-21'";
    (is_version && !version.is_empty())
        .then_some(())
        .ok_or_else(|| invalid("apiVersion", expected, format!("{version:?}")))
}

fn read_key(value: Value) -> Result<SecretString, Invalid> {
    match value {
        Value::String(key) => Ok(key.into()),
        Value::Array(_) | Value::Object(_) => Err(invalid("apiKey", "a string", describe(&value))),
        _ => Err(invalid("apiKey", "a string", "a value of another type")),
    }
}

pub(super) fn check_key(key: &SecretString) -> Result<(), Invalid> {
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
pub(super) fn is_credential(name: &str) -> bool {
    let words = ["authorization", "api-key", "apikey", "cookie", "token", "secret", "password"];
    words.iter().any(|word| name.contains(word))
}

pub(super) fn invalid(field: &str, expected: impl Into<String>, got: impl std::fmt::Display) -> Invalid {
    Invalid::type_error(format!("{PATH}.{field}"), expected, got)
}
