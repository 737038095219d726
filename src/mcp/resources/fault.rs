//! Errors of resources in the form of JSON-RPC: a sentence that clients show, and the fields of the other errors.

use rmcp::ErrorData;
use rmcp::model::ErrorCode;
use serde_json::Value;

use crate::mcp::fault::Fault;

/// A resource could not be read.
#[derive(Debug)]
pub(in crate::mcp) struct ResourceFault {
    /// As in earlier protocol versions; rmcp converts it for 2026-07-28 (-32602 instead of -32002).
    code: ErrorCode,
    fault: Fault,
}

impl ResourceFault {
    /// There is no such resource, or it may not be read.
    pub(super) fn missing(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code: ErrorCode::RESOURCE_NOT_FOUND,
            fault: Fault::new("not_found", error, hint, false),
        }
    }

    /// The URI or an argument is invalid.
    pub(super) fn invalid(error: impl Into<String>) -> Self {
        let hint = "resources/templates/list shows the form of the URIs.";
        Self {
            code: ErrorCode::INVALID_PARAMS,
            fault: Fault::new("invalid_argument", error, hint, false),
        }
    }

    /// It exists, but cannot be read now, or not in one piece.
    pub(in crate::mcp) fn failed(fault: impl Into<Fault>) -> Self {
        Self {
            code: ErrorCode::INTERNAL_ERROR,
            fault: fault.into(),
        }
    }

    /// Converts a fault of any floor, whose code is `not_found` if something is missing.
    pub(super) fn of(fault: impl Into<Fault>) -> Self {
        let fault = fault.into();
        let code = match fault.code.as_str() {
            "not_found" | "runtime_replaced" => ErrorCode::RESOURCE_NOT_FOUND,
            _ => ErrorCode::INTERNAL_ERROR,
        };
        Self { code, fault }
    }

    /// A failure of the bridge itself.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        let hint = "Call again; if it fails again, look at the log file.";
        let error = format!("the bridge failed to read the resource ({error})");
        Self::failed(Fault::new("internal", error, hint, true))
    }

    /// Converts the fault to the answer to a request for `uri`.
    pub(in crate::mcp) fn about(self, uri: &str) -> ErrorData {
        let mut error = ErrorData::from(self);
        if let Some(Value::Object(data)) = &mut error.data {
            data.insert("uri".to_owned(), uri.into());
        }
        error
    }
}

impl From<ResourceFault> for ErrorData {
    fn from(fault: ResourceFault) -> Self {
        let (error, hint) = (fault.fault.error.trim_end_matches('.'), &fault.fault.hint);
        let message = format!("{error}. {hint}");
        Self::new(fault.code, message, serde_json::to_value(&fault.fault).ok())
    }
}
