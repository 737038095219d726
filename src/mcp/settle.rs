//! Settles with the user what kept a call from running anything: that no runtime is set, or that the executor's policy wants consent to what the
//! code does. A form is no place for a token: an address with one is refused.

use rmcp::RoleServer;
use rmcp::model::{CallToolResponse, CallToolResult, ElicitationAction, ElicitationSchema};
use rmcp::service::RequestContext;
use tokio::time::Instant;

use super::call::{self, Call};
use super::consent::{Answer, Consent, Put, Question, Stake, refusal};
use super::convert::fault_of;
use super::fault::Fault;
use super::server::Server;
use crate::edge::settings::{Confirm, endpoint};
use crate::runtime::Code;

const FIELD: &str = "address";
const TEXT: &str = "Where should smart-colab run code? Enter `local` for this computer, `colab:NAME` for a machine of Colab, or the address of a \
    Jupyter Server that needs no token (jupyter+http://localhost:8888). Enter no token here: an address with a token is set by `smart-colab connect` \
    in a terminal.";

/// When a call began: its time goes on when it is sent again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Began(pub Instant);

pub(super) enum Settled {
    /// The call can run now.
    Again,
    /// The call's result.
    Answer(Box<CallToolResponse>),
}

impl From<CallToolResult> for Settled {
    fn from(result: CallToolResult) -> Self {
        Self::Answer(Box::new(result.into()))
    }
}

impl Server {
    /// Asks the user, if `failed` is the result of a call that ran nothing and that their answer lets run.
    pub(super) async fn settle(
        &self,
        context: &RequestContext<RoleServer>,
        failed: CallToolResult,
    ) -> Settled {
        let Some(fault) = fault_of(&failed) else {
            return failed.into();
        };
        if !self.can_ask(context) {
            return match &*fault.code {
                "consent_needed" => CallToolResult::from(fault.first(self.unasked())).into(),
                _ => failed.into(),
            };
        }
        let budget = self.budget(context);
        let settled = call::run(self, context, budget, async |call| match &*fault.code {
            "not_configured" => self.settle_address(context, &call, failed).await,
            "consent_needed" => self.settle_consent(context, &call, &fault.error).await,
            _ => Ok(failed.into()),
        });
        settled
            .await
            .unwrap_or_else(|fault| CallToolResult::from(fault).into())
    }

    /// Why the user is not asked.
    fn unasked(&self) -> &'static str {
        match self.floors.confirm {
            Confirm::User => "This client cannot ask the user.",
            Confirm::Model => "The user is not asked: SMART_COLAB_CONFIRM=model is set.",
        }
    }

    async fn settle_address(
        &self,
        context: &RequestContext<RoleServer>,
        call: &Call,
        failed: CallToolResult,
    ) -> Result<Settled, Fault> {
        let schema = ElicitationSchema::builder()
            .required_string(FIELD)
            .build_unchecked();
        match self.put(context, call, FIELD, TEXT, schema).await? {
            Put::Asking(asking) => Ok(Settled::Answer(Box::new((*asking).into()))),
            Put::Answered(Answer::Said(said)) if said.action == ElicitationAction::Accept => {
                let given = said
                    .content
                    .as_ref()
                    .and_then(|content| content[FIELD].as_str());
                self.connect_to(given.unwrap_or_default().trim(), call)
                    .await?;
                Ok(Settled::Again)
            }
            Put::Answered(Answer::Failed) => Ok(failed.into()),
            Put::Answered(answer) => Err(refusal(answer)),
        }
    }

    async fn connect_to(&self, given: &str, call: &Call) -> Result<(), Fault> {
        let connection = self.connection();
        if given.eq_ignore_ascii_case("local") {
            connection.compute_here();
            return Ok(());
        }
        if given.contains(['#', '@', '?']) {
            return Err(Fault::new(
                "invalid_argument",
                "the user entered an address with a token or a password, which a form is no place for; it was not used",
                "Ask the user to run `smart-colab connect` in a terminal, and to paste the address there. Then call again.",
                false,
            ));
        }
        let endpoint = endpoint(given, None).map_err(|fault| {
            Fault::new(
                "invalid_argument",
                format!("the address that the user entered {fault}"),
                "If it needs a token, ask the user to run `smart-colab connect` in a terminal; otherwise calling again asks once more. Nothing was run.",
                false,
            )
        })?;
        call.say("connecting to the address that the user gave");
        let switched = connection.switch(endpoint, call.deadline).await;
        switched.map_err(|error| Fault::from(error).first("The connection was not changed."))?;
        Ok(())
    }

    async fn settle_consent(
        &self,
        context: &RequestContext<RoleServer>,
        call: &Call,
        statement: &str,
    ) -> Result<Settled, Fault> {
        let question = Question {
            about: statement.to_owned(),
            text: format!("Run this code? {statement}"),
            stake: Stake::Work,
        };
        match self.consent(context, call, &question, false).await? {
            Consent::Given => {
                self.connection()
                    .until(call.deadline)
                    .consent(statement)
                    .await?;
                Ok(Settled::Again)
            }
            Consent::Asking(asking) => Ok(Settled::Answer(Box::new((*asking).into()))),
        }
    }
}
