//! Turns a loop's body into the loop that it ran in.

use std::ops::Range;

const INDENT: &str = "    ";

/// Puts `body` under a `for` over `range`, of `total` iterations, and under a comment that begins with `title`.
pub(super) fn of_loop(title: &str, body: &str, range: &Range<u64>, total: u64) -> String {
    let mut text = format!(
        "# {title}: iterations {} to {} of {total}\n",
        range.start,
        range.end.saturating_sub(1)
    );
    if body.contains("{i}") {
        text.push_str("# In that tool {i} means the iteration's number: in a notebook write i.\n");
    }
    text.push_str(&format!(
        "for i in range({}, {}):\n",
        range.start, range.end
    ));
    text.push_str(&indented(body));
    text
}

/// Indents every line of code; lines inside a string stay unchanged, because they are its value.
fn indented(body: &str) -> String {
    let first = body.lines().find(|line| !line.trim().is_empty());
    let margin = first.map_or("", |line| &line[..line.len() - line.trim_start().len()]);
    let mut quote = None;
    let mut lines = Vec::new();
    for line in body.trim_end().lines() {
        let is_code = quote.is_none();
        quote = open_quote(line, quote);
        lines.push(if !is_code {
            line.to_owned()
        } else if line.trim().is_empty() {
            String::new()
        } else {
            format!("{INDENT}{}", line.strip_prefix(margin).unwrap_or(line))
        });
    }
    lines.join("\n")
}

/// The triple quote that is open after `line`, if `open` was open before it.
fn open_quote(line: &str, mut open: Option<&'static str>) -> Option<&'static str> {
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if let Some(quote) = open {
            if let Some(after) = rest.strip_prefix(quote) {
                (open, rest) = (None, after);
                continue;
            }
        } else if c == '#' {
            return None;
        } else if let Some(quote) = ["\"\"\"", "'''", "\"", "'"]
            .into_iter()
            .find(|quote| rest.starts_with(quote))
        {
            (open, rest) = (Some(quote), &rest[quote.len()..]);
            continue;
        }
        let mut chars = rest.chars();
        chars.next();
        if c == '\\' {
            chars.next();
        }
        rest = chars.as_str();
    }
    // A plain string ends with its line in valid code.
    open.filter(|quote| quote.len() == 3)
}

#[cfg(test)]
mod tests {
    use super::{indented, of_loop};

    #[test]
    fn a_body_becomes_the_body_of_a_loop() {
        let text = of_loop("chunks", "x = i\nif x:\n    print(x)\n\nx\n", &(5..8), 20);
        assert_eq!(
            text,
            "# chunks: iterations 5 to 7 of 20\nfor i in range(5, 8):\n    x = i\n    if x:\n        print(x)\n\n    x"
        );
        assert!(of_loop("", "files[{i}]", &(0..1), 1).contains("means the iteration's number"));
    }

    #[test]
    fn an_indented_body_is_shifted_as_a_whole() {
        assert_eq!(
            indented("\n  a\n  if a:\n    b\n"),
            "\n    a\n    if a:\n      b"
        );
    }

    #[test]
    fn lines_inside_a_string_are_not_indented() {
        for (body, expected) in [
            ("s = '''a\n  b\n'''\nt", "    s = '''a\n  b\n'''\n    t"),
            (
                "s = \"\"\"it's\nb\"\"\"\nt",
                "    s = \"\"\"it's\nb\"\"\"\n    t",
            ),
            ("a = '\"\"\"'\nb", "    a = '\"\"\"'\n    b"),
            ("a  # it's \"\"\"\nb", "    a  # it's \"\"\"\n    b"),
            (
                "a = '\\'' '''\nx''' 'y'\nb",
                "    a = '\\'' '''\nx''' 'y'\n    b",
            ),
            ("s = '''\\'''\nx'''\nb", "    s = '''\\'''\nx'''\n    b"),
            ("!echo it's\nb", "    !echo it's\n    b"),
        ] {
            assert_eq!(indented(body), expected, "{body:?}");
        }
    }
}
