//! The newest line of a screen, for progress reports.

/// The last complete line, and the unfinished one after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Newest {
    /// The last complete line that is not blank; for a line that is redrawn, its last complete state.
    pub line: String,
    /// A line without an end: a partial one, or a prompt.
    pub unfinished: String,
}

#[cfg(test)]
mod tests {
    use crate::base::text::{Room, Screen};

    #[test]
    fn a_partial_line_is_never_taken_for_a_complete_one() {
        for (pieces, line, unfinished) in [
            (&["one\ntwo\n\n"][..], "two", ""),
            (&["one\ntwo"], "one", "two"),
            (&["epoch 3", ", loss"], "", "epoch 3, loss"),
            (&["one\r\n", "tw"], "one", "tw"),
            // Bars: the first state may still be incomplete.
            (&["start\n\r 10%|#"], "start", " 10%|#"),
            (&["start\n\r 10%|# |", "\r"], " 10%|# |", ""),
            (&["\r 10%|# |", "\r 1"], " 10%|# |", ""),
            (&["\r 10%|# |", "\r 20%|##|"], " 20%|##|", ""),
            (&["\r 10%|# |", "\r\u{1b}[K 2"], " 10%|# |", ""),
            (&["\r 10%|# |", "\r100%|##|\n"], "100%|##|", ""),
            (&["\r 10%|# |", "\r100%|##|\nDo"], "100%|##|", "Do"),
            (&["1 of 3\r", "2 of 3\r"], "2 of 3", ""),
            (&["1 of 3\r", "2 of"], "1 of 3", ""),
            (&["busy |", "\u{8}/", "\u{8}-"], "busy -", ""),
            (&["outer: 1\n\rinner: 1\u{1b}[A"], "outer: 1", ""),
        ] {
            let mut screen = Screen::new(Room::for_chars(100));
            pieces.iter().for_each(|piece| screen.push(piece));
            let newest = screen.newest();
            assert_eq!(
                (&*newest.line, &*newest.unfinished),
                (line, unfinished),
                "{pieces:?}"
            );
        }
    }
}
