//! Work that goes on after its call was cancelled, until a reply has named it.

use rmcp::model::CallToolResult;
use serde_json::Value;

use super::reply;
use crate::base::lock::Lock;

/// The jobs, operations and transfers that no reply has named since their calls were cancelled.
#[derive(Debug, Default)]
pub(super) struct Left(Lock<Vec<Work>>);

#[derive(Debug, PartialEq, Eq)]
struct Work {
    /// What `get_output` takes as `job_id`.
    name: String,
    is_code: bool,
}

impl Left {
    pub(super) fn note(&self, name: &str, is_code: bool) {
        let name = name.to_owned();
        let work = Work { name, is_code };
        let mut left = self.0.lock();
        if !left.contains(&work) {
            left.push(work);
        }
    }

    /// Names them in a reply that is sure to be sent. One that the reply is about needs no more words.
    pub(super) fn name_in(&self, result: &mut CallToolResult) {
        let left = std::mem::take(&mut *self.0.lock());
        if left.is_empty() {
            return;
        }
        let facts = reply::facts(result).map(serde_json::from_str::<Value>);
        let facts = facts.and_then(Result::ok).unwrap_or_default();
        let is_of = |work: &Work| {
            let names = ["job_id", "operation"].map(|key| facts[key].as_str());
            names.contains(&Some(&work.name))
        };
        let unnamed = left.iter().filter(|work| !is_of(work));
        let said: Vec<String> = unnamed.map(Work::sentence).collect();
        if !said.is_empty() {
            reply::note(result, "left_running", &said.join(" "));
        }
    }
}

impl Work {
    fn sentence(&self) -> String {
        let how_to_stop = if self.is_code {
            ", interrupt_execution stops it"
        } else {
            ""
        };
        format!(
            "{} was left running when its call was cancelled: get_output with that job_id follows it{how_to_stop}.",
            self.name
        )
    }
}
