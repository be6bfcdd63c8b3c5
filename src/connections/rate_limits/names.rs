//! The names of the headers that speak of limits.

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Requests,
    /// Of prompt and completion together.
    Tokens,
    /// Of the prompt alone.
    Input,
    /// Of the completion alone.
    Output,
}

/// The window that a limit holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    Minute,
    FiveMinutes,
    Hour,
    Day,
    Month,
    /// The name does not say it, and providers that share the name differ.
    Unsaid,
    /// As `Unsaid`, of `OpenAI`'s projects, which have limits beside those of their organization.
    Project,
    /// The name does not say it, and it is none of a minute: Together's and Fireworks' are of a second, `OpenRouter`'s
    /// of a minute or a day.
    Other,
}

impl Window {
    /// All of them, each at its own index.
    pub const ALL: [Self; 8] =
        [Self::Minute, Self::FiveMinutes, Self::Hour, Self::Day, Self::Month, Self::Unsaid, Self::Project, Self::Other];
}

/// What a header says of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Limit,
    Remaining,
    Reset,
    /// The length of the window.
    Period,
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        match name {
            "limit" => Some(Self::Limit),
            "remaining" => Some(Self::Remaining),
            "reset" => Some(Self::Reset),
            "renewalperiod" => Some(Self::Period),
            _ => None,
        }
    }
}

/// A header that speaks of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub subject: Subject,
    pub window: Window,
    pub field: Field,
}

/// How a name says its window.
const WINDOWS: [(&str, Window); 5] = [
    ("-5-minute", Window::FiveMinutes),
    ("-minute", Window::Minute),
    ("-hour", Window::Hour),
    ("-day", Window::Day),
    ("-month", Window::Month),
];

impl Header {
    /// The header with this name, which is in lower case; `None` if it does not speak of a limit.
    pub fn named(name: &str) -> Option<Self> {
        if let Some(rest) = name.strip_prefix("x-ratelimit-") {
            let (field, rest) = rest.split_once('-').unwrap_or((rest, ""));
            let field = Field::named(field)?;
            let (subject, window) = subject_and_window(rest)?;
            Some(Self { subject, window, field })
        } else if let Some(rest) = name.strip_prefix("anthropic-ratelimit-") {
            let (what, field) = rest.rsplit_once('-')?;
            Some(Self { subject: subject(what)?, window: Window::Minute, field: Field::named(field)? })
        } else if let Some(rest) = name.strip_prefix("x-tokenlimit-") {
            Some(Self { subject: Subject::Tokens, window: Window::Other, field: Field::named(rest)? })
        } else if let Some(rest) = name.strip_prefix("x-trial-endpoint-call-") {
            Some(Self { subject: Subject::Requests, window: Window::Minute, field: Field::named(rest)? })
        } else {
            None
        }
    }
}

/// What follows the field in the names that begin with `x-ratelimit-`.
fn subject_and_window(rest: &str) -> Option<(Subject, Window)> {
    match rest {
        "" => return Some((Subject::Requests, Window::Other)),
        "tokens-prompt" => return Some((Subject::Input, Window::Other)),
        "tokens-generated" => return Some((Subject::Output, Window::Other)),
        _ => {}
    }
    if let Some(rest) = rest.strip_prefix("project-") {
        return Some((subject(rest)?, Window::Project));
    }
    for (suffix, window) in WINDOWS {
        if let Some(rest) = rest.strip_suffix(suffix) {
            return Some((subject(rest)?, window));
        }
    }
    Some((subject(rest)?, Window::Unsaid))
}

fn subject(name: &str) -> Option<Subject> {
    match name {
        "requests" | "req" => Some(Subject::Requests),
        "tokens" => Some(Subject::Tokens),
        "input-tokens" => Some(Subject::Input),
        "output-tokens" => Some(Subject::Output),
        _ => None,
    }
}
