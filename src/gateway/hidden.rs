//! What of a message is not the client's to know: where the host's providers are. The host's own errors keep it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What stands in the place of an address.
const INSTEAD: &str = "its server";

/// What is hidden beside what looks like an address.
#[derive(Default)]
pub(super) struct Hidden<'a> {
    /// Hosts in lower case, without ports.
    pub hosts: &'a [String],
    /// Names that the client is told anyway: they stay, whatever they look like.
    pub names: Vec<&'a str>,
    /// Whether a word and a port are a host: not where a provider says of the request that it has `tokens:4096`.
    pub is_trouble: bool,
}

impl Hidden<'_> {
    /// The text without URLs, IP addresses, hosts with a port, and the known hosts.
    pub fn without(&self, text: &str) -> String {
        self.beside(text, &self.names)
    }

    fn beside(&self, text: &str, names: &[&str]) -> String {
        match names.split_first() {
            Some((name, others)) if !name.is_empty() => {
                let parts: Vec<_> = text.split(name).map(|part| self.beside(part, others)).collect();
                parts.join(name)
            }
            Some((_, others)) => self.beside(text, others),
            None => self.words(&without_urls(text)),
        }
    }

    /// Looks at everything that an address can be part of.
    fn words(&self, text: &str) -> String {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || ".-_:[]%".contains(letter);
        let (mut out, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(start) = rest.find(is_part) {
            let word = &rest[start..];
            let end = word.find(|letter: char| !is_part(letter)).unwrap_or(word.len());
            out.push_str(&rest[..start]);
            self.word(&word[..end], &mut out);
            rest = &word[end..];
        }
        out + rest
    }

    fn word(&self, word: &str, out: &mut String) {
        if let Some((before, after)) = around_v6(word) {
            self.pieces(before, out);
            out.push_str(INSTEAD);
            self.pieces(without_port(after), out);
        } else {
            self.pieces(word, out);
        }
    }

    /// What is separated by colons: hosts, ports and other things.
    fn pieces(&self, word: &str, out: &mut String) {
        let mut pieces = word.split(':').peekable();
        let mut is_first = true;
        while let Some(piece) = pieces.next() {
            if !std::mem::take(&mut is_first) {
                out.push(':');
            }
            let port = pieces.peek().and_then(|next| port(next));
            if self.is_address(piece, port) {
                // The end of a sentence is not the host's.
                let end = piece.trim_end_matches(['.', '-', '_']).len();
                out.push_str(INSTEAD);
                match port {
                    Some(_) => {
                        let after = pieces.next().unwrap_or_default();
                        out.push_str(after.trim_start_matches(|digit: char| digit.is_ascii_digit()));
                    }
                    None => out.push_str(&piece[end..]),
                }
            } else {
                out.push_str(piece);
            }
        }
    }

    fn is_address(&self, piece: &str, port: Option<u16>) -> bool {
        let whole = piece.to_ascii_lowercase();
        let name = whole.trim_matches(['.', '-', '_', '[', ']', '%']);
        let is_known = |host: &String| if host.contains('.') { whole.contains(host.as_str()) } else { name == host };
        if name.is_empty() {
            return false;
        }
        if name.parse::<Ipv4Addr>().is_ok() || name == "localhost" || self.hosts.iter().any(is_known) {
            return true;
        }
        let is_word = |label: &str| label.starts_with(|letter: char| letter.is_ascii_alphabetic());
        match (port, name.rsplit_once('.')) {
            (None, _) => false,
            (Some(_), Some((_, last))) => is_word(last),
            (Some(port), None) => self.is_trouble && is_word(name) && port >= 1024,
        }
    }
}

/// What stands before and after an IPv6 address in a word.
fn around_v6(word: &str) -> Option<(&str, &str)> {
    let is_v6 = |text: &str| {
        let address = text.split('%').next().unwrap_or_default();
        // Names of models have colons too.
        address.contains(|letter: char| letter.is_ascii_digit()) && address.parse::<Ipv6Addr>().is_ok()
    };
    if let (Some(open), Some(close)) = (word.find('['), word.rfind(']'))
        && word.get(open + 1..close).is_some_and(is_v6)
    {
        return Some((&word[..open], &word[close + 1..]));
    }
    let trimmed = word.trim_end_matches(['.', '-', '_', ']']);
    // An address may end with colons, and a colon may follow it.
    let ends = [trimmed, trimmed.strip_suffix(':').unwrap_or(trimmed)];
    ends.into_iter().find_map(|end| {
        let mut starts = std::iter::once(0).chain(end.match_indices([':', '[']).map(|(at, _)| at + 1));
        let start = starts.find(|start| is_v6(&end[*start..]))?;
        Some((&word[..start], &word[end.len()..]))
    })
}

fn port(text: &str) -> Option<u16> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let is_end = text[digits..].trim_matches(['.', ':', '-', '_', ']']).is_empty();
    text[..digits].parse().ok().filter(|_| is_end && digits >= 2)
}

fn without_port(after: &str) -> &str {
    let digits = after.strip_prefix(':').unwrap_or_default();
    if port(digits).is_some() { digits.trim_start_matches(|digit: char| digit.is_ascii_digit()) } else { after }
}

fn without_urls(message: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(message.len()), message);
    while let Some(at) = rest.find("://") {
        let is_scheme = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
        let start = rest[..at].trim_end_matches(is_scheme).len();
        let is_end =
            |letter: char| letter.is_whitespace() || matches!(letter, ')' | ',' | ';' | '"' | '\'' | '`' | '>');
        let end = rest[at..].find(is_end).map_or(rest.len(), |length| at + length);
        text.push_str(&rest[..start]);
        text.push_str(INSTEAD);
        rest = &rest[end..];
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn without(text: &str) -> String {
        let hosts = ["vllm", "r.openai.azure.com"].map(str::to_owned);
        Hidden { hosts: &hosts, names: vec!["vllm::a::1", "10.0.0.1::m"], is_trouble: true }.without(text)
    }

    #[test]
    fn wherever_an_address_stands_it_is_not_shown() {
        for (said, shown) in [
            (
                "cannot reach https://10.0.0.7:8443/v1 (http://proxy.local), twice",
                "cannot reach its server (its server), twice",
            ),
            ("redis://cache:6379/0 is gone", "its server is gone"),
            ("connect ECONNREFUSED 10.0.0.7:8443", "connect ECONNREFUSED its server"),
            ("no route to 10.0.0.7.", "no route to its server."),
            ("tcp:10.0.0.7:80: refused", "tcp:its server: refused"),
            ("dial [fe80::1%eth0]:8080: refused", "dial its server: refused"),
            ("dial fd00:1::7, twice", "dial its server, twice"),
            ("dial ::1: refused", "dial its server: refused"),
            ("addr:2001:db8::1", "addr:its server"),
            ("upstream db-1.internal:5432 timed out", "upstream its server timed out"),
            ("upstream worker_1:8000 timed out", "upstream its server timed out"),
            ("VLLM is down; (vllm) too, and vllm:80", "its server is down; (its server) too, and its server"),
            ("node7.R.OpenAI.Azure.com.", "its server."),
            ("localhost said no", "its server said no"),
        ] {
            assert_eq!(without(said), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_left_as_it_was_said() {
        for text in [
            "",
            "no address",
            "at 12:30:45 the limit was 1.5 of 2.0.1, see std::io and a::b: retry after:20",
            "max_tokens: 5000, gpt-4.1 and claude-3.5:latest",
            "vllm::a::1: 502 10.0.0.1::m: 503",
            "vllms are fine",
            "\u{e9}\u{1f600}: [] % :: . - _ [::] ://",
        ] {
            assert_eq!(without(text), text.replace(" ://", " its server"));
        }
        let hidden = Hidden::default();
        assert_eq!(hidden.without("this model takes tokens:4096"), "this model takes tokens:4096");
    }

    proptest! {
        #[test]
        fn a_known_host_is_shown_in_no_text(
            before in "[a-zA-Z0-9 .:/\\[\\]%_\"'(\u{e9}-]{0,12}", host in "[a-z][a-z0-9-]{0,6}(\\.[a-z][a-z0-9-]{0,6}){1,3}",
            after in "[a-zA-Z0-9 .:/\\[\\]%_\"')\u{e9}-]{0,12}", is_loud in any::<bool>(), is_trouble in any::<bool>(),
        ) {
            prop_assume!(!INSTEAD.contains(&host));
            let hosts = [host.clone()];
            let said = if is_loud { host.to_ascii_uppercase() } else { host.clone() };
            let hidden = Hidden { hosts: &hosts, names: vec!["p::m"], is_trouble };
            let shown = hidden.without(&format!("{before}{said}{after}{said}"));
            prop_assert!(!shown.to_ascii_lowercase().contains(&host), "{shown}");
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), name in any::<String>(), words in "[0-9a-f.:\\[\\]%/_ -]{0,40}") {
            let hosts = [name.clone()];
            let hidden = Hidden { hosts: &hosts, names: vec![&name], is_trouble: true };
            let _ = hidden.without(&text);
            let _ = hidden.without(&words);
        }

        #[test]
        fn an_ip_address_is_shown_in_no_text(address in any::<std::net::IpAddr>(), port in any::<Option<u16>>()) {
            let said = match (address, port) {
                (std::net::IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
                (address, Some(port)) => format!("{address}:{port}"),
                (address, None) => address.to_string(),
            };
            prop_assume!(!address.is_unspecified());
            let shown = Hidden::default().without(&format!("no route to {said}: refused"));
            prop_assert!(!shown.contains(&address.to_string()), "{shown}");
        }
    }
}
