//! The line at which a cell failed, from the traceback of its exception.

use crate::wire::event::PythonError;

/// The line of the cell itself, and not of what it called; none if the traceback does not show it.
pub(crate) fn body_line(error: &PythonError) -> Option<u64> {
    let text = plain(&error.traceback.join("\n"));
    // The exception's own frames come after those of its causes.
    let named = text.lines().rev().find_map(|line| {
        let (place, rest) = line.split_once(", line ")?;
        let (number, frame) = rest.split_at(digits(rest));
        let is_body = frame.starts_with(", in <module>")
            || (frame.trim().is_empty() && place.trim_start().starts_with("Cell In["));
        is_body.then(|| number.parse().ok())?
    });
    named.or_else(|| text.lines().find_map(marked))
}

/// The number at an arrow, by which IPython 7 marks the failing line of each frame, the cell's first.
fn marked(line: &str) -> Option<u64> {
    let rest = line.trim_start().strip_prefix("--")?;
    let rest = rest.trim_start_matches('-').strip_prefix("> ")?;
    rest[..digits(rest)].parse().ok()
}

fn digits(text: &str) -> usize {
    text.find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len())
}

/// Removes colours.
fn plain(text: &str) -> String {
    let mut pieces = text.split('\u{1b}');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or(piece, |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::body_line;
    use crate::wire::event::PythonError;

    #[test]
    fn the_line_of_the_cell_is_found_in_every_kind_of_traceback() {
        let ipython_9 = "Cell \u{1b}[32mIn[3]\u{1b}[39m\u{1b}[32m, line 4\u{1b}[39m\n      3 a = 1\n\u{1b}[32m----> \u{1b}[39m4 load(i)\n\
            Cell In[1], line 2, in load(n)\n----> 2     raise";
        let ipython_7 = "<ipython-input-1-ab> in <module>\n      1 a = 1\n----> 2 load(i)\n\n~/x.py in load(n)\n----> 9     raise";
        let library = "Traceback (most recent call last):\n  File \"/tmp/1.py\", line 7, in <module>\n  File \"x.py\", line 9, in load";
        let chained = "  File \"a\", line 2, in <module>\nThe above exception\n  File \"a\", line 4, in <module>";
        for (text, line) in [
            (ipython_9, Some(4)),
            (ipython_7, Some(2)),
            (library, Some(7)),
            (chained, Some(4)),
            ("ValueError: no", None),
            ("", None),
        ] {
            let error = PythonError {
                ename: "ValueError".to_owned(),
                evalue: "no".to_owned(),
                traceback: vec![text.to_owned()],
            };
            assert_eq!(body_line(&error), line, "{text}");
        }
    }
}
