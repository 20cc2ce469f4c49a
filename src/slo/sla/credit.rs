//! What a breach is worth.

use serde::{Deserialize, Serialize};

use crate::slo::decimal::Decimal;
use crate::slo::definition::{Credit, Tier};
use crate::slo::fraction::Fraction;
use crate::slo::sum::Sum;

/// What is owed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Due {
    /// The time that was lost.
    LostTime {
        /// In minutes; `null` where it is not known how long a bad event or slice lasted.
        minutes: Option<f64>,
    },
    /// A share of the price.
    Tiers {
        /// In percent.
        percent: Decimal,
    },
}

/// What is owed for so many bad of so many counted ones. The lost time is owed for a breach; tiers say on their own
/// from where on.
pub(super) fn due(
    credit: &Credit,
    met: bool,
    (bad, counted): (&Sum, &Sum),
    lost_minutes: Option<f64>,
) -> Option<Due> {
    match credit {
        Credit::None => None,
        Credit::LostTime if met => Some(Due::LostTime { minutes: Some(0.0) }),
        Credit::LostTime => Some(Due::LostTime { minutes: lost_minutes }),
        Credit::Tiers(tiers) => Some(Due::Tiers { percent: percent(tiers, bad, counted) }),
    }
}

/// The percent of the lowest tier that the SLI is below; 0 when it is below none, or nothing was counted.
#[must_use]
pub fn percent(tiers: &[Tier], bad: &Sum, counted: &Sum) -> Decimal {
    let Some(share) = Fraction::from(bad).over(&Fraction::from(counted)) else {
        return Decimal::ZERO;
    };
    let sli = share.rest();
    let below = |tier: &&Tier| sli < Fraction::from(tier.below);
    let lowest = tiers.iter().filter(below).min_by_key(|tier| tier.below);
    lowest.map_or(Decimal::ZERO, |tier| tier.percent)
}
