//! The methods that this server answers, in words for clients that ask for others, or with params that are none.

use rmcp::model::{ErrorCode, JsonRpcMessage};
use rmcp::service::TxJsonRpcMessage;
use rmcp::{ErrorData, RoleServer};

/// Each with what its params must hold.
const METHODS: [(&str, &str); 12] = [
    (
        "initialize",
        "an object with `protocolVersion`, a text, `capabilities`, an object, and `clientInfo`, an object with `name` and `version`",
    ),
    ("server/discover", MODERN),
    ("ping", "an object or none"),
    ("tools/list", PAGED),
    (
        "tools/call",
        "an object with `name`, a text, and `arguments`, an object",
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
];
const PAGED: &str = "an object with `cursor`, a text of an earlier answer, or none";
const BY_URI: &str = "an object with `uri`, a text";
const MODERN: &str = "an object whose `_meta` has the client's version, name and capabilities";
/// Characters of a name that are shown.
const MAX_SHOWN: usize = 100;
/// Slips of the keys at which a name still counts as misspelt.
const MAX_SLIPS: usize = 2;

/// A request whose params cannot be read; none where its method is unknown.
pub(super) fn unreadable(method: &str) -> Option<ErrorData> {
    let (_, wanted) = METHODS.iter().find(|(known, _)| *known == method)?;
    let message = format!("{method} wants as its params {wanted}. Nothing was done");
    Some(ErrorData::invalid_params(message, None))
}

/// Puts a sentence in place of the bare name that stands in rmcp's own answer to an unknown method.
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
            "{shown} is no method of the protocol version that this session has: with 2026-07-28 there are subscriptions/listen in place of \
             resources/subscribe and resources/unsubscribe, and server/discover in place of initialize and ping; before, it is the other way round"
        );
    }
    let meant = closest(method, names);
    let meant = meant.map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
    let what = match method.split_once('/') {
        Some(("prompts", _)) => "this server has no prompts",
        Some(("logging", _)) => "this server sends no log messages to its clients",
        Some(("tasks", _)) => {
            "this server has no tasks of the protocol: long code has a job_id, and get_output"
        }
        _ => "this server does not know it",
    };
    format!(
        "the method {shown:?} is not answered{meant}: {what}. It answers {}",
        names.join(", ")
    )
}

/// The name that was meant, where one is near.
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
