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
use tokio::time::{Instant, sleep};

use super::call;
use super::consent::{Answer, Round, ask, asking, form, is_modern};
use super::fault::Fault;
use super::reply;
use super::server::Server;
use crate::base::ids::JobId;
use crate::base::text::{Room, Screen};
use crate::caller::turns::Turn;
use crate::wire::job::{InputRequest, NoAnswer, Question};

const FIELD: &str = "answer";
const TICKET: &str = "question";
/// The tool that follows a job without having sent it.
const READER: &str = "get_output";
/// How often it is looked whether the code still asks while the user is asked.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);
const TOO_LATE: &str = "the code no longer waited for it";
const CUT: &str = "only its first line was passed on";
/// Questions that one call's results ask: a client takes 10 such results by default, of which the policy and the place to compute may need some.
const MAX_ROUNDS: u32 = 8;

/// A person needs longer for an answer.
const MIN_ANSWER_TIME: Duration = Duration::from_millis(500);
/// Questions of one call in a row that were answered sooner: a client that answers by itself would answer a loop's forever.
const MAX_QUICK: u32 = 20;
const QUICK: &str = "the last 20 questions were answered at once, as if by no person, so the code's next one was not passed on: it waits";

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
        let session = &self.session;
        let text = match &*plain(&self.asking.prompt) {
            "" => {
                format!("The code in session {session} asks for a line (enter no password here).")
            }
            prompt => {
                format!("The code in session {session} asks (enter no password here):\n\n{prompt}")
            }
        };
        let schema = ElicitationSchema::builder()
            .required_string(FIELD)
            .build_unchecked();
        form(text, schema)
    }

    /// The ticket of the question that is the `round`th of its call.
    fn ticket(&self, round: u32) -> String {
        format!("{TICKET} {} {} {round}", self.job_id, self.asking.number)
    }
}

/// The job, the number of the question and that of the round, which a ticket names.
fn of_ticket(ticket: &str) -> Option<(JobId, u64, u32)> {
    let mut words = ticket.strip_prefix(TICKET)?.split_whitespace();
    let (job, number) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let round = words.next()?.parse().ok()?;
    words.next().is_none().then_some((job, number, round))
}

/// The round of a question that follows on what the call brings.
fn next_round(context: &RequestContext<RoleServer>) -> u32 {
    let before = context.extensions.get::<Round>();
    let before = before.and_then(|round| of_ticket(&round.ticket));
    before.map_or(1, |(_, _, round)| round.saturating_add(1))
}

/// A prompt without what could hide or reorder text: escape sequences, control characters and changes of the writing direction.
fn plain(prompt: &str) -> String {
    let mut screen = Screen::new(Room::for_chars(prompt.len()));
    screen.push(prompt);
    let is_shown = |c: &char| {
        let is_direction = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        !is_direction && (matches!(c, '\n' | '\t') || !c.is_control())
    };
    let shown: String = screen.finish().render().chars().filter(is_shown).collect();
    shown.trim().to_owned()
}

/// What is passed on of what the client said, and whether it is less than the user entered: the code reads one line.
fn read(number: u64, said: Option<&ElicitResult>) -> (InputRequest, bool) {
    let accepted = said.filter(|said| said.action == ElicitationAction::Accept);
    let entered = accepted.and_then(|said| said.content.as_ref()?.get(FIELD)?.as_str());
    let is_declined = said.is_some_and(|said| said.action == ElicitationAction::Decline);
    let line = entered.map(|entered| entered.split(['\r', '\n', '\0']).next().unwrap_or(""));
    let whole = entered.map(|entered| entered.trim_end_matches(['\r', '\n', '\0']));
    let answer = InputRequest {
        number,
        value: line.map(str::to_owned),
        reason: is_declined.then_some(NoAnswer::Declined),
    };
    (answer, line != whole)
}

impl Server {
    /// The result of a call that is repeated with the user's answer to a question of its code; none for any other call.
    pub(super) async fn resume(
        &self,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Option<Result<CallToolResponse, ErrorData>> {
        let round = context.extensions.get::<Round>()?;
        let (job, number, _) = of_ticket(&round.ticket)?;
        if let Some(turn) = context.extensions.get::<Arc<Turn>>() {
            turn.pass();
        }
        let answer = read(number, round.answer.as_ref());
        Some(self.pass_on(job, answer, request, context).await)
    }

    /// Asks the user what the code of a reply asks, passes the answer on and follows the code, until it asks no more or the user does not answer.
    pub(super) async fn converse(
        &self,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
        mut reply: CallToolResponse,
    ) -> Result<CallToolResponse, ErrorData> {
        let mut quick = 0;
        while let CallToolResponse::Complete(result) = &reply
            && let Some(asked) = Asked::of(result)
            && self.can_ask(context)
        {
            if is_modern(context) {
                let round = next_round(context);
                return Ok(match round > MAX_ROUNDS {
                    true => reply,
                    false => asking(asked.form(), asked.ticket(round)).into(),
                });
            }
            if quick == MAX_QUICK {
                if let CallToolResponse::Complete(result) = &mut reply {
                    reply::note(result, "answer", QUICK);
                }
                return Ok(reply);
            }
            let (budget, asked_at) = (self.budget(context), Instant::now());
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
            let said = match said.await {
                Err(fault) => return Ok(CallToolResult::from(fault).into()),
                Ok(Answer::Silent) if is_withdrawn => {
                    reply = self.follow_on(asked.job_id, request, context).await?;
                    continue;
                }
                // The code waits on, and the reply says so, as it is by now.
                Ok(Answer::Silent) => {
                    let now = self.follow_on(asked.job_id, request, context).await?;
                    return Ok(if names_a_job(&now) { now } else { reply });
                }
                Ok(Answer::Said(said)) => Some(said),
                Ok(Answer::Failed | Answer::Unclear) => None,
            };
            let answer = read(asked.asking.number, said.as_ref());
            let is_quick = asked_at.elapsed() < MIN_ANSWER_TIME;
            quick = if is_quick { quick + 1 } else { 0 };
            reply = self.pass_on(asked.job_id, answer, request, context).await?;
        }
        Ok(reply)
    }

    /// Passes an answer on to the code, and follows it as the call did that asked.
    async fn pass_on(
        &self,
        job: JobId,
        (answer, is_cut): (InputRequest, bool),
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
        if let CallToolResponse::Complete(result) = &mut reply {
            if !is_taken {
                reply::note(result, "answer", TOO_LATE);
            } else if is_cut {
                reply::note(result, "answer", CUT);
            }
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

/// Whether a reply is one of a job, and not the error of a look at it.
fn names_a_job(reply: &CallToolResponse) -> bool {
    let CallToolResponse::Complete(result) = reply else {
        return true;
    };
    reply::facts(result).is_some_and(|facts| facts.contains("\"job_id\":"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{of_ticket, plain, read};
    use crate::base::ids::JobId;
    use crate::wire::job::NoAnswer;

    #[test]
    fn a_ticket_names_the_job_the_question_and_the_round() {
        let job = JobId::fresh();
        assert_eq!(of_ticket(&format!("question {job} 7 2")), Some((job, 7, 2)));
        for other in [
            String::new(),
            "guess".to_owned(),
            format!("question {job}"),
            format!("question {job} 7"),
            format!("question {job} -1 1"),
            format!("question {job} 7 8 9"),
            format!("{job} 7 1"),
        ] {
            assert_eq!(of_ticket(&other), None, "{other}");
        }
    }

    #[test]
    fn only_an_accepted_text_is_an_answer_and_its_first_line_is_passed_on() {
        let read = |said| {
            let (answer, is_cut) = read(7, Some(&serde_json::from_value(said).unwrap()));
            (answer.value, answer.reason, is_cut)
        };
        let accept = |content| json!({"action": "accept", "content": content});
        for (entered, passed, is_cut) in [
            ("", "", false),
            ("Ada\r\n", "Ada", false),
            ("Ada\nEve\n", "Ada", true),
            ("\nAda", "", true),
            ("Ada\0Eve", "Ada", true),
        ] {
            let said = read(accept(json!({"answer": entered})));
            assert_eq!(said, (Some(passed.to_owned()), None, is_cut), "{entered:?}");
        }
        for (none, reason) in [
            (accept(json!({"answer": 7})), None),
            (accept(json!({})), None),
            (json!({"action": "accept"}), None),
            (json!({"action": "cancel"}), None),
            (
                json!({"action": "decline", "content": {"answer": "x"}}),
                Some(NoAnswer::Declined),
            ),
        ] {
            assert_eq!(read(none.clone()), (None, reason, false), "{none}");
        }
    }

    #[test]
    fn a_prompt_hides_and_reorders_nothing() {
        for (prompt, shown) in [
            ("1) a\n2) b\n\tWhich? ", "1) a\n2) b\n\tWhich?"),
            ("\u{1b}[1;31mName\u{1b}[0m? \u{7}", "Name?"),
            ("pay\u{202e}load\u{2066}\u{9b}?\u{200f}", "payload?"),
            ("Имя? 名前? 💡", "Имя? 名前? 💡"),
        ] {
            assert_eq!(plain(prompt), shown, "{prompt:?}");
        }
    }
}
