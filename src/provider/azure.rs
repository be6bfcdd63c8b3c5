//! Where Azure `OpenAI` answers: its v1 API, and before that one URL for each deployment and a version in the query,
//! <https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle>.

use std::fmt::Write;

use super::openai::join;

/// The domains of Azure's own resources, below which the path is known; each is in every cloud.
const SERVICES: [&str; 3] = [".openai.azure.", ".services.ai.azure.", ".cognitiveservices.azure."];

/// The public cloud, that of the United States' government, and that of China,
/// <https://learn.microsoft.com/azure/azure-government/compare-azure-government-global-azure>.
const CLOUDS: [&str; 3] = ["com", "us", "cn"];

/// The URL of an endpoint: with a version that of the deployment, whose name is the model's unless the base URL has it
/// already, or that of all deployments if no model is given; without a version that of the v1 API.
pub(super) fn url(base: &str, version: Option<&str>, model: Option<&str>, path: &str) -> String {
    let one = base.find("/deployments/").filter(|_| model.is_none());
    let base = &base[..one.unwrap_or(base.len())];
    let resource = resource(base);
    // Foundry's own API, which finds the model in the body, and has no endpoint that names none.
    let is_foundry = resource.is_some_and(|(_, below)| below == "/models");
    // What says no more than the resource, and a project of it, whose models answer at the resource too.
    let root = resource.filter(|(_, below)| {
        let is_project = below.starts_with("/api/projects/") && !is_whole(below);
        matches!(*below, "" | "/openai") || is_project || (is_foundry && model.is_none())
    });
    let Some(version) = version else {
        return root.map_or_else(|| join(base, path), |(root, _)| format!("{root}/openai/v1{path}"));
    };
    let base = root.map_or(base, |(root, _)| root);
    let is_whole = is_whole(base) || (is_foundry && model.is_some());
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

/// Whether only the endpoint is missing.
fn is_whole(base: &str) -> bool {
    base.ends_with("/v1") || base.contains("/deployments/")
}

/// The resource that a base URL leads to, and what stands below it, if the host is Azure's own.
fn resource(base: &str) -> Option<(&str, &str)> {
    let start = base.find("://")? + "://".len();
    let end = base[start..].find('/').map_or(base.len(), |length| start + length);
    let host = base[start..end].split(':').next()?.to_ascii_lowercase();
    let is_azure = CLOUDS.iter().any(|cloud| {
        let service = host.strip_suffix(cloud);
        service.is_some_and(|host| SERVICES.iter().any(|service| host.ends_with(service)))
    });
    is_azure.then(|| base.split_at(end))
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

    const CHAT: &str = "/chat/completions";

    #[test]
    fn every_way_in_which_azure_names_a_deployment_leads_to_it_in_every_cloud() {
        let dated = Some("2024-10-21");
        let v1 = "/openai/v1/chat/completions";
        let old = "/openai/deployments/m%2F1/chat/completions?api-version=2024-10-21";
        let preview = "/openai/v1/chat/completions?api-version=preview";
        let mine = "/openai/deployments/mine/chat/completions?api-version=2024-10-21";
        for (below, version, expected) in [
            ("", None, v1),
            ("/openai", None, v1),
            ("/openai/v1", None, v1),
            ("", dated, old),
            ("/openai", dated, old),
            ("/openai/deployments/mine", dated, mine),
            ("", Some("preview"), preview),
            ("/openai", Some("preview"), preview),
            ("/openai/v1", Some("preview"), preview),
            ("/api/projects/p", None, v1),
            ("/api/projects/p", dated, old),
            ("/api/projects/p/openai/v1", None, "/api/projects/p/openai/v1/chat/completions"),
            ("/models", None, "/models/chat/completions"),
            ("/models", Some("2024-05-01-preview"), "/models/chat/completions?api-version=2024-05-01-preview"),
        ] {
            for service in ["openai", "services.ai", "cognitiveservices"] {
                for host in [
                    format!("https://r.{service}.azure.com"),
                    format!("https://r.{service}.azure.us"),
                    format!("https://r.{service}.azure.cn"),
                    format!("https://R.{service}.Azure.com:443"),
                ] {
                    let base = format!("{host}{below}");
                    assert_eq!(
                        url(&base, version, Some("m/1"), CHAT),
                        format!("{host}{expected}"),
                        "{base} {version:?}"
                    );
                }
            }
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
            ("https://r.services.ai.azure.us/models", None, "https://r.services.ai.azure.us/openai/v1/responses"),
            (
                "https://r.services.ai.azure.com/api/projects/p",
                None,
                "https://r.services.ai.azure.com/openai/v1/responses",
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

    #[test]
    fn a_host_that_is_not_azures_is_taken_at_its_word() {
        for base in [
            "https://gateway/azure",
            "https://r.openai.azure.com.evil.example",
            "https://openai.azure.com",
            "https://r.openai.azure.de",
            "http://[::1]:8080",
            "https://gateway/r.openai.azure.com",
        ] {
            assert_eq!(url(base, None, Some("m"), CHAT), format!("{base}/chat/completions"));
        }
        let expected = "https://gateway/azure/openai/deployments/m/chat/completions?api-version=2024-10-21";
        assert_eq!(url("https://gateway/azure", Some("2024-10-21"), Some("m"), CHAT), expected);
    }
}
