//! Takes the keys of a request out of whatever its failure shows: who refuses a key may repeat it, in a form that
//! nothing else would recognise as one.

use std::sync::Arc;

use super::{HeaderText, HttpRequest};
use crate::error::Failure;

/// What stands in the place of a key.
const MASK: &str = "***";

/// Shorter words are no keys: local servers are given an `x` or a `none`, and every text has an `x`.
const LEAST: usize = 8;

/// The keys that went out with one request.
pub(crate) struct Secrets(Arc<Vec<(String, HeaderText)>>);

impl Secrets {
    /// Those of this request.
    #[must_use]
    pub fn of(request: &HttpRequest) -> Self {
        Self(Arc::clone(&request.headers))
    }

    /// The same failure without them.
    #[must_use]
    pub fn taken_out_of(&self, mut failure: Failure) -> Failure {
        let shown = [Some(&mut failure.message), failure.body.as_mut(), failure.request_id.as_mut()];
        for text in shown.into_iter().flatten() {
            self.words().for_each(|secret| hide(text, secret));
        }
        failure
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        let secrets = self.0.iter().filter(|(_, text)| text.is_secret());
        // `Bearer` and the like are none.
        secrets.flat_map(|(_, text)| text.expose().split([' ', ';', ','])).filter(|word| word.len() >= LEAST)
    }
}

/// Masks every occurrence, and one that was cut at the end of the text, with or without dots to say so.
fn hide(text: &mut String, secret: &str) {
    if text.contains(secret) {
        *text = text.replace(secret, MASK);
    }
    let said = text.trim_end_matches('.');
    let ends = (LEAST..secret.len()).rev().filter_map(|length| secret.get(..length));
    if let Some(end) = ends.into_iter().find(|start| said.ends_with(start)) {
        text.truncate(said.len() - end.len());
        text.push_str(MASK);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::error::FailureClass;

    fn secrets(value: &str) -> Secrets {
        let headers = vec![("authorization".to_owned(), HeaderText::Secret(value.to_owned().into()))];
        Secrets::of(&HttpRequest {
            url: String::new(),
            headers: Arc::new(headers),
            body: Bytes::new(),
            allow_insecure: false,
            max_response_bytes: 1,
        })
    }

    fn hidden(value: &str, text: &str) -> String {
        secrets(value).taken_out_of(Failure::new(FailureClass::Auth, text)).message
    }

    #[test]
    fn words_that_are_no_keys_stay() {
        assert_eq!(hidden("Bearer none", "none of the Bearers"), "none of the Bearers");
        assert_eq!(hidden("", "nothing"), "nothing");
    }

    #[test]
    fn a_key_that_was_cut_is_masked_as_well() {
        assert_eq!(hidden("Bearer 0123456789abcdef", "got 0123456789abc..."), "got ***");
        assert_eq!(hidden("Bearer 0123456789abcdef", "got 01234567"), "got ***");
    }

    proptest! {
        #[test]
        fn no_text_shows_the_key(before in ".{0,20}", after in ".{0,20}", key in "[a-zA-Z0-9_-]{8,40}", most in 0_usize..90) {
            let mut body = format!("{before}{key}{after}{key}");
            crate::connections::cut(&mut body, most);
            let mut failure = Failure::new(FailureClass::Auth, format!("{before}{key}{after}"));
            failure.body = Some(body);
            let failure = secrets(&format!("Bearer {key}")).taken_out_of(failure);
            prop_assert!(!failure.message.contains(&key));
            prop_assert!(!failure.body.unwrap().contains(&key));
        }
    }
}
