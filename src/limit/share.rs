//! What part of a limit one replica of a fleet may use, and how replicas divide a limit by what each is asked for. Pure.

/// The parts of a whole: so many that up to sixteen replicas divide it without a rest.
const PARTS: u32 = 720_720;

/// A part of a whole; never nothing, so that no replica refuses everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self(PARTS);

    /// So many parts of so many, rounded down.
    pub fn of(parts: u32, of: u32) -> Self {
        let parts = u64::from(PARTS) * u64::from(parts) / u64::from(of.max(1));
        Self::from_parts(u32::try_from(parts).unwrap_or(u32::MAX))
    }

    /// So many of 720,720 parts, as far as there are.
    pub fn from_parts(parts: u32) -> Self {
        Self(parts.clamp(1, PARTS))
    }

    /// How many of 720,720 parts; at least 1.
    pub fn parts(self) -> u32 {
        self.0
    }

    /// The part that is a number from 0 to 1, rounded down.
    pub fn of_fraction(fraction: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
        let parts = (fraction.clamp(0.0, 1.0) * f64::from(PARTS) + 1e-6) as u32;
        Self::from_parts(parts)
    }

    /// As a number from 0 to 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(PARTS)
    }

    /// `time` made longer by as much as this is less than the whole. Cost: nothing for the whole.
    pub fn stretch(self, time: u64) -> u64 {
        if self == Self::WHOLE {
            return time;
        }
        let stretched = u128::from(time) * u128::from(PARTS) / u128::from(self.0);
        u64::try_from(stretched).unwrap_or(u64::MAX).min(u64::MAX / 4)
    }

    /// This part of `number`, rounded down, but 1 at least.
    pub fn of_number(self, number: u32) -> u32 {
        let part = u64::from(number) * u64::from(self.0) / u64::from(PARTS);
        u32::try_from(part).unwrap_or(u32::MAX).max(1)
    }
}

/// What a replica says of one limit of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// What it is asked for, in millionths of the limit; may be more than all.
    pub demand: u32,
    /// What it takes.
    pub share: Share,
}

/// What is kept for replicas that are asked for nothing, all of them together: so that each can begin at once.
const KEPT: f64 = 0.05;

/// A replica that is asked for less than this part of an equal share does not tell of it.
const TOLD: f64 = 0.5;

/// So much more than it was asked for a replica gets where there is room: demand is never even.
const HEADROOM: f64 = 1.1;

impl Claim {
    /// Of a replica that says nothing: it is asked for little, and takes an equal share.
    pub fn unsaid(replicas: usize) -> Self {
        Self { demand: 0, share: equal(replicas) }
    }

    /// Whether among so many replicas anybody has to know of it.
    pub fn is_worth_telling(self, replicas: usize) -> bool {
        f64::from(self.demand) / 1e6 >= TOLD * equal(replicas).fraction()
    }
}

/// The share of each of so many replicas where nobody is asked for more than others.
pub fn equal(replicas: usize) -> Share {
    Share::of(1, u32::try_from(replicas).unwrap_or(u32::MAX))
}

/// What a replica shall take of a limit from now on that is asked for `demand`, where the `others` say this: its part of the
/// limit by what all are asked for, but no more than the others leave. So all together never take more than the whole, if each
/// has its turn; only a replica that is new to the others has a little more.
pub fn claim(demand: u32, others: &[Claim]) -> Share {
    let replicas = others.len() + 1;
    let is_told = |claim: &Claim| claim.is_worth_telling(replicas);
    let mine = Claim { demand, share: equal(replicas) };
    let part = if is_told(&mine) || others.iter().any(is_told) {
        part(demand, others)
    } else {
        equal(replicas).fraction()
    };
    let left = 1.0 - others.iter().map(|other| other.share.fraction()).sum::<f64>();
    Share::of_fraction(part.min(left).max(least(replicas)))
}

/// What every replica has at least.
fn least(replicas: usize) -> f64 {
    KEPT * equal(replicas).fraction()
}

/// A replica's part of a limit by demand: nobody gets more than asked for (and a little) before everybody has that; what is
/// left then is for all alike.
fn part(demand: u32, others: &[Claim]) -> f64 {
    let replicas = others.len() + 1;
    let least = least(replicas);
    let wanted = |demand: u32| (HEADROOM * f64::from(demand) / 1e6 - least).clamp(0.0, 1.0);
    let mine = wanted(demand);
    let mut all: Vec<f64> = others.iter().map(|other| wanted(other.demand)).chain([mine]).collect();
    all.sort_by(f64::total_cmp);
    let mut left = 1.0 - KEPT;
    let mut waiting = f64::from(u32::try_from(replicas).unwrap_or(u32::MAX));
    for wanted in all {
        let level = left / waiting;
        if wanted > level {
            // Whoever wants more than this gets as much as all others who do.
            return least + mine.min(level);
        }
        left -= wanted;
        waiting -= 1.0;
    }
    least + mine + left * equal(replicas).fraction()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claims(demands: &[u32], shares: &[Share]) -> Vec<Claim> {
        demands.iter().zip(shares).map(|(demand, share)| Claim { demand: *demand, share: *share }).collect()
    }

    /// One turn of the replica `at`.
    fn turn(at: usize, demands: &[u32], shares: &mut [Share]) {
        let mut others = claims(demands, shares);
        others.remove(at);
        shares[at] = claim(demands[at], &others);
    }

    fn total(shares: &[Share]) -> f64 {
        shares.iter().map(|share| share.fraction()).sum()
    }

    /// What is admitted of these demands, as part of the limit.
    fn admitted(demands: &[u32], shares: &[Share]) -> f64 {
        let admitted = |(demand, share): (&u32, &Share)| (f64::from(*demand) / 1e6).min(share.fraction());
        demands.iter().zip(shares).map(admitted).sum()
    }

    #[test]
    fn uneven_load_has_nearly_the_whole_after_two_turns_of_each() {
        for demands in [
            [2_000_000, 0, 0],
            [1_700_000, 170_000, 0],
            [900_000, 900_000, 0],
            [1_000_000, 1_000_000, 1_000_000],
            [800_000, 150_000, 50_000],
            [50_000, 20_000, 10_000],
        ] {
            let mut shares = [equal(3); 3];
            for at in [0, 1, 2, 0, 1, 2] {
                turn(at, &demands, &mut shares);
                assert!(total(&shares) <= 1.0, "{demands:?} {shares:?}");
            }
            let possible = demands.iter().map(|demand| f64::from(*demand) / 1e6).sum::<f64>().min(1.0);
            assert!(admitted(&demands, &shares) >= 0.95 * possible, "{demands:?} {shares:?}");
        }
    }

    #[test]
    fn what_nobody_asks_for_is_shared_alike_again() {
        let mut shares = [Share::of(96, 100), Share::of(2, 100), Share::of(2, 100)];
        for at in [1, 2, 0, 1, 2, 0] {
            turn(at, &[0, 0, 0], &mut shares);
        }
        assert_eq!(shares, [equal(3); 3]);
    }

    #[test]
    fn a_replica_that_is_new_has_at_least_a_little() {
        let others = [Claim { demand: 2_000_000, share: Share::WHOLE }];
        assert_eq!(claim(2_000_000, &others), Share::of(25, 1_000));
    }

    proptest! {
        /// In whatever order replicas have their turns, and however demand moves: never more than the whole.
        #[test]
        fn all_together_never_take_more_than_the_whole(
            replicas in 1..8usize,
            steps in prop::collection::vec((0..8usize, 0..3_000_000u32), 1..60),
        ) {
            let mut shares = vec![equal(replicas); replicas];
            let mut demands = vec![0; replicas];
            for (at, demand) in steps {
                let at = at % replicas;
                demands[at] = demand;
                turn(at, &demands, &mut shares);
                prop_assert!(total(&shares) <= 1.0 + 1e-9, "{:?}", shares);
            }
        }

        /// Once demand stands still, two turns of each use at least nine tenths of what can be used.
        #[test]
        fn what_can_be_used_is_used(demands in prop::collection::vec(0..3_000_000u32, 1..8)) {
            let mut shares = vec![equal(demands.len()); demands.len()];
            for at in (0..demands.len()).chain(0..demands.len()).chain(0..demands.len()) {
                turn(at, &demands, &mut shares);
            }
            let possible = demands.iter().map(|demand| f64::from(*demand) / 1e6).sum::<f64>().min(1.0);
            prop_assert!(admitted(&demands, &shares) >= 0.9 * possible, "{:?}", shares);
        }

        #[test]
        fn a_share_of_a_number_is_never_nothing(parts in 0..2_000_000u32, number in 1..u32::MAX, time in 1..u64::MAX / 8) {
            let share = Share::from_parts(parts);
            prop_assert!((1..=number).contains(&share.of_number(number)));
            prop_assert!(share.stretch(time) >= time);
        }
    }
}
