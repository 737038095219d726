//! Machines of Colab that were assigned from here: one that is forgotten costs compute units.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::timeout;

use super::check::Check;
use crate::base::advice::Step;
use crate::base::fault::Fault as _;
use crate::colab::{ColabError, Kept, Machine, Machines};
use crate::edge::pairing::Saved;
use crate::edge::settings::{Endpoint, Kind, Settings, Target};
use crate::render::rows::short_time;

const NAME: &str = "colab_machines";
/// For Colab to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// A check for each machine that is recorded. Only the records of machines make this ask Google.
pub(super) async fn checks(settings: &Settings, saved: Option<&Option<Saved>>) -> Vec<Check> {
    let machines = Machines::new(&settings.data_dir);
    let (records, unreadable) = match (machines.all(), machines.unreadable()) {
        (Ok(records), Ok(unreadable)) => (records, unreadable),
        (Err(error), _) | (_, Err(error)) => return vec![Check::fault(NAME, &error)],
    };
    let saved = saved.and_then(Option::as_ref).map(|saved| &saved.endpoint);
    let current = match &settings.target {
        Target::Remote(endpoint) => Some(endpoint),
        Target::NotConfigured => saved,
        Target::Local | Target::RunningJupyter(_) => None,
    };
    let looks = records.iter().map(async |kept| {
        let looking = timeout(ANSWER_TIMEOUT, look(kept, settings));
        let late = || ColabError::TimedOut("Colab".to_owned());
        let found = looking.await.unwrap_or_else(|_| Err(late()));
        of_machine(kept, found, current)
    });
    let mut checks = join_all(looks).await;
    checks.extend(unreadable.iter().map(|path| {
        let seen = format!(
            "{} cannot be read, and its machine may be assigned",
            path.display()
        );
        let remedy = "Look under \"Manage sessions\" in Colab, then delete the file.";
        Check::warning(NAME, seen, remedy)
    }));
    if checks.is_empty() {
        checks.push(Check::ok(NAME, "none is assigned from here"));
    }
    checks
}

async fn look(kept: &Kept, settings: &Settings) -> Result<Option<Machine>, ColabError> {
    let plane = kept.plane(&settings.data_dir)?;
    match &kept.endpoint {
        Some(name) => plane.reach(name).await,
        None => plane.find(&kept.wanted, &kept.key).await,
    }
}

fn of_machine(
    kept: &Kept,
    found: Result<Option<Machine>, ColabError>,
    current: Option<&Endpoint>,
) -> Check {
    let now = Timestamp::now();
    let since = short_time(&kept.asked_at, now);
    let asked = kept.wanted.to_string();
    let name = kept.endpoint.as_ref().unwrap_or(&asked);
    let machine = match found {
        Ok(Some(machine)) => machine.endpoint,
        Ok(None) => return Check::ok(NAME, format!("{name} is no longer assigned")),
        Err(error) => {
            let seen = format!("{name}, asked for at {since} (UTC), may be assigned: {error}");
            return Check::warning(NAME, seen, error.remedy());
        }
    };
    let end = match kept.ends_at() {
        Some(end) => format!(
            "is given back at {} (UTC) if smart-colab runs then",
            short_time(&end.to_string(), now)
        ),
        None => "has no limit".to_owned(),
    };
    let seen = format!("{machine} is assigned since {since} (UTC), costs compute units, and {end}");
    let is_current =
        |endpoint: &Endpoint| endpoint.kind == Kind::Machine && endpoint.machine_name() == machine;
    match current.is_some_and(is_current) {
        true => Check::ok(NAME, format!("{seen}; code runs there")),
        false => Check::warning(NAME, seen, Step::ListMachines),
    }
}
