//! Errors for requests with an unknown method or unreadable params, which describe what this server supports.

use rmcp::model::{ErrorCode, JsonRpcMessage};
use rmcp::service::TxJsonRpcMessage;
use rmcp::{ErrorData, RoleServer};

/// The supported methods, each with its params.
const METHODS: [(&str, &str); 14] = [
    (
        "initialize",
        "an object with `protocolVersion`, a string, `capabilities`, an object, and `clientInfo`, an object with `name` and `version`",
    ),
    ("server/discover", MODERN),
    ("ping", "an object or absent"),
    ("tools/list", PAGED),
    (
        "tools/call",
        "an object with `name`, a string, and `arguments`, an object",
    ),
    ("resources/list", PAGED),
    ("resources/templates/list", PAGED),
    ("resources/read", BY_URI),
    ("resources/subscribe", BY_URI),
    ("resources/unsubscribe", BY_URI),
    (
        "subscriptions/listen",
        "an object with `notifications`, an object",
    ),
    ("prompts/list", PAGED),
    (
        "prompts/get",
        "an object with `name`, a string, and `arguments`, an object of strings",
    ),
    (
        "completion/complete",
        "an object with `ref`, a prompt's, and `argument`, an object with `name` and `value`",
    ),
];
const PAGED: &str = "an object with `cursor`, a string from an earlier answer, or absent";
const BY_URI: &str = "an object with `uri`, a string";
const MODERN: &str = "an object whose `_meta` has the client's version, name and capabilities";
/// Characters of a name that are quoted.
const MAX_SHOWN: usize = 100;
/// Edit distance up to which a name counts as misspelt.
const MAX_SLIPS: usize = 2;

/// The error for a request whose params cannot be read; none if its method is unknown.
pub(super) fn unreadable(method: &str) -> Option<ErrorData> {
    let (_, wanted) = METHODS.iter().find(|(known, _)| *known == method)?;
    let message = format!("the params of {method} must be {wanted}. Nothing was done");
    Some(ErrorData::invalid_params(message, None))
}

/// Replaces the bare name in rmcp's answer to an unknown method by a sentence.
pub(super) fn explain(message: &mut TxJsonRpcMessage<RoleServer>) {
    if let JsonRpcMessage::Error(answer) = message
        && answer.error.code == ErrorCode::METHOD_NOT_FOUND
    {
        answer.error.message = unknown(&answer.error.message).into();
    }
}

fn unknown(method: &str) -> String {
    let shown: String = method.chars().take(MAX_SHOWN).collect();
    let names = METHODS.map(|(name, _)| name);
    if names.contains(&method) {
        return format!(
            "{shown} is not a method of this session's protocol version: 2026-07-28 has subscriptions/listen instead of \
             resources/subscribe and resources/unsubscribe, and server/discover instead of initialize and ping; earlier versions have the latter"
        );
    }
    let meant = closest(method, names);
    let meant = meant.map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
    let what = match method.split_once('/') {
        Some(("logging", _)) => "this server sends no log messages to its clients",
        Some(("tasks", _)) => {
            "this server does not use MCP tasks: long code has a job_id, which get_output follows"
        }
        _ => "this server does not have it",
    };
    format!(
        "the method {shown:?} is not supported{meant}: {what}. Supported are {}",
        names.join(", ")
    )
}

/// The error for a name that nothing of this kind has.
pub(super) fn unknown_name(kind: &str, name: &str, names: &[&str]) -> ErrorData {
    let meant = closest(name, names.iter().copied());
    let meant = meant.map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
    let shown: String = name.chars().take(MAX_SHOWN).collect();
    let message = format!(
        "there is no {kind} {shown:?}{meant}: there are {}",
        names.join(", ")
    );
    ErrorData::invalid_params(message, None)
}

/// The most similar name, if one is similar enough.
pub(super) fn closest<'a>(
    given: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let given: String = given.chars().take(MAX_SHOWN).collect();
    let distance = |name: &str| strsim::osa_distance(&given.to_lowercase(), &name.to_lowercase());
    let near = names.into_iter().map(|name| (distance(name), name));
    let near = near.filter(|(distance, _)| *distance <= MAX_SLIPS).min();
    near.map(|(_, name)| name)
}
