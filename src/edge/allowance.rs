//! Counts the bytes received through ngrok in this calendar month. Its free plan lets 1 GB a month out of an endpoint, does not count what goes
//! in, and resets on the first (<https://ngrok.com/docs/pricing-limits/free-plan-limits/>); only the account's own page includes what other
//! computers fetched.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use url::Url;

use super::lock::FileLock;
use super::store::{read_if_there, write_quickly};
use crate::base::lock::Lock;

/// Bytes that the free plan lets out in a month.
pub const NGROK_FREE_BYTES: u64 = 1_000_000_000;
const NGROK_DOMAINS: [&str; 5] = [
    "ngrok-free.app",
    "ngrok-free.dev",
    "ngrok.app",
    "ngrok.dev",
    "ngrok.io",
];
/// The count is saved this often; a bridge that is killed loses no more than that.
const WRITE_INTERVAL: Duration = Duration::from_secs(3);
/// Tries to save at the end: another bridge holds the lock only for a moment.
const MAX_LOCK_TRIES: u32 = 20;
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(5);

/// Whether traffic from this address counts.
#[must_use]
pub fn is_ngrok(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        NGROK_DOMAINS.iter().any(|domain| {
            let below = host.strip_suffix(domain);
            below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
        })
    })
}

/// This computer's count, shared by all its bridges. Failures are logged and never reach the caller.
#[derive(Debug)]
pub struct Allowance {
    path: PathBuf,
    /// Never held during disk access.
    pending: Lock<Pending>,
    /// Held while pending bytes are saved.
    writing: Lock<()>,
}

#[derive(Debug)]
struct Pending {
    /// Bytes that are not saved yet.
    bytes: u64,
    written: Instant,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// `2026-11`, in UTC.
    month: String,
    bytes: u64,
}

impl Allowance {
    /// Counts in the file at `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            pending: Lock::new(Pending {
                bytes: 0,
                written: Instant::now(),
            }),
            writing: Lock::default(),
        }
    }

    /// Counts received bytes. Never blocks: it is called for every chunk, and a thread of its own saves the count now and then.
    pub fn add(self: &Arc<Self>, bytes: u64) {
        let mut pending = self.pending();
        pending.bytes += bytes;
        if pending.written.elapsed() < WRITE_INTERVAL {
            return;
        }
        pending.written = Instant::now();
        drop(pending);
        let ours = self.clone();
        spawn(move || ours.write(1));
    }

    /// Bytes received this month. Reads and writes a small file; does not wait for another bridge.
    #[must_use]
    pub fn of_this_month(&self) -> u64 {
        self.write(1);
        let _still = self.writing();
        self.read().bytes + self.pending().bytes
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock()
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock()
    }

    /// Adds pending bytes to the saved count; bytes that cannot be saved stay pending.
    fn write(&self, tries: u32) {
        let _alone = self.writing();
        let bytes = std::mem::take(&mut self.pending().bytes);
        if bytes == 0 {
            return;
        }
        let written = self.try_write(bytes, tries).unwrap_or_else(|error| {
            tracing::warn!(%error, "the count of ngrok traffic could not be saved");
            false
        });
        if !written {
            self.pending().bytes += bytes;
        }
    }

    /// False while another bridge is writing.
    fn try_write(&self, bytes: u64, tries: u32) -> io::Result<bool> {
        let lock = self.path.with_extension("lock");
        for number in 1..=tries {
            if let Some(_held) = FileLock::try_take(&lock)? {
                let mut record = self.read();
                record.bytes += bytes;
                write_quickly(&self.path, &serde_json::to_vec(&record)?)?;
                return Ok(true);
            }
            if number < tries {
                sleep(LOCK_RETRY_DELAY);
            }
        }
        Ok(false)
    }

    /// A record of another month, or one that cannot be read, counts as zero.
    fn read(&self) -> Record {
        let bytes = read_if_there(&self.path).ok().flatten();
        let record: Option<Record> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let month = this_month();
        record
            .filter(|record| record.month == month)
            .unwrap_or(Record { month, bytes: 0 })
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.write(MAX_LOCK_TRIES);
    }
}

fn this_month() -> String {
    let now = jiff::Timestamp::now().to_string();
    now.chars().take("2026-11".len()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use url::Url;

    use super::{Allowance, FileLock, WRITE_INTERVAL, is_ngrok};

    #[test]
    fn only_domains_of_ngrok_count() {
        for (url, expected) in [
            ("https://a-b.ngrok-free.app", true),
            ("https://a.ngrok-free.dev/x", true),
            ("https://a.eu.ngrok.io", true),
            ("https://a.ngrok.app", true),
            ("https://a.ngrok.dev", true),
            ("https://notngrok.io", false),
            ("https://a.trycloudflare.com", false),
            ("https://ngrok.io.example.com", false),
        ] {
            assert_eq!(is_ngrok(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    fn counter(path: &Path) -> Arc<Allowance> {
        Arc::new(Allowance::new(path.to_owned()))
    }

    #[test]
    fn counting_never_waits_for_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ngrok.json");
        let allowance = counter(&path);
        let disk = allowance.writing();
        allowance.pending().written -= 2 * WRITE_INTERVAL;
        // The writing thread waits for the disk; this one would wait for ever.
        allowance.add(5);
        allowance.add(6);
        assert_eq!(allowance.pending().bytes, 11);
        drop(disk);
        assert_eq!(allowance.of_this_month(), 11);
    }

    #[test]
    fn bytes_are_counted_while_another_bridge_holds_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ngrok.json");
        let allowance = counter(&path);
        let other = FileLock::try_take(&path.with_extension("lock")).unwrap();
        allowance.add(5);
        assert_eq!(allowance.of_this_month(), 5);
        assert!(!path.exists());
        drop(other);
        drop(allowance);
        assert_eq!(counter(&path).of_this_month(), 5);
    }

    #[test]
    fn two_bridges_count_together_and_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ngrok.json");
        let (one, other) = (counter(&path), counter(&path));
        std::thread::scope(|scope| {
            for bridge in [&one, &other] {
                scope.spawn(|| {
                    for _ in 0..50 {
                        bridge.add(10);
                        let _ = bridge.of_this_month();
                    }
                });
            }
        });
        one.add(7);
        drop(one);
        assert_eq!(other.of_this_month(), 1007);
        drop(other);
        assert_eq!(counter(&path).of_this_month(), 1007);
    }

    #[test]
    fn a_new_month_starts_at_zero() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ngrok.json");
        fs::write(&path, r#"{"month":"2020-01","bytes":5}"#).unwrap();
        let allowance = counter(&path);
        assert_eq!(allowance.of_this_month(), 0);
        allowance.add(3);
        assert_eq!(allowance.of_this_month(), 3);
    }
}
