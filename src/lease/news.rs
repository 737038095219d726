//! What is to be said of machines with a limit.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use jiff::Timestamp;

use crate::edge::limits::Limits;
use crate::jobs::overview::Row;
use crate::jobs::store::Record;
use crate::render::rows::short_time;

/// Named of a machine's work, at most.
const MAX_NAMED: usize = 5;

/// Code that runs on a machine, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    job: String,
    code: String,
    /// Where its output so far is.
    log: Option<PathBuf>,
}

/// What happens to a machine.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    EndsSoon {
        name: String,
        at: Timestamp,
        limits: Limits,
        work: Vec<Work>,
    },
    /// It was given back.
    Ended {
        name: String,
        limits: Limits,
        /// What ran there.
        work: Vec<Work>,
        /// Why not all output was fetched before.
        lost: Option<String>,
    },
    /// Colab has not taken it back so far.
    NotEnded {
        name: String,
        limits: Limits,
        error: String,
    },
}

impl Work {
    pub(super) fn of(row: &Row, log: Option<PathBuf>) -> Self {
        Self {
            job: row.job_id.clone(),
            code: row.code_head.clone(),
            log,
        }
    }
}

impl From<&Record> for Work {
    fn from(record: &Record) -> Self {
        Self {
            job: record.job_id.to_string(),
            code: record.code_head.clone(),
            log: None,
        }
    }
}

impl Display for Work {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.job, self.code)?;
        match &self.log {
            Some(log) => write!(f, ", its output so far in {}", log.display()),
            None => Ok(()),
        }
    }
}

impl Display for News {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndsSoon {
                name,
                at,
                limits,
                work,
            } => {
                let at = short_time(&at.to_string(), Timestamp::now());
                write!(
                    f,
                    "{name} is given back at {at} UTC, at its limit of {limits}, whatever runs there: copy what must last from it before."
                )?;
                named(f, " Not known to have ended: ", work)
            }
            Self::Ended {
                name,
                limits,
                work,
                lost,
            } => {
                write!(
                    f,
                    "{name} was given back at its limit of {limits}; its files and variables are lost."
                )?;
                named(f, " What ran there was ended: ", work)?;
                match lost {
                    Some(why) => {
                        write!(f, " Not all of its output could be fetched before: {why}.")
                    }
                    None => Ok(()),
                }
            }
            Self::NotEnded {
                name,
                limits,
                error,
            } => write!(
                f,
                "{name} is past its limit of {limits}, and Colab has not taken it back so far ({error}); it is tried again. It costs compute units until then."
            ),
        }
    }
}

fn named(f: &mut Formatter<'_>, begin: &str, work: &[Work]) -> fmt::Result {
    if work.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = work.iter().take(MAX_NAMED).map(Work::to_string).collect();
    write!(f, "{begin}{}", shown.join("; "))?;
    match work.len().saturating_sub(MAX_NAMED) {
        0 => f.write_str("."),
        more => write!(f, "; and {more} more."),
    }
}
