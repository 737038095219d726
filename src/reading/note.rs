//! What there is to say of a file beside what is shown of it; a face finds the words.

use crate::render::picture::PictureError;

/// One thing to say.
#[derive(Debug)]
pub enum Note {
    /// It is not text.
    Binary {
        /// A line of code that shows what is in it.
        code: String,
        /// It is not what its name says.
        is_misnamed: bool,
    },
    EmptyFile,
    EmptyNotebook,
    /// The line that was asked for is not there.
    NoSuchLine {
        line: u64,
        /// How many there are; none where the end was not seen.
        total: Option<u64>,
    },
    /// The picture is larger than what is fetched to be looked at.
    LargePicture,
    UnreadablePicture(PictureError),
    /// The notebook takes too long to read.
    SlowNotebook,
    /// It is shown as lines: it is no JSON, or too long to be indented.
    NotAsJson,
    /// It is shown as lines: it is no notebook, not a whole one, or too large.
    NotAsNotebook,
    /// Earlier states of progress bars are left out.
    EarlierProgress {
        count: usize,
    },
    /// The lines that are shown are not those of the file.
    OtherLines,
    GuessedEncoding,
    /// Some bytes are no character of the file's encoding.
    OddBytes,
    /// The last line that is shown is not whole.
    CutLine,
    /// A line opens a quote that is never closed.
    UnclosedQuote {
        line: usize,
    },
    CutColumns {
        shown: usize,
    },
    CutCells,
    /// There are more lines.
    NextLine {
        line: u64,
    },
    /// There are more rows.
    NextRow {
        line: u64,
        /// All that follows is one row as far as was read.
        is_endless: bool,
    },
    /// Only the first lines of the indented JSON are shown.
    CutJson {
        lines: usize,
    },
    /// The notebook is shown as far as into a cell.
    CutNotebook {
        shown_cells: usize,
        cells: usize,
    },
}
