//! How long a machine of Colab has left, and when its user should hear of it.

use std::time::Duration;

use crate::base::lock::Lock;

/// Colab ends free machines after at most so long.
const MAX_AGE: Duration = Duration::from_secs(12 * 3600);
/// What is left at each warning.
const WARNINGS: [Duration; 3] = [
    Duration::from_secs(2 * 3600),
    Duration::from_secs(3600),
    Duration::from_secs(15 * 60),
];

/// Remembers which warnings were given.
#[derive(Debug, Default)]
pub struct Lifetime(Lock<Given>);

#[derive(Debug, Default)]
struct Given {
    age: Duration,
    warnings: usize,
}

impl Lifetime {
    /// Returns what a machine of this age may have left, once for each warning. A younger machine than the last one is another.
    pub fn warning(&self, age: Duration) -> Option<Duration> {
        let mut given = self.0.lock();
        let left = MAX_AGE.saturating_sub(age);
        let due = WARNINGS.iter().filter(|warning| left <= **warning).count();
        if age < given.age {
            given.warnings = 0;
        }
        given.age = age;
        let is_news = due > given.warnings;
        given.warnings = due;
        is_news.then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Lifetime;

    #[test]
    fn each_warning_is_given_once_to_each_machine() {
        let lifetime = Lifetime::default();
        let warning = |minutes: u64| {
            let left = lifetime.warning(Duration::from_secs(minutes * 60));
            left.map(|left| left.as_secs() / 60)
        };
        let ages = [60, 599, 601, 602, 661, 706, 719, 721];
        let said = [None, None, Some(119), None, Some(59), Some(14), None, None];
        assert_eq!(ages.map(warning), said);
        assert_eq!([5, 730, 731].map(warning), [None, Some(0), None]);
    }
}
