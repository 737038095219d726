//! Google's documented API of Colab (`colaboratory.googleapis.com`, v1beta), which is open to accounts that Google has admitted.
//!
//! A machine is created by an operation under a request id: sent again it is the same operation, and the machine has a name of our choice.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use url::Url;

use super::account::Account;
use super::error::ColabError;
use super::plane::{Machine, Plane, Proxy, Quota, Variant, Wanted, is_name};
use super::web::{Answer, PAUSES, Web};
use crate::edge::google::Api;

const RUNTIMES: &str = "v1beta/runtimes";
/// How long one request waits for an operation: less than any answer may take.
const WAIT: &str = "20s";
/// For a machine to be created.
const CREATE_TIMEOUT: Duration = Duration::from_secs(300);
/// A way without a time of its end.
const LIFE: Duration = Duration::from_secs(3600);
/// Codes of google.rpc.
const ALREADY_EXISTS: i64 = 6;
const RESOURCE_EXHAUSTED: i64 = 8;
const FAILED_PRECONDITION: i64 = 9;
const UNAVAILABLE: i64 = 14;

#[derive(Debug)]
pub(super) struct Official(Web);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Runtime {
    /// `runtimes/ID`.
    name: String,
    #[serde(default)]
    runtime_spec: Spec,
    #[serde(default)]
    connection_info: Option<Connection>,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    accelerator: Option<String>,
    #[serde(default)]
    shape: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    url: String,
    token: String,
    #[serde(default)]
    expire_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    runtimes: Vec<Runtime>,
    #[serde(default)]
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Operation {
    /// `operations/ID`.
    name: String,
    #[serde(default)]
    done: bool,
    #[serde(default)]
    error: Option<Status>,
    #[serde(default)]
    response: Option<Runtime>,
}

/// Why an operation failed.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Specs {
    #[serde(default)]
    runtime_specs: Vec<Offered>,
}

#[derive(Deserialize)]
struct Offered {
    key: Key,
    #[serde(default)]
    eligible: bool,
}

#[derive(Deserialize)]
struct Key {
    #[serde(default)]
    variant: String,
    #[serde(default)]
    accelerator: String,
}

#[derive(Deserialize)]
struct Subscription {
    #[serde(default)]
    tier: Option<String>,
}

impl Official {
    pub(super) fn new(account: Arc<Account>, base: Url) -> Self {
        Self(Web::new(account, base))
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, ColabError> {
        self.0.ask(Method::GET, path, query, &[], None).await
    }

    /// Has the machine created, waits for it until `end`, and returns its name. The same key is the same operation.
    async fn create(&self, wanted: &Wanted, key: &str, end: Instant) -> Result<String, ColabError> {
        let (request, id) = (request_id(key), runtime_id(key));
        let query = [("requestId", &*request), ("runtimeId", &*id)];
        let body = json!({"runtimeSpec": spec(wanted)});
        let asked = self.0.ask(Method::POST, RUNTIMES, &query, &[], Some(&body));
        let mut operation: Operation = read(&asked.await?, wanted)?;
        while !operation.done {
            if Instant::now() > end {
                return Err(ColabError::TimedOut(
                    "the creation of the machine".to_owned(),
                ));
            }
            let path = format!("v1/{}:wait", operation.name);
            operation = read(&self.get(&path, &[("timeout", WAIT)]).await?, wanted)?;
        }
        match operation.error {
            Some(status) if status.code != ALREADY_EXISTS => return Err(status.refusal(wanted)),
            Some(_) | None => {}
        }
        // As it was asked for, unless Google chose another one.
        let named = operation.response.map(|runtime| runtime.id());
        Ok(named.filter(|name| is_name(name)).unwrap_or(id))
    }
}

#[async_trait]
impl Plane for Official {
    fn api(&self) -> Api {
        Api::V1beta
    }

    async fn assign(&self, wanted: &Wanted, key: &str) -> Result<Machine, ColabError> {
        let (mut pauses, end) = (PAUSES.iter(), Instant::now() + CREATE_TIMEOUT);
        loop {
            let created = self.create(wanted, key, end).await;
            // Whatever was answered, it may be there.
            let name = created
                .as_ref()
                .map_or_else(|_| runtime_id(key), String::clone);
            let failed = match (self.reach(&name).await, created) {
                (Ok(Some(machine)), _) => return Ok(machine),
                (_, Err(error)) | (Err(error), Ok(_)) => error,
                (Ok(None), Ok(_)) => ColabError::odd("a new machine that is not there"),
            };
            match pauses.next().filter(|_| Instant::now() < end) {
                Some(pause) if failed.may_have_arrived() => sleep(*pause).await,
                Some(_) | None => return Err(failed),
            }
        }
    }

    async fn find(&self, _: &Wanted, key: &str) -> Result<Option<Machine>, ColabError> {
        self.reach(&runtime_id(key)).await
    }

    async fn reach(&self, endpoint: &str) -> Result<Option<Machine>, ColabError> {
        let answer = self.get(&format!("{RUNTIMES}/{endpoint}"), &[]).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let runtime: Runtime = answer.json(closed)?;
        runtime.machine(answer.date).map(Some)
    }

    async fn list(&self) -> Result<Vec<Machine>, ColabError> {
        let (mut machines, mut next) = (Vec::new(), String::new());
        loop {
            let query = [("pageToken", &*next)];
            let query = if next.is_empty() { &[][..] } else { &query };
            let answer = self.get(RUNTIMES, query).await?;
            let page: Page = answer.json(closed)?;
            for runtime in page.runtimes {
                machines.push(runtime.machine(answer.date)?);
            }
            match page.next_page_token.filter(|token| !token.is_empty()) {
                Some(token) => next = token,
                None => return Ok(machines),
            }
        }
    }

    async fn unassign(&self, endpoint: &str) -> Result<(), ColabError> {
        let path = format!("{RUNTIMES}/{endpoint}");
        let asked = self.0.ask(Method::DELETE, &path, &[], &[], None);
        let answer = asked.await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            _ => Err(closed(&answer).unwrap_or_else(|| answer.refusal())),
        }
    }

    /// There is no such request: Colab sees that a kernel works.
    async fn keep_alive(&self, _: &str) -> Result<(), ColabError> {
        Ok(())
    }

    async fn quota(&self) -> Result<Quota, ColabError> {
        let specs: Specs = self.get("v1beta/runtimespecs", &[]).await?.json(closed)?;
        let paid: Subscription = self.get("v1beta/subscription", &[]).await?.json(closed)?;
        let names = |variant| {
            let of_it = |one: &&Offered| one.eligible && one.key.variant == variant;
            let mut names: Vec<String> = (specs.runtime_specs.iter().filter(of_it))
                .map(|one| one.key.accelerator.clone())
                .collect();
            names.dedup();
            names
        };
        let tier = paid.tier.map(|tier| {
            let name = tier.trim_start_matches("SUBSCRIPTION_TIER_");
            name.to_lowercase().replace('_', " ")
        });
        Ok(Quota {
            machines: Some(self.list().await?.len() as u64),
            gpus: Some(names("VARIANT_GPU")),
            tpus: Some(names("VARIANT_TPU")),
            tier,
            ..Quota::default()
        })
    }
}

impl Runtime {
    fn id(&self) -> String {
        self.name.trim_start_matches("runtimes/").to_owned()
    }

    fn machine(self, now: Option<Timestamp>) -> Result<Machine, ColabError> {
        let endpoint = self.id();
        if !is_name(&endpoint) {
            return Err(ColabError::odd("a machine without a name"));
        }
        let way = |way: Connection| {
            let end: Option<Timestamp> = way.expire_time.and_then(|time| time.parse().ok());
            let left = end.zip(now).map(|(end, now)| end.duration_since(now));
            let left = left.map_or(Ok(LIFE), Duration::try_from);
            Proxy::new(&way.url, way.token, left.unwrap_or_default())
        };
        let named = |name: &String| !name.is_empty() && name != "NONE";
        Ok(Machine {
            endpoint,
            accelerator: self.runtime_spec.accelerator.filter(named),
            high_ram: self.runtime_spec.shape.as_deref() == Some("SHAPE_HIGHMEM"),
            proxy: self.connection_info.map(way).transpose()?,
        })
    }
}

impl Status {
    fn refusal(self, wanted: &Wanted) -> ColabError {
        let reason = self.details.iter().find_map(|one| one["reason"].as_str());
        match (reason, self.code) {
            (Some("TOO_MANY_ACTIVE_RUNTIMES"), _) => ColabError::TooMany,
            (Some("DENYLISTED"), _) => ColabError::Denied,
            (Some("QUOTA_EXCEEDED_USAGE_TIME"), _) => ColabError::AtLimit,
            (None, FAILED_PRECONDITION) => ColabError::NotEntitled(wanted.to_string()),
            (None, RESOURCE_EXHAUSTED | UNAVAILABLE) => ColabError::NoneFree(wanted.to_string()),
            (reason, _) => {
                let said = reason.unwrap_or(&self.message);
                ColabError::refused("Colab's API", StatusCode::CONFLICT.as_u16(), said)
            }
        }
    }
}

/// Reads the answer about an operation.
fn read(answer: &Answer, wanted: &Wanted) -> Result<Operation, ColabError> {
    let operation: Operation = answer.json(|answer| match answer.status {
        StatusCode::SERVICE_UNAVAILABLE => Some(ColabError::NoneFree(wanted.to_string())),
        _ => closed(answer),
    })?;
    let id = operation.name.trim_start_matches("operations/");
    match is_name(id) {
        true => Ok(operation),
        false => Err(ColabError::odd("an operation without a name")),
    }
}

/// The API is not open to the account.
fn closed(answer: &Answer) -> Option<ColabError> {
    let is_closed =
        answer.status == StatusCode::FORBIDDEN && answer.body().contains("SERVICE_DISABLED");
    is_closed.then_some(ColabError::Closed)
}

fn spec(wanted: &Wanted) -> Value {
    let (variant, default) = match wanted.variant {
        Variant::Cpu => ("VARIANT_CPU", "NONE"),
        Variant::Gpu => ("VARIANT_GPU", "T4"),
        Variant::Tpu => ("VARIANT_TPU", "V5E1"),
    };
    let shape = match wanted.high_ram || wanted.has_one_shape() {
        true => "SHAPE_HIGHMEM",
        false => "SHAPE_STANDARD",
    };
    json!({"variant": variant, "accelerator": wanted.accelerator.as_deref().unwrap_or(default), "shape": shape})
}

/// The key as a UUID.
fn request_id(key: &str) -> String {
    key.trim_end_matches('.').replace('_', "-")
}

fn runtime_id(key: &str) -> String {
    format!("sc-{}", request_id(key))
}
