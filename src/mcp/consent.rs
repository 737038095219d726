//! The user's agreement to what costs compute units or destroys their work, asked for through their client (MCP elicitation): a question with an
//! empty form, to accept or to decline. [`Server::put`] asks with any form.
//!
//! Until 2025-11-25 the client is sent a request, and the call waits. Since 2026-07-28 the question is the answer to the call, and the client repeats
//! the call with the user's answer. A client that cannot ask leaves the model's `confirm: true`.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, pending};

use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, ClientResult, ElicitRequest, ElicitRequestParams, ElicitResult,
    ElicitationAction, ElicitationSchema, ErrorCode, InputRequest, InputRequiredResult,
    ProtocolVersion, ServerRequest,
};
use rmcp::service::{PeerRequestOptions, RequestContext, ServiceError};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::call::Call;
use super::fault::Fault;
use super::server::Server;
use crate::base::lock::Lock;
use crate::base::secret::random;
use crate::edge::settings::Confirm;
use crate::runtime::RuntimeError;

/// The part of a call's time that is left for the work after the answer.
const WORK_SHARE: u32 = 4;
/// The only question of a call.
const KEY: &str = "consent";
/// Questions without an answer that are remembered.
const MAX_OPEN: usize = 16;

/// What the user is asked.
pub(super) struct Question {
    /// What a yes is valid for.
    pub(super) about: String,
    /// A question, and what a yes costs or destroys.
    pub(super) text: String,
    pub(super) stake: Stake,
}

/// Whose yes a question needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stake {
    /// It costs compute units: `confirm: true` is no answer where the user can be asked.
    Units,
    /// It ends the user's own work: the user's yes, or `confirm: true`.
    Work,
    /// It may end work of the model: the user's yes where they can be asked, and otherwise none.
    Jobs,
}

pub(super) enum Consent {
    Given,
    /// The call's result, for the client to ask.
    Asking(Box<InputRequiredResult>),
}

/// The questions that clients were given to ask. An answer counts once, and for what was asked.
#[derive(Debug, Default)]
pub(super) struct Open(Lock<VecDeque<(String, String)>>);

/// The answer that a call brings, with the ticket of its question.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) ticket: String,
    /// None if it cannot be read.
    pub(super) answer: Option<ElicitResult>,
}

/// What came of a question.
pub(super) enum Put {
    /// The call's result, for the client to ask.
    Asking(Box<InputRequiredResult>),
    Answered(Answer),
}

pub(super) enum Answer {
    Said(ElicitResult),
    /// The client cannot ask, and says so.
    Failed,
    /// Whatever came is no answer.
    Unclear,
    Silent,
}

impl Round {
    /// What a repeated call brings; none if the client was not asked before.
    pub(super) fn of(request: &CallToolRequestParams) -> Option<Self> {
        let read = |answer: &Value| serde_json::from_value::<ElicitResult>(answer.clone()).ok();
        let answers = request.input_responses.as_ref();
        let answer = answers.and_then(|answers| read(answers.get(KEY)?));
        Some(Self {
            ticket: request.request_state.clone()?,
            answer,
        })
    }
}

impl Open {
    /// Remembers a question.
    fn issue(&self, about: &str) -> String {
        let ticket = random();
        let mut open = self.0.lock();
        if open.len() == MAX_OPEN {
            open.pop_front();
        }
        open.push_back((ticket.clone(), about.to_owned()));
        ticket
    }

    /// Whether this was asked with this ticket, which is then used up.
    fn redeem(&self, ticket: &str, about: &str) -> bool {
        let mut open = self.0.lock();
        let at = open.iter().position(|(known, _)| known == ticket);
        let asked = at.and_then(|at| open.remove(at));
        asked.is_some_and(|(_, known)| known == about)
    }
}

impl Server {
    /// Asks the user, and returns their yes, or the result with which the client asks. `confirmed` is the model's word.
    ///
    /// # Errors
    /// Anything but a yes: then nothing may be done.
    pub(super) async fn consent(
        &self,
        context: &RequestContext<RoleServer>,
        call: &Call,
        question: &Question,
        confirmed: bool,
    ) -> Result<Consent, Fault> {
        let can_ask = self.can_ask(context);
        if confirmed && !(can_ask && question.stake == Stake::Units) {
            return Ok(Consent::Given);
        }
        let is_enough = confirmed || question.stake == Stake::Jobs;
        if !can_ask {
            return unable(question, is_enough);
        }
        let schema = ElicitationSchema::new(BTreeMap::new());
        let answer = match self
            .put(context, call, &question.about, &question.text, schema)
            .await?
        {
            Put::Asking(asking) => return Ok(Consent::Asking(asking)),
            Put::Answered(answer) => answer,
        };
        match answer {
            Answer::Said(said) if said.action == ElicitationAction::Accept => Ok(Consent::Given),
            Answer::Failed => unable(question, is_enough),
            answer @ (Answer::Said(_) | Answer::Unclear | Answer::Silent) => Err(refusal(answer)),
        }
    }

    /// Whether the user can be asked through this client, and wants to be.
    pub(super) fn can_ask(&self, context: &RequestContext<RoleServer>) -> bool {
        self.floors.confirm == Confirm::User && can_ask(context)
    }

    /// Puts a form to the user. `about` is what an answer is valid for.
    ///
    /// # Errors
    /// When the call is cancelled.
    pub(super) async fn put(
        &self,
        context: &RequestContext<RoleServer>,
        call: &Call,
        about: &str,
        text: &str,
        schema: ElicitationSchema,
    ) -> Result<Put, Fault> {
        let request = form(text.to_owned(), schema);
        let answer = if is_modern(context) {
            let round = context.extensions.get::<Round>();
            let is_it = |round: &&Round| self.open.redeem(&round.ticket, about);
            let Some(round) = round.filter(is_it) else {
                let ticket = self.open.issue(about);
                return Ok(Put::Asking(Box::new(asking(request, ticket))));
            };
            round.answer.clone().map_or(Answer::Unclear, Answer::Said)
        } else {
            ask(context, call, request, pending()).await?
        };
        Ok(Put::Answered(answer))
    }
}

/// A question with a form.
pub(super) fn form(message: String, schema: ElicitationSchema) -> ElicitRequest {
    ElicitRequest::new(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message,
        requested_schema: schema,
    })
}

/// Whether questions are answers to calls.
pub(super) fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    let version = context.protocol_version();
    version.is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

/// The result of a call with which the client asks, and then repeats the call with this ticket.
pub(super) fn asking(request: ElicitRequest, ticket: String) -> InputRequiredResult {
    let requests = [(KEY.to_owned(), InputRequest::Elicitation(request))];
    InputRequiredResult::new(Some(requests.into()), Some(ticket))
}

/// The error for anything but a yes.
pub(super) fn refusal(answer: Answer) -> Fault {
    match answer {
        Answer::Said(said) if said.action == ElicitationAction::Decline => Fault::new(
            "declined",
            "the user was asked, and said no",
            "Nothing was done. Go on without it, and ask again only if the user wants it.",
            false,
        ),
        Answer::Said(_) => Fault::new(
            "cancelled",
            "the question to the user was closed without an answer",
            "Nothing was done. Ask the user in the conversation what they want; calling again shows the question again. A client without a user closes \
                 each question: there the setting SMART_COLAB_CONFIRM=model leaves the decision to the model.",
            false,
        ),
        Answer::Unclear => Fault::new(
            "cancelled",
            "the client's reply to the question for the user is no answer that can be read",
            "Nothing was done. Ask the user in the conversation what they want; calling again shows the question again. For a client that cannot ask, \
                 the setting SMART_COLAB_CONFIRM=model leaves the decision to the model.",
            false,
        ),
        Answer::Silent => Fault::new(
            "timed_out",
            "the user was asked, and has not answered in the time of a call",
            "Nothing was done, and the question was withdrawn. Tell the user that their answer is needed, then call again: that shows it again.",
            true,
        ),
        Answer::Failed => Fault::new(
            "cancelled",
            "the client cannot ask the user",
            "Nothing was done. Ask the user in the conversation what they want.",
            false,
        ),
    }
}

/// What a client that cannot ask means: as much as the model's word, if that `is_enough`.
fn unable(question: &Question, is_enough: bool) -> Result<Consent, Fault> {
    if is_enough {
        Ok(Consent::Given)
    } else {
        Err(unconfirmed(question))
    }
}

fn unconfirmed(question: &Question) -> Fault {
    Fault::new(
        "invalid_argument",
        format!("this needs the user's agreement: {}", question.text),
        "Ask the user. If they agree, call again with confirm: true. Nothing was done.",
        false,
    )
}

/// Whether the client can show a form. One that names no kind of question shows forms.
fn can_ask(context: &RequestContext<RoleServer>) -> bool {
    let capabilities = context.client_capabilities();
    let asks = capabilities.and_then(|capabilities| capabilities.elicitation);
    asks.is_some_and(|asks| asks.form.is_some() || asks.url.is_none())
}

/// Sends the question, and waits for the answer as long as there is then time for the work, or until it has become `pointless`.
pub(super) async fn ask(
    context: &RequestContext<RoleServer>,
    call: &Call,
    request: ElicitRequest,
    pointless: impl Future<Output = ()>,
) -> Result<Answer, Fault> {
    call.say("waiting for the user's answer");
    let left = call.deadline.saturating_duration_since(Instant::now());
    let until = call.deadline - left / WORK_SHARE;
    let request = ServerRequest::ElicitRequest(request);
    let options = PeerRequestOptions::no_options();
    let sent = context.peer.send_cancellable_request(request, options);
    let mut handle = match sent.await {
        Ok(handle) => handle,
        Err(error) => {
            tracing::info!(%error, "the client was not asked");
            return Ok(Answer::Failed);
        }
    };
    let (answer, reason) = tokio::select! {
        biased;
        answered = &mut handle.rx => return Ok(match answered {
            Ok(Ok(ClientResult::ElicitResult(answer))) => Answer::Said(answer),
            Ok(Ok(_)) | Err(_) => Answer::Unclear,
            Ok(Err(error)) => {
                tracing::info!(%error, "the client failed to ask the user");
                match is_unable(&error) { true => Answer::Failed, false => Answer::Unclear }
            }
        }),
        () = call.cancelled.cancelled() => (Err(RuntimeError::Cancelled.into()), "the call was cancelled"),
        () = call.gone.cancelled() => (Err(RuntimeError::Cancelled.into()), "the call was cancelled"),
        () = sleep_until(until) => (Ok(Answer::Silent), "nobody has answered in time"),
        () = pointless => (Ok(Answer::Silent), "an answer is no longer needed"),
    };
    let _ = handle.cancel(Some(reason.to_owned())).await;
    answer
}

/// Whether the client says that it has no such request. Each has an error code of its own for that.
fn is_unable(error: &ServiceError) -> bool {
    let ServiceError::McpError(error) = error else {
        return false;
    };
    error.code == ErrorCode::METHOD_NOT_FOUND
        || error.message.to_lowercase().contains("not support")
}

#[cfg(test)]
mod tests {
    use super::{MAX_OPEN, Open};

    #[test]
    fn an_answer_counts_once_and_for_what_was_asked() {
        let open = Open::default();
        let ticket = open.issue("assign T4");
        assert!(!open.redeem("guessed", "assign T4"));
        assert!(open.redeem(&ticket, "assign T4"));
        assert!(!open.redeem(&ticket, "assign T4"), "twice");
        let ticket = open.issue("assign T4");
        assert!(!open.redeem(&ticket, "assign A100"), "something else");
        let oldest = open.issue("0");
        for number in 1..=MAX_OPEN {
            open.issue(&number.to_string());
        }
        assert!(!open.redeem(&oldest, "0"), "forgotten");
    }
}
