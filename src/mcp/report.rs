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
        Ok(CallToolResult::from(self).into())
    }
}

impl<T: Serialize> From<Report<T>> for CallToolResult {
    fn from(Report(report): Report<T>) -> Self {
        match to_value(report) {
            Ok(report) => Self::structured(report),
            Err(error) => unserializable(&error),
        }
    }
}

/// About the size of a list whose length the caller leaves to us; clients keep at least 10,000 bytes of a result.
pub(super) const MAX_LIST_BYTES: usize = 8_800;

/// A list: a line of facts, without those that have no value, and the rows as a table.
pub(super) struct List<T> {
    pub facts: T,
    pub table: String,
}

impl<T: Serialize> IntoCallToolResult for List<T> {
    fn into_call_tool_result(self) -> Result<CallToolResponse, ErrorData> {
        Ok(CallToolResult::from(self).into())
    }
}

impl<T: Serialize> From<List<T>> for CallToolResult {
    fn from(list: List<T>) -> Self {
        match to_value(list.facts) {
            Ok(facts) => {
                let table = Some(list.table).filter(|table| !table.is_empty());
                let blocks = std::iter::once(facts.to_string()).chain(table);
                let blocks = blocks.map(ContentBlock::text);
                Self::success(blocks.collect())
            }
            Err(error) => unserializable(&error),
        }
    }
}

fn unserializable(error: &serde_json::Error) -> CallToolResult {
    tracing::error!(%error, "a report could not be serialized");
    Fault::internal("the report").into()
}

/// Serializes a report, with its advice worded and without the members that are null. Nulls further down may be the user's own data.
pub(super) fn to_value<T: Serialize>(report: T) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(Worded(report))?;
    if let Value::Object(members) = &mut value {
        members.retain(|_, member| !member.is_null());
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::to_value;

    #[test]
    fn members_without_a_value_are_left_out_and_results_of_the_user_are_not() {
        let report =
            json!({"fault": null, "count": 0, "results": [{"i": 1, "result": null}, null]});
        let shown = json!({"count": 0, "results": [{"i": 1, "result": null}, null]});
        assert_eq!(to_value(report).unwrap(), shown);
    }
}
