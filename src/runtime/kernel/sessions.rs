//! The sessions of a server's kernels.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::refusals::unsupported_but;
use super::worker::{Facts, Order};
use super::{Kernels, MAIN};
use crate::base::ids::JobId;
use crate::runtime::{RuntimeError, RuntimeResult, Sessions};
use crate::wire::session::{Removed, Restarted, Session, SessionState, Variables};

impl Kernels {
    /// Ends a session's jobs and its kernel.
    async fn end(&self, name: &str, restarts: bool) -> RuntimeResult<Vec<String>> {
        if name != MAIN && !self.sessions.lock().contains_key(name) {
            return Err(RuntimeError::UnknownSession {
                name: name.to_owned(),
                known: self.sessions.lock().keys().cloned().collect(),
            });
        }
        let (ended, answer) = oneshot::channel();
        self.order(name, Order::End { restarts, ended });
        let ended = answer.await.map_err(|_| RuntimeError::Cancelled)?;
        let ended = ended.map_err(|error| self.error(error))?;
        Ok(ended.iter().map(JobId::to_string).collect())
    }
}

#[async_trait]
impl Sessions for Kernels {
    async fn sessions(&self) -> RuntimeResult<Vec<Session>> {
        // This alone shows whether the token is right.
        let found = self.server.python_kernel().await;
        found.map_err(|error| self.error(error))?;
        let mut facts: BTreeMap<String, Facts> =
            BTreeMap::from([(MAIN.to_owned(), Facts::default())]);
        for (name, worked) in &*self.sessions.lock() {
            facts.insert(name.clone(), worked.facts.lock().clone());
        }
        let mut sessions: Vec<_> = facts.into_iter().map(session).collect();
        sessions.sort_by_key(|session| session.name != MAIN);
        Ok(sessions)
    }

    async fn restart_session(&self, name: &str) -> RuntimeResult<Restarted> {
        let ended_jobs = self.end(name, true).await?;
        let worked = self
            .sessions
            .lock()
            .get(name)
            .map(|worked| worked.facts.lock().clone());
        Ok(Restarted {
            session: session((name.to_owned(), worked.unwrap_or_default())),
            ended_jobs,
        })
    }

    async fn remove_session(&self, name: &str) -> RuntimeResult<Removed> {
        let ended_jobs = self.end(name, false).await?;
        self.sessions.lock().remove(name);
        Ok(Removed { ended_jobs })
    }

    async fn variables(&self, _: &str, _: Option<&str>) -> RuntimeResult<Variables> {
        let instead = "Print them in code: %whos lists names, types and values";
        Err(unsupported_but("lists of variables", &self.reason, instead))
    }
}

fn session((name, facts): (String, Facts)) -> Session {
    let state = match (&facts.kernel_id, facts.running) {
        (_, Some(_)) => SessionState::Busy,
        (Some(_), None) => SessionState::Idle,
        (None, None) => SessionState::Dead,
    };
    Session {
        name,
        state,
        adopted: None,
        kernel_id: facts.kernel_id,
        started_at: None,
        running_job: facts.running.map(|id| id.to_string()),
        queued_jobs: facts.queued as u64,
        execution_count: facts.executed,
        idle_sec: None,
        memory_mb: None,
    }
}
