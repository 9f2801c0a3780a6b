//! The assertions of one worker: each is signed once and sent for up to half its lifetime.
//!
//! What is kept is identity, never a verdict: every request is judged before anything is looked up here. It is found by
//! key, upstream and project, and forgotten as a whole when another snapshot or config comes into force, so that no
//! word of a person who has changed goes on.

use std::{hash::BuildHasher as _, hash::RandomState, sync::Arc};

use jiff::Timestamp;

use crate::{
    assertion::{Assertion, NotAsserted, Subject},
    gate::Denial,
    live::Published,
    policy::{decide::Permit, principal::KeyIdText, reason::Reason},
};

/// Assertions that a worker keeps; a new one takes the place of another where there is no room. At the most 8 KiB each.
const KEPT_MAX: usize = 2048;

/// What one worker has signed.
#[derive(Debug, Default)]
pub(super) struct AssertionCache {
    /// What they were signed of.
    published: Option<Arc<Published>>,
    /// Places by hash; nothing until the first is signed.
    kept: Vec<Option<Box<Kept>>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Kept {
    key: KeyIdText,
    upstream: usize,
    project: Option<Box<str>>,
    assertion: Assertion,
}

impl AssertionCache {
    /// The assertion by which the upstream of a permitted request is told who asks; `None`: nothing is asserted to it, or
    /// nobody asks. `ends_at`: when the secret of the key stops working.
    ///
    /// Cost: one look-up without heap memory where it was signed before, else one signature, some ten microseconds.
    ///
    /// # Errors
    /// Where it would be too large for a header, or cannot be signed: then the request must not go on without.
    pub(super) fn token(
        &mut self,
        published: &Arc<Published>,
        permit: &Permit<'_, '_>,
        ends_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<&str>, Denial<'static>> {
        let config = &published.config;
        let (Some(assertions), Some(principal)) = (&config.assertions, permit.principal()) else {
            return Ok(None);
        };
        let upstream = config.forwardings[permit.route().forwarding].upstream;
        let Some(audience) = assertions.audience(upstream) else { return Ok(None) };
        let (key, project) = (principal.key_id, permit.project());
        let place = self.place(published, (&key, upstream, project));
        let kept = place.take().filter(|kept| kept.is_for(key, upstream, project) && kept.is_fresh(now));
        let kept = if let Some(kept) = kept {
            kept
        } else {
            let subject = Subject { principal, scopes: &config.policy.scopes, project, ends_at };
            let assertion = assertions.assert(audience, &subject, now).map_err(denial)?;
            Box::new(Kept { key, upstream, project: project.map(Into::into), assertion })
        };
        Ok(Some(&place.insert(kept).assertion.token))
    }

    /// Where an assertion of what is `published` is kept.
    fn place(
        &mut self,
        published: &Arc<Published>,
        what: (&KeyIdText, usize, Option<&str>),
    ) -> &mut Option<Box<Kept>> {
        if !self.published.as_ref().is_some_and(|of| Arc::ptr_eq(of, published)) {
            self.kept.clear();
            self.kept.resize_with(KEPT_MAX, || None);
            self.published = Some(Arc::clone(published));
        }
        let hash = self.hasher.hash_one(what);
        // Less than the number of places, so that nothing is lost.
        let at = usize::try_from(hash % KEPT_MAX as u64).unwrap_or(0);
        &mut self.kept[at]
    }
}

impl Kept {
    fn is_for(&self, key: KeyIdText, upstream: usize, project: Option<&str>) -> bool {
        self.key == key && self.upstream == upstream && self.project.as_deref() == project
    }

    /// Whether it may be sent at `now`: not before it was signed either, where the clock was set back.
    fn is_fresh(&self, now: Timestamp) -> bool {
        (self.assertion.signed_at..self.assertion.renew_at).contains(&now.as_second())
    }
}

fn denial(why: NotAsserted) -> Denial<'static> {
    match why {
        NotAsserted::TooLarge => Denial::outside_table(
            Reason::HeadersTooLarge,
            "What the API key stands for is more than fits in a header.",
        ),
        NotAsserted::Unsigned => Denial::outside_table(Reason::Internal, "The request cannot be forwarded."),
    }
}
