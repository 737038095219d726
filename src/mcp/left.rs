//! Work that goes on after its call was cancelled, until a reply has named it.

use rmcp::model::CallToolResult;
use serde_json::Value;

use super::reply;
use crate::base::lock::Lock;

/// Named in one reply, at most.
const MAX_NAMED: usize = 10;

/// The jobs, operations and transfers that no reply has named since their calls were cancelled: what `get_output` takes as `job_id`.
#[derive(Debug, Default)]
pub(super) struct Left(Lock<Vec<String>>);

impl Left {
    pub(super) fn note(&self, name: &str) {
        let mut left = self.0.lock();
        if !left.iter().any(|noted| noted == name) {
            left.push(name.to_owned());
        }
    }

    /// Names them in a reply that is sure to be sent. One that the reply is about needs no more words.
    pub(super) fn name_in(&self, result: &mut CallToolResult) {
        let mut left = std::mem::take(&mut *self.0.lock());
        let facts = reply::facts(result).map(serde_json::from_str::<Value>);
        let facts = facts.and_then(Result::ok).unwrap_or_default();
        left.retain(|name| {
            ["job_id", "operation"]
                .iter()
                .all(|key| facts[*key] != **name)
        });
        if !left.is_empty() {
            reply::note(result, "left_running", sentence(&left));
        }
    }
}

fn sentence(left: &[String]) -> String {
    let names = left[..left.len().min(MAX_NAMED)].join(", ");
    let more = match left.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more (list_jobs shows them)"),
    };
    format!(
        "{names}{more}: left running when the client cancelled the call. get_output with that job_id follows it, interrupt_execution stops it."
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
            left.note(&format!("work-{number}"));
        }
        let mut reply =
            CallToolResult::success(vec![ContentBlock::text("{\"job_id\":\"work-3\"}")]);
        left.name_in(&mut reply);
        let said = reply.content[0].as_text().unwrap().text.clone();
        assert!(said.contains("work-10 and 2 more"), "{said}");
        assert!(said.contains("interrupt_execution stops it"), "{said}");
        left.name_in(&mut reply);
        assert_eq!(reply.content[0].as_text().unwrap().text, said);
    }
}
