//! Reads text files by lines while their bytes pass: memory does not grow with the file.

use futures_util::TryStreamExt;

use super::paths::below_root;
use super::refusals::refused;
use super::{Kernels, server_error};
use crate::jupyter::Entry;
use crate::runtime::{ReadQuery, RuntimeResult};
use crate::wire::files::FileText;

/// The lines of a larger file are counted only if the request needs it.
const MAX_COUNTED_BYTES: u64 = 64 << 20;
/// Where a NUL byte shows that a file is not text.
const HEAD_BYTES: u64 = 8 << 10;
const BINARY: &str = "application/octet-stream";
/// Kinds that are no text, whatever their first bytes are.
const NO_TEXT: [&str; 3] = ["image/", "application/pdf", "application/zip"];

pub(super) async fn read(kernels: &Kernels, query: &ReadQuery) -> RuntimeResult<FileText> {
    let path = below_root(&query.path)?;
    let file = kernels.file(&path).await?;
    let size = file.size.unwrap_or_default();
    let mut head = Vec::new();
    pass(kernels, &path, size.min(HEAD_BYTES), |piece| {
        head.extend_from_slice(piece);
        true
    })
    .await?;
    let guessed = mime_guess::from_path(&path).first_raw();
    // TypeScript's ending is one of videos, too.
    let guessed = guessed.filter(|mime| head.contains(&0) || !mime.starts_with("video/"));
    let is_known = |kind: &&str| guessed.is_some_and(|mime| mime.starts_with(*kind));
    let is_text =
        !head.contains(&0) && (guessed == Some("image/svg+xml") || !NO_TEXT.iter().any(is_known));
    if !is_text {
        let nothing = Taken::default();
        return Ok(text(path, &file, guessed.unwrap_or(BINARY), None, nothing));
    }
    let line = match u64::try_from(query.line) {
        Ok(line) => line.max(1),
        Err(_) if size > MAX_COUNTED_BYTES => {
            let detail = format!("{path} is too large to count its lines from the end here.");
            let hint =
                "Ask for lines nearer to its start, or read its end in code: seek() and read().";
            return Err(refused(409, "busy", detail, hint));
        }
        Err(_) => {
            let mut count = Lines::new(0, 1, 0);
            pass(kernels, &path, size, |piece| {
                count.push(piece);
                true
            })
            .await?;
            let after = count.end().total + 1;
            after.saturating_sub(query.line.unsigned_abs()).max(1)
        }
    };
    let mut lines = Lines::new(line - 1, query.lines, query.max_bytes);
    let is_counted = size <= MAX_COUNTED_BYTES;
    let is_whole = pass(kernels, &path, size, |piece| {
        lines.push(piece) || is_counted
    })
    .await?;
    let taken = lines.end();
    let mut text = text(
        path,
        &file,
        guessed.unwrap_or("text/plain"),
        Some(line),
        taken,
    );
    if !is_whole {
        text.total_lines = None;
    }
    Ok(text)
}

/// Hands the first `size` bytes of a file to `take` until that returns false; returns whether it took all.
async fn pass(
    kernels: &Kernels,
    path: &str,
    size: u64,
    mut take: impl FnMut(&[u8]) -> bool,
) -> RuntimeResult<bool> {
    if size == 0 {
        return Ok(true);
    }
    let opened = kernels.server.bytes(path, 0..size).await;
    let mut pieces = kernels.known(path, opened).await?;
    let failed = |error| server_error(error, kernels.address.clone());
    while let Some(piece) = pieces.try_next().await.map_err(failed)? {
        if !take(&piece) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn text(path: String, file: &Entry, mime: &str, line: Option<u64>, taken: Taken) -> FileText {
    FileText {
        path,
        size: file.size.unwrap_or_default(),
        modified_at: file.last_modified.clone(),
        mime: mime.to_owned(),
        is_text: line.is_some(),
        text: String::from_utf8_lossy(&taken.bytes).into_owned(),
        first_line: line,
        next_line: line
            .filter(|_| taken.has_more)
            .map(|line| line + taken.lines),
        total_lines: line.map(|_| taken.total),
        is_cut: taken.is_cut,
        encoding: line.map(|_| "utf-8".to_owned()),
    }
}

/// Takes some lines out of a text that passes by.
#[derive(Debug)]
struct Lines {
    /// Lines still to be passed over.
    skip: u64,
    wanted: u64,
    max_bytes: usize,
    /// The line that has begun, up to `max_bytes` of it.
    line: Vec<u8>,
    is_long: bool,
    is_full: bool,
    is_in_line: bool,
    taken: Taken,
}

#[derive(Debug, Default)]
struct Taken {
    bytes: Vec<u8>,
    lines: u64,
    /// A line follows those that were taken.
    has_more: bool,
    is_cut: bool,
    /// All lines that passed.
    total: u64,
}

impl Lines {
    fn new(skip: u64, wanted: u64, max_bytes: u64) -> Self {
        Self {
            skip,
            wanted,
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            line: Vec::new(),
            is_long: false,
            is_full: false,
            is_in_line: false,
            taken: Taken::default(),
        }
    }

    /// Returns whether more is needed.
    fn push(&mut self, piece: &[u8]) -> bool {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if !self.is_in_line {
                self.taken.total += 1;
                self.taken.has_more |= self.is_full;
            }
            let (body, ends) = match part.strip_suffix(b"\n") {
                Some(body) => (body, true),
                None => (part, false),
            };
            if self.is_taking() {
                let room = self.max_bytes - self.line.len();
                self.is_long |= body.len() > room;
                self.line.extend_from_slice(&body[..body.len().min(room)]);
            }
            self.is_in_line = !ends;
            if ends {
                self.end_line(b"\n");
            }
        }
        !self.taken.has_more
    }

    fn is_taking(&self) -> bool {
        self.skip == 0 && !self.is_full
    }

    fn end_line(&mut self, sign: &[u8]) {
        if !self.is_taking() {
            self.skip = self.skip.saturating_sub(1);
            return;
        }
        let line = std::mem::take(&mut self.line);
        let fits = self.taken.bytes.len() + line.len() <= self.max_bytes;
        if self.taken.lines > 0 && (self.is_long || !fits) {
            // It is the first of the next page.
            self.taken.has_more = true;
            self.is_full = true;
            return;
        }
        self.taken.is_cut = self.is_long;
        self.taken.bytes.extend_from_slice(&line);
        if !self.is_long {
            self.taken.bytes.extend_from_slice(sign);
        }
        self.taken.lines += 1;
        self.is_full = self.is_long || self.taken.lines == self.wanted;
    }

    /// What was taken of a text that has passed.
    fn end(mut self) -> Taken {
        if self.is_in_line {
            self.end_line(b"");
        }
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::{Lines, Taken};

    fn take(text: &str, skip: u64, wanted: u64, max_bytes: u64, piece: usize) -> Taken {
        let mut lines = Lines::new(skip, wanted, max_bytes);
        for piece in text.as_bytes().chunks(piece) {
            lines.push(piece);
        }
        lines.end()
    }

    #[test]
    fn whole_lines_are_taken_whatever_the_pieces() {
        let text = "one\ntwo\n\nfour is long\nfive";
        for (skip, wanted, max_bytes, expected, has_more, is_cut) in [
            (0, 10, 100, text, false, false),
            (0, 2, 100, "one\ntwo\n", true, false),
            (1, 2, 100, "two\n\n", true, false),
            (1, 9, 8, "two\n\n", true, false),
            (3, 9, 8, "four is ", true, true),
            (3, 9, 12, "four is long\n", true, false),
            (4, 9, 100, "five", false, false),
            (9, 9, 100, "", false, false),
        ] {
            for piece in [1, 2, 5, 100] {
                let taken = take(text, skip, wanted, max_bytes, piece);
                let found = (
                    std::str::from_utf8(&taken.bytes).unwrap(),
                    taken.has_more,
                    taken.is_cut,
                    taken.total,
                );
                assert_eq!(
                    found,
                    (expected, has_more, is_cut, 5),
                    "{skip} {wanted} {max_bytes} {piece}"
                );
            }
        }
    }
}
