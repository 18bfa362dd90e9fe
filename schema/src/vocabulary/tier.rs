//! How much harm an action can do.

use super::word::words;

words! {
    /// How much harm an action can do, from the least.
    Tier, "tier":
    /// None.
    Safe = "safe",
    /// Little, and it can be undone.
    Low = "low",
    /// What is not known to be less.
    Medium = "medium",
    /// Much.
    High = "high",
    /// What cannot be undone: no grant lets it through, and who approves it says why.
    Critical = "critical",
}

impl Tier {
    /// Its number, 0 to 4.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The tier of that number.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_is_its_number() {
        for (number, tier) in (0..).zip(Tier::ALL) {
            assert_eq!((tier.number(), Tier::of_number(number)), (number, Some(*tier)));
        }
        assert_eq!(Tier::of_number(5), None);
        assert!(Tier::Low < Tier::Critical);
    }
}
