//! Where Azure `OpenAI` answers: its v1 API, and before that one URL for each deployment and a version in the query,
//! <https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle>.

use std::fmt::Write;

use super::openai::join;

/// The hosts of Azure's own, below which the path is known.
const HOSTS: [&str; 3] = [".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com"];

/// The URL of an endpoint: with a version that of the deployment, whose name is the model's unless the base URL has it
/// already, or that of all deployments if no model is given; without a version that of the v1 API.
pub(super) fn url(base: &str, version: Option<&str>, model: Option<&str>, path: &str) -> String {
    let is_host = HOSTS.iter().any(|host| base.ends_with(host));
    let Some(version) = version else {
        return if is_host { format!("{base}/openai/v1{path}") } else { join(base, path) };
    };
    let one = base.find("/deployments/").filter(|_| model.is_none());
    let base = &base[..one.unwrap_or(base.len())];
    let is_whole = base.ends_with("/v1") || base.contains("/deployments/");
    let host = base.strip_suffix("/openai").unwrap_or(base);
    // Versions that only the v1 API has.
    if matches!(version, "preview" | "latest" | "v1") && !is_whole {
        return format!("{host}/openai/v1{path}?api-version={version}");
    }
    let url = match model {
        _ if is_whole => join(base, path),
        Some(model) => deployment(host, model, path),
        None => format!("{host}/openai{path}"),
    };
    format!("{url}?api-version={version}")
}

fn deployment(host: &str, model: &str, path: &str) -> String {
    let mut url = format!("{host}/openai/deployments/");
    for byte in model.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => url.push(char::from(byte)),
            // A string takes whatever is written to it.
            _ => write!(url, "%{byte:02X}").unwrap_or_default(),
        }
    }
    url + path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_in_which_azure_names_a_deployment_leads_to_it() {
        let chat = "/chat/completions";
        for (base, version, expected) in [
            ("https://r.openai.azure.com", None, "https://r.openai.azure.com/openai/v1/chat/completions"),
            ("https://r.openai.azure.com/openai/v1", None, "https://r.openai.azure.com/openai/v1/chat/completions"),
            ("https://gateway/azure", None, "https://gateway/azure/chat/completions"),
            (
                "https://r.openai.azure.com/openai/v1",
                Some("preview"),
                "https://r.openai.azure.com/openai/v1/chat/completions?api-version=preview",
            ),
            (
                "https://r.openai.azure.com/openai",
                Some("preview"),
                "https://r.openai.azure.com/openai/v1/chat/completions?api-version=preview",
            ),
            (
                "https://r.openai.azure.com",
                Some("2024-10-21"),
                "https://r.openai.azure.com/openai/deployments/m%2F1/chat/completions?api-version=2024-10-21",
            ),
            (
                "https://r.openai.azure.com/openai",
                Some("2024-10-21"),
                "https://r.openai.azure.com/openai/deployments/m%2F1/chat/completions?api-version=2024-10-21",
            ),
            (
                "https://r.openai.azure.com/openai/deployments/mine",
                Some("2024-10-21"),
                "https://r.openai.azure.com/openai/deployments/mine/chat/completions?api-version=2024-10-21",
            ),
        ] {
            assert_eq!(url(base, version, Some("m/1"), chat), expected);
        }
    }
    #[test]
    fn a_response_is_asked_of_no_deployment_in_particular() {
        for (base, version, expected) in [
            ("https://r.openai.azure.com", None, "https://r.openai.azure.com/openai/v1/responses"),
            ("https://r.openai.azure.com/openai/v1", None, "https://r.openai.azure.com/openai/v1/responses"),
            (
                "https://r.openai.azure.com",
                Some("preview"),
                "https://r.openai.azure.com/openai/v1/responses?api-version=preview",
            ),
            (
                "https://r.openai.azure.com/openai",
                Some("2025-04-01-preview"),
                "https://r.openai.azure.com/openai/responses?api-version=2025-04-01-preview",
            ),
            (
                "https://r.openai.azure.com/openai/deployments/mine",
                Some("2025-04-01-preview"),
                "https://r.openai.azure.com/openai/responses?api-version=2025-04-01-preview",
            ),
        ] {
            assert_eq!(url(base, version, None, "/responses"), expected);
        }
    }
}
