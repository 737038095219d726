//! Machines of Colab that end at the limit of their user, whatever runs there: a machine that is forgotten bills.
//!
//! Whoever runs ends them: a bridge at the time itself, a command of the command line when it is run next. The output so far is fetched before.
//! While neither runs, nothing can end a machine but Colab.
//!
//! May import `colab`, `connection`, `jobs` and what is below them.

mod news;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use crate::base::lock::Lock;
use crate::colab::{Kept, Machines};
use crate::connection::Connection;
use crate::edge::settings::Endpoint;
use crate::jobs::Jobs;
use crate::jobs::keep::Kept as Output;
use crate::jobs::overview::{Row, Source, Wanted};
use crate::jobs::store::{Record, Store};
use crate::provision::remote::Remote;
use crate::wire::state::JobState;
pub use news::{News, Work};

/// How often the records are read: others may have a machine assigned.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// What a machine costs may be reported late, and may be nothing.
const RATE_INTERVAL: Duration = Duration::from_secs(300);
/// After Colab did not take a machine back.
const RETRY_DELAY: Duration = Duration::from_secs(15);
/// After it has said more than once that it has no such machine.
const MISSING_INTERVAL: Duration = Duration::from_secs(300);
/// A machine's end is announced so long before, or in the last fifth of its life if that is shorter.
const WARNING: SignedDuration = SignedDuration::from_mins(10);
const WARNING_PART: i32 = 5;
/// For the output of a machine that is about to end.
const KEEP_TIMEOUT: Duration = Duration::from_secs(30);
/// For removing the kernel through which it was fetched.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Of its newest jobs.
const MAX_JOBS: usize = 50;

/// Ends machines at their limits.
#[derive(Debug)]
pub struct Lease {
    machines: Machines,
    data_dir: PathBuf,
    save_dir: PathBuf,
    /// What was said of each machine, by its key.
    told: Lock<HashMap<String, Told>>,
    /// When Colab was asked what they cost.
    asked: Lock<Option<Instant>>,
    news: Lock<Vec<News>>,
    wake: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    EndsSoon,
    /// Colab has not taken it back so far; it is asked again then.
    Late(Instant),
    /// Colab lists no such machine. A list may be wrong once: it is asked again then.
    Missing(Instant),
}

impl Lease {
    /// Logs are kept under `save_dir`; the records of machines and jobs are in `data_dir`.
    #[must_use]
    pub fn new(data_dir: &Path, save_dir: &Path) -> Self {
        Self {
            machines: Machines::new(data_dir),
            data_dir: data_dir.to_owned(),
            save_dir: save_dir.to_owned(),
            told: Lock::default(),
            asked: Lock::default(),
            news: Lock::default(),
            wake: Notify::new(),
        }
    }

    /// Ends machines at their times, in the background, as long as somebody has this.
    pub fn watch(self: &Arc<Self>) {
        let lease = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(lease) = lease.upgrade() {
                let pause = lease.turn().await;
                let woken = lease.wake.notified();
                // A limit may be set by another process meanwhile.
                let _ = timeout(pause.min(POLL_INTERVAL), woken).await;
            }
        });
    }

    /// Looks at the records now: there is a new one.
    pub fn look(&self) {
        self.wake.notify_one();
    }

    /// What happened since the last call.
    pub fn news(&self) -> Vec<News> {
        std::mem::take(&mut *self.news.lock())
    }

    /// Ends what is past its limit, and returns how long the next one has.
    pub async fn turn(&self) -> Duration {
        let limited = match self.machines.limited(self.asks()).await {
            Ok(limited) => limited,
            Err(error) => {
                tracing::warn!(%error, "the records of machines cannot be read");
                return RETRY_DELAY;
            }
        };
        let mut pause = Duration::MAX;
        for kept in limited {
            let told = self.told.lock().get(&kept.key).copied();
            let Some(ends_at) = kept.ends_at() else {
                continue;
            };
            let left = ends_at.duration_since(Timestamp::now());
            let warning = warning(&kept, ends_at);
            pause = pause.min(match told {
                Some(Told::Late(again) | Told::Missing(again)) if Instant::now() < again => {
                    again - Instant::now()
                }
                _ if !left.is_positive() => self.end(&kept).await,
                _ if left > warning => (left - warning).unsigned_abs(),
                told => {
                    if told.is_none() {
                        self.warn(&kept, ends_at);
                    }
                    left.unsigned_abs()
                }
            });
        }
        pause
    }

    fn asks(&self) -> bool {
        let mut asked = self.asked.lock();
        let asks = asked.is_none_or(|asked| asked.elapsed() > RATE_INTERVAL);
        if asks {
            *asked = Some(Instant::now());
        }
        asks
    }

    fn warn(&self, kept: &Kept, at: Timestamp) {
        self.tell(kept, Told::EndsSoon);
        self.say(News::EndsSoon {
            name: name(kept),
            at,
            limits: kept.limits,
            work: self
                .unfinished(&name(kept))
                .iter()
                .map(Work::from)
                .collect(),
        });
    }

    /// Ends a machine, and returns when to look again. What is running there ends with it; its output so far is fetched before.
    async fn end(&self, kept: &Kept) -> Duration {
        let (work, lost) = self.keep(kept).await;
        let told = self.told.lock().get(&kept.key).copied();
        match self.machines.end(kept).await {
            Ok(Some(name)) => {
                let limits = kept.limits;
                tracing::info!(machine = name, %limits, "a machine was given back at its limit");
                self.say(News::Ended {
                    name,
                    limits,
                    work,
                    lost,
                });
                Duration::MAX
            }
            Ok(None) => {
                let pause = match told {
                    Some(Told::Missing(_)) => MISSING_INTERVAL,
                    _ => RETRY_DELAY,
                };
                self.tell(kept, Told::Missing(Instant::now() + pause));
                pause
            }
            Err(error) => {
                self.tell(kept, Told::Late(Instant::now() + RETRY_DELAY));
                if !matches!(told, Some(Told::Late(_))) {
                    let (name, error) = (name(kept), error.to_string());
                    self.say(News::NotEnded {
                        name,
                        limits: kept.limits,
                        error,
                    });
                }
                RETRY_DELAY
            }
        }
    }

    /// Fetches the logs of a machine's jobs, the unfinished ones first, and returns these; and why not all were fetched.
    async fn keep(&self, kept: &Kept) -> (Vec<Work>, Option<String>) {
        let recorded = self.unfinished(&name(kept));
        let work = || recorded.iter().map(Work::from).collect();
        // A machine that nothing was sent to has no executor.
        let is_used = !self.sent(&name(kept)).is_empty();
        let Some(name) = kept.endpoint.as_ref().filter(|_| is_used) else {
            return (work(), None);
        };
        let Ok(endpoint) = Endpoint::machine(name) else {
            return (work(), None);
        };
        let deadline = Instant::now() + KEEP_TIMEOUT;
        let remote = Arc::new(Remote::at(endpoint, &self.data_dir));
        let connection = Arc::new(Connection::through(remote, &self.data_dir));
        let jobs = Jobs::new(
            connection.clone(),
            self.save_dir.clone(),
            self.data_dir.join("jobs"),
        );
        let keeping = async {
            let wanted = Wanted {
                limit: MAX_JOBS,
                ..Wanted::default()
            };
            let overview = jobs.list(&wanted, deadline).await;
            if let Some(trouble) = overview.trouble {
                return Err(trouble.to_string());
            }
            let is_there = |row: &&Row| row.source == Source::Runtime;
            let here = overview.rows.iter().filter(is_there);
            let (mut work, mut lost) = (Vec::new(), None);
            for row in here {
                let Ok(id) = row.job_id.parse() else { continue };
                let mut output = Output::default();
                jobs.keep_log(id, deadline, &mut output).await;
                if !output.notes.is_empty() {
                    lost = Some(format!("the log of {id} is not complete"));
                }
                if !row.has_ended {
                    work.push(Work::of(row, output.logs.pop()));
                }
            }
            Ok((work, lost))
        };
        let kept = timeout_at(deadline, keeping).await;
        let _ = timeout(STOP_TIMEOUT, connection.stop()).await;
        match kept {
            Ok(Ok(kept)) => kept,
            Ok(Err(error)) => (work(), Some(error)),
            Err(_) => (
                work(),
                Some("the machine did not answer in time".to_owned()),
            ),
        }
    }

    /// Jobs that were sent to a machine from this computer, by whichever bridge, and are not known to have ended.
    #[must_use]
    pub fn unfinished(&self, name: &str) -> Vec<Record> {
        let mut sent = self.sent(name);
        sent.retain(|record| !record.state.is_some_and(JobState::is_final));
        sent
    }

    fn sent(&self, name: &str) -> Vec<Record> {
        let place = format!("colab:{name}");
        let folder = self.data_dir.join("jobs");
        let stores = [folder.join("parts"), folder].map(Store::new);
        // Other machines may have newer ones.
        let all = stores.iter().flat_map(|store| store.newest(usize::MAX));
        all.filter(|record| record.place == place).collect()
    }

    fn tell(&self, kept: &Kept, told: Told) {
        self.told.lock().insert(kept.key.clone(), told);
    }

    fn say(&self, news: News) {
        self.news.lock().push(news);
    }
}

fn name(kept: &Kept) -> String {
    kept.endpoint
        .clone()
        .unwrap_or_else(|| kept.wanted.to_string())
}

fn warning(kept: &Kept, ends_at: Timestamp) -> SignedDuration {
    let asked_at = kept.asked_at.parse().unwrap_or(ends_at);
    WARNING.min(ends_at.duration_since(asked_at) / WARNING_PART)
}
