//! Why a resource is not handed out, in the form of JSON-RPC: a sentence that clients show, and the fields of our other errors.

use rmcp::ErrorData;
use rmcp::model::ErrorCode;
use serde_json::Value;

use crate::mcp::fault::Fault;

/// A resource that cannot be had.
#[derive(Debug)]
pub(in crate::mcp) struct ResourceFault {
    /// In the words of the old era; rmcp says it in those of the new one (-32602 in place of -32002).
    code: ErrorCode,
    fault: Fault,
}

impl ResourceFault {
    /// There is no such resource, or none that is handed out.
    pub(super) fn missing(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code: ErrorCode::RESOURCE_NOT_FOUND,
            fault: Fault::new("not_found", error, hint, false),
        }
    }

    /// The URI asks for what cannot be.
    pub(super) fn invalid(error: impl Into<String>) -> Self {
        let hint = "resources/templates/list says what a URI may hold.";
        Self {
            code: ErrorCode::INVALID_PARAMS,
            fault: Fault::new("invalid_argument", error, hint, false),
        }
    }

    /// It is there, and cannot be read now, or not in one piece.
    pub(in crate::mcp) fn failed(fault: impl Into<Fault>) -> Self {
        Self {
            code: ErrorCode::INTERNAL_ERROR,
            fault: fault.into(),
        }
    }

    /// A fault of any floor, which says `not_found` where something is missing.
    pub(super) fn of(fault: impl Into<Fault>) -> Self {
        let fault = fault.into();
        let code = match fault.code.as_str() {
            "not_found" | "runtime_replaced" => ErrorCode::RESOURCE_NOT_FOUND,
            _ => ErrorCode::INTERNAL_ERROR,
        };
        Self { code, fault }
    }

    /// The bridge's own failure.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        let hint = "Call again; if it fails again, look at the log file.";
        let error = format!("the bridge failed at it ({error})");
        Self::failed(Fault::new("internal", error, hint, true))
    }

    /// As the answer to a request that named `uri`.
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
