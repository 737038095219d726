//! A machine's record.

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::ColabError;
use super::plane::{Plane, Wanted};
use crate::edge::google::Google;
use crate::edge::limits::Limits;

/// Colab ends every machine after 24 hours.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(25);
/// Characters of a key.
const KEY_CHARS: usize = 44;
const SEC_PER_HOUR: f64 = 3600.0;

/// What is known of a machine that this computer has asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Under which Colab assigns it, once.
    pub key: String,
    pub wanted: Wanted,
    /// Its name at Colab; none if its assignment was not answered yet.
    pub endpoint: Option<String>,
    /// RFC 3339, in UTC.
    pub asked_at: String,
    /// Whose machine it is.
    pub account: Google,
    /// When it is to end.
    #[serde(default)]
    pub limits: Limits,
    /// Compute units an hour that the account's other machines cost, if its own cost has a limit.
    #[serde(default)]
    pub others_rate: f64,
    /// Compute units an hour that it is reckoned with, once Colab has named a rate.
    #[serde(default)]
    pub rate: Option<f64>,
    /// Whether the account's rate has risen since it was asked for: until then `rate` is that of all its machines, and may not have this one in it.
    #[serde(default)]
    pub is_rate_own: bool,
}

impl Kept {
    /// Of a machine that is about to be asked for.
    pub(super) fn new(wanted: Wanted, account: Google, limits: Limits) -> Self {
        Self {
            key: fresh_key(),
            wanted,
            endpoint: None,
            asked_at: Timestamp::now().to_string(),
            account,
            limits,
            others_rate: 0.0,
            rate: None,
            is_rate_own: false,
        }
    }

    /// Whether no machine lives as long. One that is not listed before may be another account's.
    pub(super) fn is_old(&self) -> bool {
        let asked_at: Result<Timestamp, _> = self.asked_at.parse();
        asked_at.is_ok_and(|asked_at| Timestamp::now().duration_since(asked_at) > LONGEST_LIFE)
    }

    /// Whether its cost has a limit and is not known yet.
    pub(super) fn lacks_rate(&self) -> bool {
        self.limits.units.is_some() && !self.is_rate_own
    }

    /// Notes what all of the account's machines cost an hour now, and returns whether that changes anything. Colab may report it late.
    pub(super) fn learn_rate(&mut self, all: f64) -> bool {
        let own = all - self.others_rate;
        let (rate, is_own) = match own > 0.0 {
            true => (Some(own), true),
            // Others may have ended since: better too much than too little.
            false if all > 0.0 => (Some(all), false),
            false => (self.rate, false),
        };
        let is_new = (rate, is_own) != (self.rate, self.is_rate_own);
        (self.rate, self.is_rate_own) = (rate, is_own);
        is_new
    }

    /// When it is to end by its limits, as far as they are known.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        let by_cost = self.limits.units.zip(self.rate);
        let by_cost = by_cost.map(|(units, rate)| units / rate);
        let hours = self.limits.hours.into_iter().chain(by_cost);
        let hours = hours.min_by(f64::total_cmp)?;
        let age = SignedDuration::try_from_secs_f64(hours * SEC_PER_HOUR).ok()?;
        let asked_at: Timestamp = self.asked_at.parse().ok()?;
        asked_at.checked_add(age).ok()
    }

    /// What can be asked of Colab for the account that has the machine.
    ///
    /// # Errors
    /// As [`super::plane`].
    pub fn plane(&self, data_dir: &Path) -> Result<Arc<dyn Plane>, ColabError> {
        super::plane(&self.account, data_dir)
    }
}

/// The form of Colab's notebook hashes.
fn fresh_key() -> String {
    let id = Uuid::new_v4().to_string().replace('-', "_");
    format!("{id:.<KEY_CHARS$}")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{Kept, fresh_key};
    use crate::colab::Wanted;
    use crate::edge::google::Google;
    use crate::edge::limits::Limits;

    #[test]
    fn a_key_has_the_form_of_colabs() {
        let key = fresh_key();
        assert_eq!((key.len(), key.matches('_').count()), (44, 4));
        assert!(key.ends_with("........"), "{key}");
    }

    #[test]
    fn a_machine_ends_at_its_age_or_at_its_cost_whichever_comes_first() {
        let limits = |hours, units| Limits { hours, units };
        let mut kept = Kept::new(Wanted::default(), Google::default(), limits(None, None));
        let asked_at: Timestamp = kept.asked_at.parse().unwrap();
        let minutes = |kept: &Kept| {
            let ends_at = kept.ends_at()?;
            Some(ends_at.duration_since(asked_at).as_secs() / 60)
        };
        assert_eq!(minutes(&kept), None);
        kept.limits = limits(Some(2.0), Some(0.5));
        assert_eq!(minutes(&kept), Some(120), "the cost is not known yet");
        kept.rate = Some(1.0);
        assert_eq!(minutes(&kept), Some(30));
        kept.limits = limits(None, Some(0.5));
        kept.rate = Some(0.0);
        assert_eq!(minutes(&kept), None, "it costs nothing");
    }

    #[test]
    fn a_rate_is_the_machines_own_once_the_accounts_has_risen() {
        let limits = Limits {
            hours: None,
            units: Some(5.37),
        };
        let mut kept = Kept::new(Wanted::default(), Google::default(), limits);
        kept.others_rate = 1.18;
        for (all, rate, is_own) in [
            (0.0, None, false),
            // The others' alone, so far as can be seen; or its own, and they have ended.
            (1.18, Some(1.18), false),
            (0.5, Some(0.5), false),
            (0.0, Some(0.5), false),
            (6.55, Some(5.37), true),
        ] {
            assert!(kept.lacks_rate(), "{all}");
            let before = kept.rate;
            assert_eq!(kept.learn_rate(all), before != rate, "{all}");
            assert_eq!(kept.rate.map(|rate| (rate * 100.0).round() / 100.0), rate);
            assert_eq!(kept.is_rate_own, is_own, "{all}");
        }
        assert!(!kept.lacks_rate());
    }
}
