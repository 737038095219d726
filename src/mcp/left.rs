//! Work that goes on after its call was cancelled, until a reply has named it.

use rmcp::model::CallToolResult;
use serde_json::Value;

use super::reply;
use crate::base::lock::Lock;

/// Named in one reply, at most.
const MAX_NAMED: usize = 10;

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
        let unnamed: Vec<&Work> = left.iter().filter(|work| !is_of(work)).collect();
        if !unnamed.is_empty() {
            reply::note(result, "left_running", &sentence(&unnamed));
        }
    }
}

fn sentence(left: &[&Work]) -> String {
    let names: Vec<&str> = left.iter().map(|work| work.name.as_str()).collect();
    let more = match names.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more (list_jobs shows them)"),
    };
    let names = names[..names.len().min(MAX_NAMED)].join(", ");
    let how_to_stop = match left.iter().any(|work| work.is_code) {
        true => ", interrupt_execution stops code",
        false => "",
    };
    format!(
        "{names}{more}: left running when the client cancelled the call. get_output with that job_id follows it{how_to_stop}."
    )
}

#[cfg(test)]
mod tests {
    use rmcp::model::{CallToolResult, ContentBlock};

    use super::Left;

    #[test]
    fn much_left_work_is_counted_rather_than_named_and_said_once() {
        let left = Left::default();
        for number in 0..13 {
            left.note(&format!("work-{number}"), true);
        }
        let mut reply =
            CallToolResult::success(vec![ContentBlock::text("{\"job_id\":\"work-3\"}")]);
        left.name_in(&mut reply);
        let said = reply.content[0].as_text().unwrap().text.clone();
        assert!(said.contains("work-10 and 2 more"), "{said}");
        assert!(said.contains("interrupt_execution stops code"), "{said}");
        left.name_in(&mut reply);
        assert_eq!(reply.content[0].as_text().unwrap().text, said);
    }
}
