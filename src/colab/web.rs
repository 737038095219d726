//! Requests in the name of the account, and Google's answers.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE};
use reqwest::{Client, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;

use super::account::Account;
use super::client;
use super::error::ColabError;

/// Stands before the JSON of some answers, so that no page can run them.
const GUARD: &str = ")]}'";
const COLAB: &str = "Colab";
/// After an answer to an assignment that may be lost; before each the machine is looked for.
pub(super) const PAUSES: [Duration; 3] = [
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(40),
];

/// A service of Google's, as the account reaches it.
#[derive(Debug)]
pub(super) struct Web {
    account: Arc<Account>,
    base: Url,
    client: OnceCell<Client>,
}

/// An answer as it came.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) is_page: bool,
    /// Google's time, whatever this computer's clock shows.
    pub(super) date: Option<Timestamp>,
    text: String,
}

impl Web {
    pub(super) fn new(account: Arc<Account>, base: Url) -> Self {
        Self {
            account,
            base,
            client: OnceCell::new(),
        }
    }

    /// Makes one request; again with a new access token if that one is refused.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, ColabError> {
        let client = self.client.get_or_try_init(async || client()).await?;
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut refused = None;
        loop {
            let access = self.account.access(refused.as_ref()).await?;
            let mut request = client
                .request(method.clone(), url.clone())
                .bearer_auth(access.expose())
                .header(ACCEPT, "application/json");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            if let Some(body) = body {
                request = request
                    .header(CONTENT_TYPE, "application/json")
                    .body(body.to_string());
            }
            let answer = request.send().await.map_err(ColabError::from_request)?;
            let status = answer.status();
            let header = |name| answer.headers().get(name)?.to_str().ok();
            let is_page = header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html"));
            let date = header(DATE).and_then(|date| rfc2822::parse(date).ok());
            let date = date.map(|date| date.timestamp());
            let text = answer.text().await.map_err(ColabError::from_request)?;
            if status == StatusCode::UNAUTHORIZED && refused.is_none() {
                refused = Some(access);
                continue;
            }
            return Ok(Answer {
                status,
                is_page,
                date,
                text,
            });
        }
    }
}

impl Answer {
    /// Reads JSON; `fault` knows the errors of this request.
    pub(super) fn json<T: DeserializeOwned>(
        &self,
        fault: impl FnOnce(&Self) -> Option<ColabError>,
    ) -> Result<T, ColabError> {
        if !self.status.is_success() {
            return Err(fault(self).unwrap_or_else(|| self.refusal()));
        }
        serde_json::from_str(self.body()).map_err(|error| {
            // The text may hold a token.
            ColabError::odd(&format!("{:?} in line {}", error.classify(), error.line()))
        })
    }

    pub(super) fn refusal(&self) -> ColabError {
        match self.status {
            StatusCode::UNAUTHORIZED => ColabError::ScopeMissing("401".to_owned()),
            StatusCode::FORBIDDEN if self.text.contains("SCOPE") => {
                ColabError::ScopeMissing("SCOPE_NOT_PERMITTED".to_owned())
            }
            status => {
                let body: Value = serde_json::from_str(self.body()).unwrap_or_default();
                let said = body["error"]["message"].as_str();
                let said = said.unwrap_or(if self.is_page { "a page" } else { self.body() });
                ColabError::refused(COLAB, status.as_u16(), said)
            }
        }
    }

    pub(super) fn body(&self) -> &str {
        self.text.strip_prefix(GUARD).unwrap_or(&self.text).trim()
    }
}
