//! Notes on a file that is shown. A face words them.

use crate::render::picture::PictureError;

/// One note.
#[derive(Debug)]
pub enum Note {
    /// It is not text.
    Binary {
        /// A line of code that shows its content.
        code: String,
        /// Its content does not match its name.
        is_misnamed: bool,
    },
    /// It is not text, and what is shown of it is how the runtime previews it.
    Preview {
        /// A warning about the file, such as unsaved changes.
        said: Option<String>,
        /// As of [`Note::Binary`].
        code: String,
        is_misnamed: bool,
    },
    /// It is not text, and the runtime would preview it with this package.
    MissingPackage {
        package: String,
        is_misnamed: bool,
    },
    EmptyFile,
    EmptyNotebook,
    /// The requested line does not exist.
    NoSuchLine {
        line: u64,
        /// The number of lines; none if the end was not reached.
        total: Option<u64>,
    },
    /// The picture is too large to be fetched.
    LargePicture,
    UnreadablePicture(PictureError),
    /// The notebook takes too long to read.
    SlowNotebook,
    /// Shown as lines: it is not JSON, or too long to be indented.
    NotAsJson,
    /// Shown as lines: it is not a notebook, incomplete, or too large.
    NotAsNotebook,
    /// Earlier states of progress bars are left out.
    EarlierProgress {
        count: usize,
    },
    /// The lines shown differ from those of the file.
    OtherLines,
    GuessedEncoding,
    /// Some bytes are not valid in the file's encoding.
    OddBytes,
    /// The last line shown is incomplete.
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
        /// The rest that was read is all one row.
        is_endless: bool,
    },
    /// Only the first lines of the indented JSON are shown.
    CutJson {
        lines: usize,
    },
    /// The notebook is cut, perhaps within a cell.
    CutNotebook {
        shown_cells: usize,
        cells: usize,
    },
}
