//! Which bytes of a file are here and which are still to come. No I/O.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// One state of one remote file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) remote: String,
    pub(super) etag: String,
    /// Bytes.
    pub(super) size: u64,
}

/// A file in pieces that are fetched side by side, each from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) source: Source,
    piece_bytes: u64,
    /// Of each piece, how many bytes from its start are here.
    received: Vec<u64>,
}

/// A stretch that is still to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) piece: usize,
    pub(super) range: Range<u64>,
}

impl Plan {
    /// Nothing is here yet. `piece_bytes` is not 0.
    pub(super) fn new(source: Source, piece_bytes: u64) -> Self {
        let pieces = usize::try_from(source.size.div_ceil(piece_bytes)).unwrap_or(usize::MAX);
        Self {
            source,
            piece_bytes,
            received: vec![0; pieces],
        }
    }

    /// What is still to come of a piece.
    fn rest(&self, piece: usize) -> Option<Range<u64>> {
        let start = piece as u64 * self.piece_bytes;
        let end = (start + self.piece_bytes).min(self.source.size);
        Some(start + self.received.get(piece)?..end)
    }

    /// Where the next `bytes` of a piece belong, if it still lacks so many.
    pub(super) fn room_for(&self, piece: usize, bytes: u64) -> Option<u64> {
        let rest = self.rest(piece)?;
        (bytes <= rest.end - rest.start).then_some(rest.start)
    }

    /// Notes that so many bytes from the piece's start are here. False when the piece has no such bytes.
    pub(super) fn note(&mut self, piece: usize, received: u64) -> bool {
        let length = self
            .source
            .size
            .saturating_sub(piece as u64 * self.piece_bytes);
        match self.received.get_mut(piece) {
            Some(known) if received <= length.min(self.piece_bytes) => {
                *known = received;
                true
            }
            _ => false,
        }
    }

    /// Of one piece, in bytes.
    pub(super) fn received_of(&self, piece: usize) -> u64 {
        self.received.get(piece).copied().unwrap_or(0)
    }

    pub(super) fn missing(&self) -> Vec<Missing> {
        (0..self.received.len())
            .filter_map(|piece| {
                let range = self.rest(piece).filter(|range| !range.is_empty())?;
                Some(Missing { piece, range })
            })
            .collect()
    }

    /// Of the whole file, in bytes.
    pub(super) fn received(&self) -> u64 {
        self.received.iter().sum()
    }

    /// A partial file that has these bytes is at least so long.
    pub(super) fn reach(&self) -> u64 {
        let last = self.received.iter().rposition(|bytes| *bytes > 0);
        last.and_then(|piece| self.rest(piece))
            .map_or(0, |rest| rest.start)
    }
}
