//! Has the user answer what their code asks with `input()`, while a call follows it.
//!
//! In both eras the code waits on the runtime. A repeated call finds it by its ticket, which names the job, and sends no code; an answer that is sent
//! twice counts once, because the runtime knows the question by its number.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ElicitRequest, ElicitResult,
    ElicitationAction, ElicitationSchema,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::call;
use super::consent::{Answer, Round, ask, asking, form, is_modern};
use super::fault::Fault;
use super::reply;
use super::server::Server;
use crate::base::ids::JobId;
use crate::caller::turns::Turn;
use crate::wire::job::{InputRequest, Question};

const FIELD: &str = "answer";
const TICKET: &str = "question";
/// The tool that follows a job without having sent it.
const READER: &str = "get_output";
/// How often it is looked whether the code still asks while the user is asked.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);
const TOO_LATE: &str = "the code no longer waited for it";

/// The facts of a reply that shows a job whose code asks.
#[derive(Debug, Deserialize)]
struct Asked {
    job_id: JobId,
    session: String,
    asking: Question,
}

impl Asked {
    fn of(result: &CallToolResult) -> Option<Self> {
        let facts = reply::facts(result).filter(|facts| facts.contains("\"asking\":{"))?;
        serde_json::from_str(facts).ok()
    }

    fn form(&self) -> ElicitRequest {
        let prompt = self.asking.prompt.trim();
        let (before, after) = match prompt {
            "" => ("A line of input, please", ""),
            prompt => (prompt, "\n"),
        };
        let session = &self.session;
        let text = format!(
            "{before}{after}\n(asked by the code in session {session}; enter no password here)"
        );
        let schema = ElicitationSchema::builder()
            .required_string(FIELD)
            .build_unchecked();
        form(text, schema)
    }

    fn ticket(&self) -> String {
        format!("{TICKET} {} {}", self.job_id, self.asking.number)
    }
}

/// The job and the number of the question that a ticket names.
fn of_ticket(ticket: &str) -> Option<(JobId, u64)> {
    let mut words = ticket.strip_prefix(TICKET)?.split_whitespace();
    let found = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(found)
}

/// What the user entered; none for anything but an answer.
fn value(said: Option<&ElicitResult>) -> Option<String> {
    let accepted = said.filter(|said| said.action == ElicitationAction::Accept)?;
    let value = accepted.content.as_ref()?.get(FIELD)?.as_str()?;
    Some(value.to_owned())
}

impl Server {
    /// The result of a call that is repeated with the user's answer to a question of its code; none for any other call.
    pub(super) async fn resume(
        &self,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Option<Result<CallToolResponse, ErrorData>> {
        let round = context.extensions.get::<Round>()?;
        let (job, number) = of_ticket(&round.ticket)?;
        if let Some(turn) = context.extensions.get::<Arc<Turn>>() {
            turn.pass();
        }
        let value = value(round.answer.as_ref());
        Some(
            self.pass_on(job, InputRequest { number, value }, request, context)
                .await,
        )
    }

    /// Asks the user what the code of a reply asks, passes the answer on and follows the code, until it asks no more or the user does not answer.
    pub(super) async fn converse(
        &self,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
        mut reply: CallToolResponse,
    ) -> Result<CallToolResponse, ErrorData> {
        while let CallToolResponse::Complete(result) = &reply
            && let Some(asked) = Asked::of(result)
            && self.can_ask(context)
        {
            if is_modern(context) {
                return Ok(asking(asked.form(), asked.ticket()).into());
            }
            let budget = self.budget(context);
            let mut is_withdrawn = false;
            let said = call::run(self, context, budget, async |call| {
                let withdrawn = async {
                    self.until_withdrawn(&asked).await;
                    is_withdrawn = true;
                };
                let said = ask(context, &call, asked.form(), withdrawn).await;
                if call.cancelled.is_cancelled() && request.name != READER {
                    self.floors.jobs.interrupt_later(asked.job_id);
                }
                said
            });
            let value = match said.await {
                Err(fault) => return Ok(CallToolResult::from(fault).into()),
                Ok(Answer::Silent) if is_withdrawn => {
                    reply = self.follow_on(asked.job_id, request, context).await?;
                    continue;
                }
                // The code waits on, and the reply says so.
                Ok(Answer::Silent) => return Ok(reply),
                Ok(Answer::Said(said)) => value(Some(&said)),
                Ok(Answer::Failed | Answer::Unclear) => None,
            };
            let number = asked.asking.number;
            let answer = InputRequest { number, value };
            reply = self.pass_on(asked.job_id, answer, request, context).await?;
        }
        Ok(reply)
    }

    /// Passes an answer on to the code, and follows it as the call did that asked.
    async fn pass_on(
        &self,
        job: JobId,
        answer: InputRequest,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let budget = self.budget(context);
        let passed = call::ask(self, context, budget, async |call| {
            self.floors.jobs.answer(job, &answer, call.deadline).await
        });
        let is_taken = match passed.await {
            Ok(is_taken) => is_taken,
            Err(error) => {
                let fault = Fault::from(error);
                let fault = fault.first("The answer was not passed on to the code.");
                return Ok(CallToolResult::from(fault).into());
            }
        };
        let mut reply = self.follow_on(job, request, context).await?;
        if let (CallToolResponse::Complete(result), false) = (&mut reply, is_taken) {
            reply::note(result, "answer", Value::from(TOO_LATE));
        }
        Ok(reply)
    }

    /// Follows a job further, for a call that has followed or sent it.
    async fn follow_on(
        &self,
        job: JobId,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if request.name == READER {
            return self.dispatch(request.clone(), context.clone()).await;
        }
        let given = request.arguments.as_ref();
        let wait_sec = given.and_then(|given| given.get("wait_sec")?.as_u64());
        let seen = self.follow_sent(job, wait_sec, context).await;
        Ok(seen.unwrap_or_else(CallToolResult::from).into())
    }

    /// Waits until the code does not ask a question any more.
    async fn until_withdrawn(&self, asked: &Asked) {
        loop {
            sleep(LOOK_INTERVAL).await;
            let deadline = Instant::now() + LOOK_TIMEOUT;
            let job = self.floors.jobs.poll(asked.job_id, 0, 0.0, deadline).await;
            let number = |question: Question| question.number;
            if job.is_ok_and(|job| job.asking.map(number) != Some(asked.asking.number)) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{of_ticket, value};
    use crate::base::ids::JobId;

    #[test]
    fn a_ticket_names_the_job_and_the_question() {
        let job = JobId::fresh();
        assert_eq!(of_ticket(&format!("question {job} 7")), Some((job, 7)));
        for other in [
            String::new(),
            "guess".to_owned(),
            format!("question {job}"),
            format!("question {job} -1"),
            format!("question {job} 7 8"),
            format!("{job} 7"),
        ] {
            assert_eq!(of_ticket(&other), None, "{other}");
        }
    }

    #[test]
    fn only_an_accepted_text_is_an_answer() {
        let value = |said| value(Some(&serde_json::from_value(said).unwrap()));
        let accept = |content| json!({"action": "accept", "content": content});
        assert_eq!(value(accept(json!({"answer": ""}))).as_deref(), Some(""));
        for none in [
            accept(json!({"answer": 7})),
            accept(json!({})),
            json!({"action": "accept"}),
            json!({"action": "decline", "content": {"answer": "x"}}),
            json!({"action": "cancel"}),
        ] {
            assert_eq!(value(none.clone()), None, "{none}");
        }
    }
}
