//! The requests that Colab's own pages and extensions make (`/tun/m`). They are not documented; the forms are those of colab-vscode 0.9.1 and
//! google-colab-cli 0.7.5.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;
use url::Url;

use super::account::Account;
use super::error::ColabError;
use super::plane::{Machine, Plane, Proxy, Quota, Variant, Wanted, is_name};
use super::web::{Answer, PAUSES, Web};
use crate::edge::google::Api;

/// A keep-alive is seldom answered.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Of an assignment's outcomes those that stand for a quota, and for an account that gets nothing.
const AT_LIMIT: [u64; 2] = [1, 2];
const DENIED: u64 = 5;

#[derive(Debug)]
pub(super) struct Tun(Web);

/// What assigning would do, or what is assigned.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Offer {
    #[serde(default)]
    token: Option<String>,
    /// Colab asks for a captcha.
    #[serde(default)]
    p: Option<Value>,
    #[serde(flatten)]
    assigned: Assigned,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Assigned {
    #[serde(default)]
    endpoint: Option<String>,
    #[serde(default)]
    accelerator: Option<String>,
    /// A number, or in some answers a name.
    #[serde(default)]
    machine_shape: Option<Value>,
    #[serde(default)]
    outcome: Option<u64>,
    #[serde(default)]
    runtime_proxy_info: Option<ProxyInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProxyInfo {
    url: String,
    token: String,
    #[serde(default)]
    token_expires_in_seconds: Option<u64>,
}

#[derive(Deserialize)]
struct Assignments {
    #[serde(default)]
    assignments: Vec<Assigned>,
}

#[derive(Deserialize)]
struct TokenOnly {
    token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Units {
    #[serde(default)]
    current_balance: Option<f64>,
    #[serde(default)]
    consumption_rate_hourly: Option<f64>,
    #[serde(default)]
    assignments_count: Option<u64>,
    #[serde(default)]
    eligible_gpus: Option<Vec<String>>,
    #[serde(default)]
    eligible_tpus: Option<Vec<String>>,
}

impl Tun {
    pub(super) fn new(account: Arc<Account>, base: Url) -> Self {
        Self(Web::new(account, base))
    }

    /// Makes one request.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, ColabError> {
        let mut all = vec![("authuser", "0")];
        all.extend(query);
        let mut with = vec![("X-Colab-Client-Agent", "smart-colab")];
        with.extend(headers);
        self.0
            .ask(method, &format!("tun/m/{path}"), &all, &with, None)
            .await
    }

    async fn offer(
        &self,
        method: Method,
        wanted: &Wanted,
        key: &str,
        token: Option<&str>,
    ) -> Result<Offer, ColabError> {
        let mut query = vec![("nbh", key)];
        match wanted.variant {
            Variant::Cpu => {}
            Variant::Gpu => query.push(("variant", "GPU")),
            Variant::Tpu => query.push(("variant", "TPU")),
        }
        let accelerator = wanted.accelerator.as_deref();
        query.extend(accelerator.map(|name| ("accelerator", name)));
        if wanted.high_ram && !wanted.has_one_shape() {
            query.push(("shape", "hm"));
        }
        let headers: Vec<_> = token
            .map(|token| ("X-Goog-Colab-Token", token))
            .into_iter()
            .collect();
        let answer = self.ask(method, "assign", &query, &headers).await?;
        answer.json(|answer| match answer.status {
            StatusCode::BAD_REQUEST if answer.is_page => {
                Some(ColabError::NotEntitled(wanted.to_string()))
            }
            StatusCode::PRECONDITION_FAILED => Some(ColabError::TooMany),
            // A quota is refused in this form, too.
            StatusCode::SERVICE_UNAVAILABLE => Some(match outcome(answer) {
                Some(error) => error,
                None => ColabError::NoneFree(wanted.to_string()),
            }),
            _ => None,
        })
    }

    /// The token to assign a machine with.
    fn token(offer: Offer) -> Result<String, ColabError> {
        let no_captcha = [Value::Null, Value::Bool(false), Value::from("")];
        if offer.p.is_some_and(|p| !no_captcha.contains(&p)) {
            return Err(ColabError::Captcha);
        }
        let token = offer.token;
        token.ok_or_else(|| ColabError::odd("an offer without a token"))
    }
}

#[async_trait]
impl Plane for Tun {
    fn api(&self) -> Api {
        Api::Pages
    }

    async fn assign(&self, wanted: &Wanted, key: &str) -> Result<Machine, ColabError> {
        let mut pauses = PAUSES.iter();
        loop {
            let offer = self.offer(Method::GET, wanted, key, None).await?;
            if offer.assigned.endpoint.is_some() {
                return offer.assigned.machine();
            }
            let token = Self::token(offer)?;
            let assigned = self.offer(Method::POST, wanted, key, Some(&token)).await;
            let failed = match assigned.and_then(|offer| offer.assigned.machine()) {
                Ok(machine) => return Ok(machine),
                Err(error) => error,
            };
            let may_be_there = failed.may_have_arrived();
            if (may_be_there || matches!(failed, ColabError::NoneFree(_)))
                && let Ok(Some(machine)) = self.find(wanted, key).await
            {
                return Ok(machine);
            }
            match pauses.next() {
                Some(pause) if may_be_there => sleep(*pause).await,
                Some(_) | None => return Err(failed),
            }
        }
    }

    async fn find(&self, wanted: &Wanted, key: &str) -> Result<Option<Machine>, ColabError> {
        let offer = self.offer(Method::GET, wanted, key, None).await?;
        match offer.assigned.endpoint {
            Some(_) => offer.assigned.machine().map(Some),
            None => Ok(None),
        }
    }

    async fn list(&self) -> Result<Vec<Machine>, ColabError> {
        let answer = self.ask(Method::GET, "assignments", &[], &[]).await?;
        let list: Assignments = answer.json(|_| None)?;
        list.assignments
            .into_iter()
            .map(Assigned::machine)
            .collect()
    }

    async fn reach(&self, endpoint: &str) -> Result<Option<Machine>, ColabError> {
        let mut listed = self.list().await?.into_iter();
        Ok(listed.find(|machine| machine.endpoint == endpoint))
    }

    async fn unassign(&self, endpoint: &str) -> Result<(), ColabError> {
        let path = format!("unassign/{endpoint}");
        let answer = self.ask(Method::GET, &path, &[], &[]).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        let TokenOnly { token } = answer.json(|_| None)?;
        let headers = [("X-Goog-Colab-Token", &*token)];
        let done = self.ask(Method::POST, &path, &[], &headers).await?;
        match done.status {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            _ => Err(done.refusal()),
        }
    }

    async fn keep_alive(&self, endpoint: &str) -> Result<(), ColabError> {
        let path = format!("{endpoint}/keep-alive/");
        let headers = [("X-Colab-Tunnel", "Google")];
        let asking = self.ask(Method::GET, &path, &[], &headers);
        match tokio::time::timeout(KEEP_ALIVE_TIMEOUT, asking).await {
            Err(_) | Ok(Err(ColabError::TimedOut(_))) => Ok(()),
            Ok(Ok(answer)) if answer.status.is_client_error() => Err(answer.refusal()),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error),
        }
    }

    async fn quota(&self) -> Result<Quota, ColabError> {
        let answer = self.ask(Method::GET, "ccu-info", &[], &[]).await?;
        let units: Units = answer.json(|_| None)?;
        Ok(Quota {
            balance: units.current_balance,
            hourly_rate: units.consumption_rate_hourly,
            machines: units.assignments_count,
            gpus: units.eligible_gpus,
            tpus: units.eligible_tpus,
            tier: None,
        })
    }
}

/// What an assignment's outcome says against it.
fn outcome(answer: &Answer) -> Option<ColabError> {
    let assigned: Assigned = serde_json::from_str(answer.body()).ok()?;
    assigned.refusal()
}

impl Assigned {
    fn refusal(&self) -> Option<ColabError> {
        match self.outcome? {
            outcome if AT_LIMIT.contains(&outcome) => Some(ColabError::AtLimit),
            DENIED => Some(ColabError::Denied),
            _ => None,
        }
    }

    fn machine(self) -> Result<Machine, ColabError> {
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        let endpoint = self.endpoint.filter(|name| is_name(name));
        let endpoint = endpoint.ok_or_else(|| ColabError::odd("a machine without a name"))?;
        let proxy = self.runtime_proxy_info.map(ProxyInfo::proxy).transpose()?;
        let shape = self.machine_shape.unwrap_or_default();
        Ok(Machine {
            endpoint,
            accelerator: self
                .accelerator
                .filter(|name| !name.is_empty() && name != "NONE"),
            high_ram: shape == 1 || shape == "SHAPE_HIGHMEM" || shape == "hm",
            proxy,
        })
    }
}

impl ProxyInfo {
    fn proxy(self) -> Result<Proxy, ColabError> {
        const LIFE: u64 = 3600;
        let expires_in = Duration::from_secs(self.token_expires_in_seconds.unwrap_or(LIFE));
        Proxy::new(&self.url, self.token, expires_in)
    }
}
