//! The form in which a file is shown.

use super::note::Note;

/// The form in which a file is shown if no line is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Lines,
    Table {
        delimiter: Option<char>,
    },
    Json,
    /// An object of JSON a line.
    JsonLines,
    Notebook,
}

impl Form {
    /// Why a file of this form is shown as lines.
    pub(super) fn note(self) -> Option<Note> {
        match self {
            Self::Json => Some(Note::NotAsJson),
            Self::Notebook => Some(Note::NotAsNotebook),
            Self::Table { .. } | Self::JsonLines | Self::Lines => None,
        }
    }

    pub(super) fn of_name(path: &str) -> Self {
        let name = path.to_ascii_lowercase();
        match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
            "csv" => Self::Table { delimiter: None },
            "psv" => Self::Table {
                delimiter: Some('|'),
            },
            "tsv" | "tab" => Self::Table {
                delimiter: Some('\t'),
            },
            "json" | "geojson" => Self::Json,
            "jsonl" | "ndjson" => Self::JsonLines,
            "ipynb" => Self::Notebook,
            _ => Self::Lines,
        }
    }

    pub(super) fn or_of_mime(self, mime: &str) -> Self {
        match (self, mime) {
            (Self::Lines, "text/csv") => Self::Table { delimiter: None },
            (Self::Lines, "text/tab-separated-values") => Self::Table {
                delimiter: Some('\t'),
            },
            (Self::Lines, "application/json") => Self::Json,
            (Self::Lines, "application/x-ipynb+json") => Self::Notebook,
            (form, _) => form,
        }
    }
}
