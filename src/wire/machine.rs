//! `/health` and `/probe`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::session::Session;

/// `GET /health`, the one route without a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    pub status: String,
    pub uptime_minutes: f64,
    /// None where no executor measures it.
    pub memory_available_gb: Option<f64>,
    pub memory_used_pct: Option<f64>,
    pub version: String,
}

/// `GET /probe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub executor: ExecutorFacts,
    pub platform: Platform,
    pub python: Python,
    pub compute: Compute,
    pub gpu: Vec<Gpu>,
    /// Why `gpu` is empty.
    pub gpu_note: Option<String>,
    pub storage: Vec<Storage>,
    /// Versions of the requested packages, none where one is not installed; by default the installed well-known ones.
    pub packages: BTreeMap<String, Option<String>>,
    pub package_count: u64,
    pub limits: Limits,
    pub sessions: Vec<Session>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutorFacts {
    pub version: String,
    pub boot_id: String,
    pub uptime_minutes: f64,
    /// Relative paths start here.
    pub root: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Platform {
    pub system: String,
    pub release: String,
    pub machine: String,
    /// Runs on a Google Colab VM.
    pub colab: bool,
    /// Seconds since a machine of Colab was given to its user; none elsewhere, and from older executors.
    #[serde(default)]
    pub age_sec: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Python {
    pub version: String,
    pub implementation: String,
    pub executable: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compute {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    pub cpu_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_1m: Option<f64>,
    pub memory_total_gb: f64,
    pub memory_available_gb: f64,
    pub memory_used_pct: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    pub index: u64,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_total_gb: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_used_gb: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilization_pct: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda_version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Storage {
    pub path: String,
    pub total_gb: f64,
    pub free_gb: f64,
    pub used_pct: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub max_timeout_sec: u64,
    pub max_wait_sec: u64,
    pub max_body_bytes: u64,
}
