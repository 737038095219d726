//! Judges a machine by its report of itself: what its user should know. A face words it.
//!
//! - here: what it reports; [`lifetime`]: how long a machine of Colab has left.
//!
//! May import `base`, `wire`.

pub mod lifetime;

use crate::wire::machine::{Health, Probe};

/// A GPU with a larger share of its memory in use is nearly full.
const MAX_GPU_SHARE: f64 = 0.9;
const MIN_MEMORY_GB: f64 = 2.0;
const MIN_DISK_GB: f64 = 5.0;
const MAX_MEMORY_PCT: f64 = 90.0;

/// Something that the user of a machine should know.
#[derive(Debug, Clone, PartialEq)]
pub enum Concern {
    /// There is no GPU; `why` is the machine's own explanation.
    NoGpu {
        why: Option<String>,
    },
    FullGpu {
        index: u64,
        used_gb: f64,
        total_gb: f64,
    },
    LittleMemory {
        available_gb: f64,
    },
    LittleDisk {
        path: String,
        free_gb: f64,
    },
    /// The machine is temporary, and so are its files.
    Temporary,
}

/// Returns what the user of a machine should know.
#[must_use]
pub fn concerns(probe: &Probe) -> Vec<Concern> {
    let mut concerns = Vec::new();
    if probe.gpu.is_empty() {
        let why = probe.gpu_note.clone();
        concerns.push(Concern::NoGpu { why });
    }
    concerns.extend(probe.gpu.iter().filter_map(|gpu| {
        let (total_gb, used_gb) = (gpu.memory_total_gb?, gpu.memory_used_gb?);
        (used_gb > total_gb * MAX_GPU_SHARE).then_some(Concern::FullGpu {
            index: gpu.index,
            used_gb,
            total_gb,
        })
    }));
    let available_gb = probe.compute.memory_available_gb;
    if available_gb < MIN_MEMORY_GB {
        concerns.push(Concern::LittleMemory { available_gb });
    }
    for storage in &probe.storage {
        if storage.free_gb < MIN_DISK_GB {
            concerns.push(Concern::LittleDisk {
                path: storage.path.clone(),
                free_gb: storage.free_gb,
            });
        }
    }
    if probe.platform.colab {
        concerns.push(Concern::Temporary);
    }
    concerns
}

/// Whether the machine's memory is nearly used up.
#[must_use]
pub fn is_memory_short(health: &Health) -> bool {
    health
        .memory_used_pct
        .is_some_and(|used| used > MAX_MEMORY_PCT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Concern, concerns};
    use crate::wire::machine::Probe;

    fn probe(used_gb: f64, free_gb: f64) -> Probe {
        serde_json::from_value(json!({
            "executor": {"version": "1", "boot_id": "b", "uptime_minutes": 1.0, "root": "/content"},
            "platform": {"system": "Linux", "release": "6", "machine": "x86_64", "colab": true},
            "python": {"version": "3.12", "implementation": "CPython", "executable": "python"},
            "compute": {
                "cpu_model": null, "cpu_count": 2, "load_1m": null,
                "memory_total_gb": 12.0, "memory_available_gb": free_gb, "memory_used_pct": 10.0,
            },
            "gpu": [{
                "index": 0, "name": "T4", "memory_total_gb": 15.0, "memory_used_gb": used_gb, "utilization_pct": null,
                "temperature_c": null, "driver_version": null, "cuda_version": null,
            }],
            "gpu_note": null,
            "storage": [{"path": "/", "total_gb": 100.0, "free_gb": free_gb, "used_pct": 10.0}],
            "packages": {},
            "package_count": 0,
            "limits": {"max_timeout_sec": 1, "max_wait_sec": 1, "max_body_bytes": 1},
            "sessions": [],
        }))
        .unwrap()
    }

    #[test]
    fn only_scarce_resources_are_named() {
        assert_eq!(concerns(&probe(1.0, 50.0)), [Concern::Temporary]);
        let short = [
            Concern::FullGpu {
                index: 0,
                used_gb: 14.0,
                total_gb: 15.0,
            },
            Concern::LittleMemory { available_gb: 1.0 },
            Concern::LittleDisk {
                path: "/".to_owned(),
                free_gb: 1.0,
            },
            Concern::Temporary,
        ];
        assert_eq!(concerns(&probe(14.0, 1.0)), short);
    }
}
