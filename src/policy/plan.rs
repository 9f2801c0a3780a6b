//! Plans: how often, and how many times at once, a key may ask.

use core::fmt;

/// The most plans of a config: each has its own metrics.
pub const PLANS_MAX: usize = 64;

/// The longest that a plan may take to give a whole burst back, in nanoseconds: a year.
pub const REFILL_NS_MAX: u64 = 366 * 86_400 * 1_000_000_000;

/// Whether a plan may be called so: `[A-Za-z0-9._-]{1,64}`.
pub fn is_plan_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// What a rate is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// `s`.
    Second,
    /// `m`.
    Minute,
    /// `h`.
    Hour,
    /// `d`.
    Day,
}

impl Period {
    /// Every period, the shortest first.
    pub const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::Hour, Self::Day];

    /// The letter behind the `/`.
    pub fn letter(self) -> char {
        match self {
            Self::Second => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
            Self::Day => 'd',
        }
    }

    /// Its length in nanoseconds.
    pub fn nanoseconds(self) -> u64 {
        1_000_000_000
            * match self {
                Self::Second => 1,
                Self::Minute => 60,
                Self::Hour => 3_600,
                Self::Day => 86_400,
            }
    }
}

/// So many in a period: `10/s`, `600/m`, `10000/h`, `100000/d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many; never 0, and no more than a million a second.
    count: u32,
    period: Period,
}

impl Rate {
    /// So many in `period`; `None` where that is none, or more than one in a microsecond.
    pub fn new(count: u32, period: Period) -> Option<Self> {
        let is_sane = count > 0 && u64::from(count) <= period.nanoseconds() / 1_000;
        is_sane.then_some(Self { count, period })
    }

    /// The rate written as `text`.
    pub fn parse(text: &str) -> Option<Self> {
        let (count, period) = text.split_once('/')?;
        let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        let period = Period::ALL.into_iter().find(|known| period.chars().eq([known.letter()]))?;
        Self::new(count.parse().ok().filter(|_| is_number)?, period)
    }

    /// How many in a period.
    pub fn count(self) -> u32 {
        self.count
    }

    /// The time between two of them in nanoseconds, rounded up, so that the rate is never exceeded: at most by a thousandth
    /// slower.
    pub fn interval_ns(self) -> u64 {
        self.period.nanoseconds().div_ceil(u64::from(self.count))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.count, self.period.letter())
    }
}

/// A rate, and how many may come at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    rate: Rate,
    burst: u32,
    interval_ns: u64,
}

impl Quota {
    /// `rate` with a burst of so many; `None`: as many as the rate has in its period. `Err` with the greatest burst there
    /// may be where this one is none or would take more than a year to come back.
    ///
    /// # Errors
    /// The greatest burst.
    pub fn new(rate: Rate, burst: Option<u32>) -> Result<Self, u32> {
        let interval_ns = rate.interval_ns();
        let most = u32::try_from(REFILL_NS_MAX / interval_ns).unwrap_or(u32::MAX);
        let burst = burst.unwrap_or(rate.count);
        if burst == 0 || burst > most {
            return Err(most);
        }
        Ok(Self { rate, burst, interval_ns })
    }

    /// The rate.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// How many may come at once after a pause; at least 1.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// The time between two requests at the rate, in nanoseconds.
    pub fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    /// The whole seconds in which a whole burst comes back.
    fn window_seconds(&self) -> u64 {
        let time = u128::from(self.rate.period.nanoseconds()) * u128::from(self.burst);
        let seconds = time.div_ceil(u128::from(self.rate.count) * 1_000_000_000);
        u64::try_from(seconds).unwrap_or(u64::MAX)
    }

    /// The time in which a whole burst comes back, in nanoseconds; at most [`REFILL_NS_MAX`].
    pub fn refill_ns(&self) -> u64 {
        self.interval_ns * u64::from(self.burst)
    }
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    name: Box<str>,
    index: PlanIndex,
    /// How often; `None`: as often as it likes.
    pub quota: Option<Quota>,
    /// How many requests at once; `None`: any number.
    pub concurrent: Option<u32>,
    policy_field: Box<str>,
}

impl Plan {
    /// The plan `name`.
    pub fn new(name: &str, quota: Option<Quota>, concurrent: Option<u32>) -> Self {
        let policy_field =
            quota.map(|quota| format!("\"{name}\";q={};w={}", quota.burst, quota.window_seconds()));
        Self {
            name: name.into(),
            index: PlanIndex(0),
            quota,
            concurrent,
            policy_field: policy_field.unwrap_or_default().into(),
        }
    }

    /// Its place among all plans.
    pub fn index(&self) -> PlanIndex {
        self.index
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers): the burst, and the seconds in which it comes
    /// back; empty where there is no rate.
    pub fn policy_field(&self) -> &str {
        &self.policy_field
    }

    /// What makes one plan stricter than another: the slower rate, then the smaller burst, then fewer at once.
    fn strictness(&self) -> (u64, u32, u32) {
        let interval = self.quota.map_or(0, |quota| quota.interval_ns());
        let burst = self.quota.map_or(u32::MAX, |quota| quota.burst);
        (u64::MAX - interval, burst, self.concurrent.unwrap_or(u32::MAX))
    }
}

impl fmt::Display for Plan {
    /// `10/s, 20 after a pause; 5 under way at once`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(quota) = &self.quota {
            write!(formatter, "{}, {} after a pause", quota.rate, quota.burst)?;
        }
        match (self.quota, self.concurrent) {
            (Some(_), Some(most)) => write!(formatter, "; {most} under way at once"),
            (None, Some(most)) => write!(formatter, "{most} under way at once"),
            (Some(_), None) => Ok(()),
            (None, None) => formatter.write_str("any number"),
        }
    }
}

/// One of the limits of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Requests in time.
    Rate,
    /// Requests at once.
    Concurrent,
}

impl Limit {
    /// Every limit.
    pub const ALL: [Self; 2] = [Self::Rate, Self::Concurrent];

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Concurrent => "concurrent",
        }
    }
}

/// The place of a plan among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlanIndex(u8);

/// All plans, and which one a key has that names none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plans {
    all: Vec<Plan>,
    default: Option<PlanIndex>,
    /// Every name is that of a plan, of which nothing else is known.
    knows_all: bool,
}

impl Plans {
    /// These plans, and the default one by its name. What exceeds [`PLANS_MAX`] is left out.
    pub fn new(mut plans: Vec<Plan>, default: Option<&str>) -> Self {
        plans.truncate(PLANS_MAX);
        plans.iter_mut().zip(0..).for_each(|(plan, at)| plan.index = PlanIndex(at));
        let all = Self { all: plans, default: None, knows_all: false };
        let default = default.and_then(|name| all.index_of(name));
        Self { default, ..all }
    }

    /// Where no config says which there are: any name may be one.
    pub fn unknown() -> Self {
        Self { knows_all: true, ..Self::default() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The plans in the order of the config.
    pub fn iter(&self) -> impl Iterator<Item = &Plan> {
        self.all.iter()
    }

    /// The plan at `index`.
    pub fn get(&self, index: PlanIndex) -> Option<&Plan> {
        self.all.get(usize::from(index.0))
    }

    /// The place of the plan `name`.
    pub fn index_of(&self, name: &str) -> Option<PlanIndex> {
        self.all.iter().find(|plan| plan.name() == name).map(Plan::index)
    }

    /// Whether a key may name the plan `name`.
    pub fn is_known(&self, name: &str) -> bool {
        self.knows_all || self.index_of(name).is_some()
    }

    /// The plan of a key that names none.
    pub fn default_plan(&self) -> Option<PlanIndex> {
        self.default
    }

    /// The plan that allows least.
    pub fn strictest(&self) -> Option<PlanIndex> {
        self.all.iter().min_by_key(|plan| plan.strictness()).map(Plan::index)
    }
}

impl PlanIndex {
    /// The place as a number, to index what is kept for each plan.
    pub fn as_usize(self) -> usize {
        usize::from(self.0)
    }

    /// The place as a number.
    pub fn as_u8(self) -> u8 {
        self.0
    }

    /// The place with this number; perhaps of no plan.
    pub fn from_u8(at: u8) -> Self {
        Self(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for text in ["1/s", "10/s", "600/m", "10000/h", "1/d", "1000000/s", "4000000000/d"] {
            assert_eq!(Rate::parse(text).unwrap().to_string(), text);
        }
        for text in
            ["", "10", "/s", "0/s", "10/x", "10/sec", "10 / s", "+1/s", "1.5/s", "1000001/s", "4294967296/d"]
        {
            assert_eq!(Rate::parse(text), None, "{text}");
        }
        assert_eq!(Rate::parse("300/s").unwrap().interval_ns(), 3_333_334);
        assert_eq!(Rate::parse("10000/h").unwrap().interval_ns(), 360_000_000);
    }

    #[test]
    fn a_burst_is_that_of_the_period_and_comes_back_within_a_year() {
        let quota = |rate: &str, burst| Quota::new(Rate::parse(rate).unwrap(), burst);
        assert_eq!(quota("600/m", None).unwrap().burst(), 600);
        assert_eq!(quota("10/s", Some(20)).unwrap().refill_ns(), 2_000_000_000);
        assert_eq!(quota("10/s", Some(0)), Err(316_224_000));
        assert_eq!(quota("1/d", Some(367)), Err(366));
        assert_eq!(quota("1/d", Some(366)).unwrap().refill_ns(), REFILL_NS_MAX);
    }

    #[test]
    fn the_policy_field_says_the_burst_and_when_it_is_back() {
        let field = |rate: &str, burst| {
            let quota = Quota::new(Rate::parse(rate).unwrap(), burst).unwrap();
            Plan::new("free", Some(quota), None).policy_field().to_owned()
        };
        assert_eq!(field("10/s", Some(20)), "\"free\";q=20;w=2");
        assert_eq!(field("10000/h", None), "\"free\";q=10000;w=3600");
        assert_eq!(field("600/m", Some(1)), "\"free\";q=1;w=1");
        assert_eq!(field("300/s", None), "\"free\";q=300;w=1");
        assert_eq!(Plan::new("free", None, Some(3)).policy_field(), "");
    }

    #[test]
    fn the_strictest_plan_has_the_slowest_rate_then_the_smallest_burst() {
        let quota = |rate: &str, burst| Some(Quota::new(Rate::parse(rate).unwrap(), burst).unwrap());
        let plans = |plans: Vec<Plan>| Plans::new(plans, None);
        let all = plans(vec![
            Plan::new("wide", None, None),
            Plan::new("few", None, Some(2)),
            Plan::new("pro", quota("300/s", None), None),
            Plan::new("free", quota("10/s", Some(20)), None),
            Plan::new("trial", quota("10/s", Some(5)), Some(9)),
        ]);
        assert_eq!(all.strictest(), all.index_of("trial"));
        let two = plans(vec![Plan::new("wide", None, None), Plan::new("few", None, Some(2))]);
        assert_eq!(two.strictest(), two.index_of("few"));
        assert_eq!(Plans::default().strictest(), None);
        assert!(Plans::unknown().is_known("anything") && !all.is_known("gold"));
        assert_eq!(
            Plans::new(vec![Plan::new("a", None, None)], Some("a")).default_plan().unwrap().as_usize(),
            0
        );
    }
}
