//! The answers of tools that report and of those that list. Some clients show their model the structured content alone, others the text alone: a
//! report is in both, a list in text, which is shown where there is no structured content.

use rmcp::ErrorData;
use rmcp::handler::server::tool::IntoCallToolResult;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock};
use serde::Serialize;
use serde_json::Value;

use super::fault::Fault;
use super::words::Worded;

/// A report. Its advice is worded; members without a value are left out.
pub(super) struct Report<T>(pub(super) T);

impl<T: Serialize> IntoCallToolResult for Report<T> {
    fn into_call_tool_result(self) -> Result<CallToolResponse, ErrorData> {
        let result = match serde_json::to_value(Worded(self.0)) {
            Ok(mut report) => {
                drop_nulls(&mut report);
                CallToolResult::structured(report)
            }
            Err(error) => unserializable(&error),
        };
        Ok(result.into())
    }
}

/// About the size of a list whose length the caller leaves to us; clients keep at least 10,000 bytes of a result.
pub(super) const MAX_LIST_BYTES: usize = 8_500;

/// A list: a line of facts, without those that have no value, and the rows as a table.
pub(super) struct List<T> {
    pub facts: T,
    pub table: String,
}

impl<T: Serialize> IntoCallToolResult for List<T> {
    fn into_call_tool_result(self) -> Result<CallToolResponse, ErrorData> {
        let facts = serde_json::to_value(Worded(self.facts)).map(|mut facts| {
            drop_nulls(&mut facts);
            facts.to_string()
        });
        let result = match facts {
            Ok(facts) => {
                let table = Some(self.table).filter(|table| !table.is_empty());
                let blocks = std::iter::once(facts).chain(table).map(ContentBlock::text);
                CallToolResult::success(blocks.collect())
            }
            Err(error) => unserializable(&error),
        };
        Ok(result.into())
    }
}

fn unserializable(error: &serde_json::Error) -> CallToolResult {
    tracing::error!(%error, "a report could not be serialized");
    Fault::internal("the report").into()
}

/// Removes the members that are null; in lists the place has a meaning.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::drop_nulls;

    #[test]
    fn members_without_a_value_are_dropped_at_any_depth() {
        let mut report = json!({"a": null, "b": [null, {"c": null, "d": 0}], "e": {"f": null}});
        drop_nulls(&mut report);
        assert_eq!(report, json!({"b": [null, {"d": 0}], "e": {}}));
    }
}
