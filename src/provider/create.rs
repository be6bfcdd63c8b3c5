//! The one factory behind every provider that ships with the crate.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::Provider;
use super::anthropic::Anthropic;
use super::dummy::Dummy;
use super::openai::{OpenAi, Settings};
use super::options::{DUMMY, ProviderOptions, check_key, check_url, invalid, is_credential};
use super::presets::{Dialect, Preset};
use crate::constants::MAX_RESPONSE_BYTES;
use crate::error::{ErrorKind, Invalid, Result};
use crate::tracker::{Limits, Tracker, account};

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
            key => account_of(identity(DUMMY, key.as_ref()), options.limits),
        };
        let identity = options.api_key.as_ref().map(|key| identity(DUMMY, Some(key)));
        return Ok(Arc::new(Dummy::new(name, options.dummy.unwrap_or_default(), account, identity)));
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
    let identity = identity(&base_url, own.as_ref().or(key.as_ref()));
    let settings = Settings {
        account: account_of(identity, options.limits),
        identity,
        base_url,
        api_version: options.api_version,
        name,
        key,
        headers: options.headers,
        allow_insecure: options.allow_insecure_http,
        max_response_bytes: options.max_response_bytes.unwrap_or(MAX_RESPONSE_BYTES),
        warms_up: options.warm_up,
    };
    match preset.dialect {
        Dialect::OpenAi | Dialect::Azure => Ok(Arc::new(OpenAi::new(preset, settings))),
        Dialect::Anthropic => Ok(Arc::new(Anthropic::new(settings))),
    }
}

/// The window of an account with limits: that of whoever names the same URL and key.
fn account_of(identity: [u8; 32], limits: Limits) -> Option<Tracker> {
    (limits != Limits::default()).then(|| account(identity, limits))
}

/// What makes an account that account: URL and key, as a hash.
fn identity(url: &str, key: Option<&SecretString>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("thryd 2026-11 account: base URL, key");
    for part in [url, key.map_or("", |key| key.expose_secret())] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
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
