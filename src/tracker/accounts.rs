//! The windows of accounts that deployments share: whoever names the same account in this process charges the same one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::{Limits, Tracker};

/// Hash of what makes an account that account.
pub type Identity = [u8; 32];

/// By identity. Kept here as long as anybody else holds it, or it holds anything of the last 60 s: an account whose last
/// router goes and comes back has still spent what it spent.
static ACCOUNTS: Mutex<Option<HashMap<Identity, Tracker>>> = Mutex::new(None);

/// The window of an account, with these limits from now on for everyone who holds it. `identity` is a cryptographic hash
/// of what makes it that account, e.g. base URL and key; never a key itself.
#[must_use]
pub fn account(identity: Identity, limits: Limits) -> Tracker {
    let tracker = {
        let mut accounts = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        let accounts = accounts.get_or_insert_default();
        let now = Instant::now();
        accounts.retain(|known, tracker| *known == identity || !tracker.is_forgotten(now));
        accounts.entry(identity).or_insert_with(|| Tracker::new(limits)).clone()
    };
    if tracker.limits() != limits {
        tracker.set_limits(limits);
    }
    tracker
}

/// Lets the private window of a provider go on where that of the provider before it of the same name was: adding one
/// again does not give it a new minute. Windows of accounts that others may share go their own way.
pub(crate) fn go_on(old: &Tracker, new: &Tracker) {
    let accounts = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_shared = |tracker: &Tracker| accounts.iter().flat_map(HashMap::values).any(|known| known.is_same(tracker));
    if !is_shared(old) && !is_shared(new) && !old.is_same(new) {
        new.go_on_from(old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::window::PERIOD;

    const TWO: Limits = Limits { rpm: Some(2), tpm: None, max_concurrent: None };

    #[tokio::test(start_paused = true)]
    async fn who_names_the_same_account_charges_the_same_window_and_nobody_else_does() {
        let (one, same, other) = (account([1; 32], TWO), account([1; 32], TWO), account([2; 32], TWO));
        let now = Instant::now();
        for tracker in [&one, &same] {
            tracker.acquire_detached(0, now).unwrap();
        }
        assert!(one.acquire_detached(0, now).is_err() && other.acquire_detached(0, now).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_everyone_let_go_has_still_spent_what_it_spent() {
        account([3; 32], TWO).acquire_detached(0, Instant::now()).unwrap();
        let again = account([3; 32], TWO);
        assert_eq!(again.spent(Instant::now()).requests, 1);
        drop(again);
        tokio::time::advance(PERIOD).await;
        let _other = account([4; 32], TWO);
        let accounts = ACCOUNTS.lock().unwrap();
        assert!(!accounts.as_ref().unwrap().contains_key(&[3; 32]), "nothing is kept for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn the_limits_that_were_named_last_hold_for_everyone() {
        let one = account([5; 32], TWO);
        let _same = account([5; 32], Limits { rpm: Some(1), ..TWO });
        assert_eq!(one.limits().rpm, Some(1));
    }
}
