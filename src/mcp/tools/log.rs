//! The arguments of `get_output` that choose a part of the output, and reading that part.

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use crate::base::ids::JobId;
use crate::base::text::{Pattern, Room};
use crate::caller::DEFAULT_CHARS;
use crate::jobs::Jobs;
use crate::jobs::range::LogRange;
use crate::jobs::search::Search;
use crate::mcp::fault::Fault;
use crate::runtime::RuntimeResult;

const MAX_CHARS: u64 = 100_000;
const MAX_LINES: u64 = 10_000;
const MAX_CONTEXT: u64 = 50;

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(super) struct LogArgs {
    /// Only lines that match this regular expression, each after its byte offset.
    grep: Option<String>,
    /// Lines around each match; default 0.
    context: Option<u64>,
    /// Only the last lines; with grep, the last matches.
    tail_lines: Option<u64>,
    /// Reads the log from this byte on; negative: from its end.
    from_byte: Option<i64>,
    /// Characters shown; default 12,000.
    max_chars: Option<u64>,
}

/// A part of a job's log.
#[derive(Debug)]
pub(super) enum Query {
    /// From a byte on; negative counts from the end.
    From(i64),
    /// So many last lines, not before a byte.
    Last(usize, u64),
    /// The lines found from a byte on, which may be negative.
    Search(Search, i64),
}

impl LogArgs {
    /// The characters wanted.
    pub(super) fn chars(&self) -> Result<usize, Fault> {
        let chars = within("max_chars", self.max_chars, 1, MAX_CHARS)?;
        Ok(chars.unwrap_or(DEFAULT_CHARS))
    }

    /// The part that is wanted; none for head and tail of all output. `after`: whether only new output is wanted;
    /// `until`: whether a line is waited for.
    pub(super) fn query(&self, after: bool, until: bool) -> Result<Option<Query>, Fault> {
        let context = within("context", self.context, 0, MAX_CONTEXT)?;
        let lines = within("tail_lines", self.tail_lines, 1, MAX_LINES)?;
        match self.from_byte {
            Some(_) if after => {
                return Err(Fault::invalid(
                    "both after and from_byte are given: after follows the output, from_byte reads the log",
                ));
            }
            Some(_) if until => {
                return Err(Fault::invalid(
                    "both until and from_byte are given: until waits for output, from_byte reads the log",
                ));
            }
            Some(_) if lines.is_some() && self.grep.is_none() => {
                return Err(Fault::invalid(
                    "both from_byte and tail_lines are given: from_byte reads on from a place, tail_lines reads the end",
                ));
            }
            _ => {}
        }
        let Some(pattern) = &self.grep else {
            if context.is_some() {
                return Err(Fault::invalid(
                    "context is given without grep: it is the number of lines around each match",
                ));
            }
            let last = lines.map(|lines| Query::Last(lines, 0));
            return Ok(last.or(self.from_byte.map(Query::From)));
        };
        let pattern = Pattern::new(pattern).map_err(|error| {
            Fault::invalid(format!(
                "grep is not a regular expression that can be searched for: {error}"
            ))
        })?;
        let search = Search {
            pattern,
            context: context.unwrap_or_default(),
            newest: lines,
        };
        Ok(Some(Query::Search(search, self.from_byte.unwrap_or(0))))
    }
}

impl Query {
    /// Reads this part of a job's log.
    pub(super) async fn read(
        &self,
        jobs: &Jobs,
        id: JobId,
        room: Room,
        deadline: Instant,
    ) -> RuntimeResult<LogRange> {
        match self {
            Self::From(from) => jobs.read_log(id, *from, room, deadline).await,
            Self::Last(lines, from) => jobs.read_tail(id, *lines, *from, room, deadline).await,
            Self::Search(search, from) => jobs.search_log(id, search, *from, room, deadline).await,
        }
    }

    /// The same of the log from byte `from` on.
    pub(super) fn of_new(self, from: u64) -> Self {
        let begin = i64::try_from(from).unwrap_or(i64::MAX);
        match self {
            Self::From(_) => Self::From(begin),
            Self::Last(lines, _) => Self::Last(lines, from),
            Self::Search(search, _) => Self::Search(search, begin),
        }
    }
}

fn within(name: &str, given: Option<u64>, min: u64, max: u64) -> Result<Option<usize>, Fault> {
    match given {
        Some(number) if !(min..=max).contains(&number) => Err(Fault::invalid(format!(
            "{name} is {number}: it must be {min} to {max}"
        ))),
        given => Ok(given.map(|number| usize::try_from(number).unwrap_or(usize::MAX))),
    }
}
