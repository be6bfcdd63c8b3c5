//! One request's way in: past those who wait, the window or its ledger, and the slots; here and on the account below.

use std::sync::Arc;

use tokio::time::Instant;

use super::ledger::{Asked, Basis, Ledger, Remote};
use super::permit::{Held, Permit};
use super::tracker::State;
use super::turn::Turn;
use super::window::Room;
use super::{Limits, Tracker, Wait};

impl Tracker {
    pub(super) fn acquire(&self, tokens: u64, now: Instant, mut turn: Option<&mut Turn>) -> Result<Permit, Wait> {
        let mut own = self.lock();
        let below = own.below.clone();
        let mut account = below.as_ref().map(|below| (below, below.lock()));
        if let Some((below, account)) = &mut account
            && account.counter.room(tokens, below.since_origin(now)) == Room::Never
        {
            // Known at once, and not when there is room above.
            return Err(Wait::Never);
        }
        let basis = own.ledger.as_ref().map_or(Basis::Alone, |ledger| ledger.basis());
        self.admit(&mut own, basis, tokens, now, turn.as_deref_mut())?;
        if let Some((below, account)) = &mut account {
            below.admit(account, basis, tokens, now, turn.as_deref_mut())?;
        }
        let remote = match own.ledger.clone() {
            None => None,
            Some(ledger) => {
                let limits = own.counter.limits_at(self.since_origin(now));
                let below = account.as_mut().map(|(below, account)| account.counter.limits_at(below.since_origin(now)));
                self.take_from((ledger, basis), &mut own, (limits, below), tokens, now, turn)?
            }
        };
        let account = account.map(|(below, mut account)| below.take(&mut account, tokens, now));
        Ok(Permit::new(self.take(&mut own, tokens, now), account, remote))
    }

    /// Takes a request from the ledger, if there is any limit that it counts for.
    fn take_from(
        &self,
        (ledger, basis): (Arc<dyn Ledger>, Basis),
        state: &mut State,
        (limits, account): (Limits, Option<Limits>),
        tokens: u64,
        now: Instant,
        mut turn: Option<&mut Turn>,
    ) -> Result<Option<Box<Remote>>, Wait> {
        let account = account.unwrap_or_default();
        if limits == Limits::default() && account == Limits::default() {
            return Ok(None);
        }
        let waiting = turn.as_ref().map_or(1, |turn| turn.waiting.max(1));
        match ledger.take(Asked { tokens, waiting, limits, account }, basis, now) {
            Ok(receipt) => Ok(Some(Box::new(Remote { ledger, receipt }))),
            Err(wait) => {
                let has_ticket = turn.as_ref().is_some_and(|turn| turn.ticket.is_some());
                if let Some(turn) = turn.as_deref_mut().filter(|_| wait == Wait::Asked) {
                    turn.asked = Some(self.clone());
                } else if !has_ticket && state.tickets.is_empty() {
                    // It does not wait, and nobody else does.
                    ledger.leave();
                }
                self.keep_ticket(state, turn);
                Err(wait)
            }
        }
    }

    /// Whether a request may come in now. Takes nothing, but leaves the ticket of one that may not.
    fn admit(
        &self,
        state: &mut State,
        basis: Basis,
        tokens: u64,
        now: Instant,
        turn: Option<&mut Turn>,
    ) -> Result<(), Wait> {
        let max_concurrent = basis.of(state.counter.limits).unwrap_or(state.counter.limits).max_concurrent;
        let room = state.counter.room_by(basis, tokens, self.since_origin(now));
        if room == Room::Never || max_concurrent == Some(0) {
            return Err(Wait::Never);
        }
        let ticket = turn.as_ref().and_then(|turn| turn.ticket);
        let is_behind = state.tickets.first().is_some_and(|first| ticket.is_none_or(|own| *first < own));
        let wait = match room {
            _ if is_behind => {
                state.is_awaited = true;
                Wait::Release
            }
            Room::At(at) => Wait::Until(self.shared.origin + at),
            _ if max_concurrent.is_some_and(|max| state.in_flight >= max) => Wait::Release,
            _ => return Ok(()),
        };
        self.keep_ticket(state, turn);
        Err(wait)
    }

    /// Keeps the ticket of a request that was refused here.
    fn keep_ticket(&self, state: &mut State, turn: Option<&mut Turn>) {
        let ticket = turn.as_ref().and_then(|turn| turn.ticket);
        if let Some((turn, ticket)) = turn.zip(ticket) {
            if let Err(place) = state.tickets.binary_search(&ticket) {
                state.tickets.insert(place, ticket);
            }
            turn.note(self);
        }
    }

    /// Charges a request that was admitted.
    fn take(&self, state: &mut State, tokens: u64, now: Instant) -> Held {
        self.shared.view.spoil();
        state.in_flight += 1;
        Held { entry: state.counter.charge(tokens, self.since_origin(now)), tracker: self.clone() }
    }
}
