//! When a machine that bills is to end, by the word of its user.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::env::{self, Env};

/// A machine ends at the first of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Since it was asked for.
    pub hours: Option<f64>,
    /// Compute units.
    pub units: Option<f64>,
}

impl Limits {
    pub(super) fn read(env: &Env) -> Result<Self, String> {
        let read = |name| {
            let number = env.get(name).map(amount).transpose();
            number.map_err(|fault| format!("{name} {fault}"))
        };
        Ok(Self {
            hours: read(env::MAX_HOURS)?,
            units: read(env::MAX_UNITS)?,
        })
    }

    /// These, or the others where there are none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            hours: self.hours.or(other.hours),
            units: self.units.or(other.units),
        }
    }

    /// The stricter of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let least = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self {
            hours: least(self.hours, other.hours),
            units: least(self.units, other.units),
        }
    }

    #[must_use]
    pub fn is_none(&self) -> bool {
        self.hours.is_none() && self.units.is_none()
    }
}

impl Display for Limits {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.hours, self.units) {
            (Some(hours), Some(units)) => write!(f, "{hours} h or {units} compute units"),
            (Some(hours), None) => write!(f, "{hours} h"),
            (None, Some(units)) => write!(f, "{units} compute units"),
            (None, None) => f.write_str("no limit"),
        }
    }
}

/// Reads hours or compute units: a number above 0.
///
/// # Errors
/// The rest of a sentence about the text.
pub fn amount(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let number = number.filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("is {text:?}: it must be a number above 0"))
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn of_two_limits_the_stricter_counts() {
        let limits = |hours, units| Limits { hours, units };
        let both = limits(Some(2.0), None).and(limits(Some(1.5), Some(8.0)));
        assert_eq!(both, limits(Some(1.5), Some(8.0)));
        assert_eq!(both.to_string(), "1.5 h or 8 compute units");
        assert_eq!(
            limits(Some(3.0), None).or(both),
            limits(Some(3.0), Some(8.0))
        );
    }
}
