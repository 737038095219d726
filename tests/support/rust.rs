//! A minimal Rust lexer that finds the names in a source.

/// Returns the code without comments and the contents of strings.
pub(crate) fn code_only(text: &str) -> String {
    read(text).0
}

/// Returns the string literals, quotes included.
pub(crate) fn literals(text: &str) -> Vec<&str> {
    read(text).1
}

fn read(text: &str) -> (String, Vec<&str>) {
    let (mut code, mut literals) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_comment = rest.starts_with("//") || rest.starts_with("/*");
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if let Some(marks) = raw_string(rest) {
            let end = format!("\"{}", &rest[1..=marks]);
            let open = marks + 2;
            rest[open..]
                .find(&end)
                .map_or(rest.len(), |at| open + at + end.len())
        } else if first == '"' {
            string(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else {
            let word = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let taken = word.max(first.len_utf8());
            code.push_str(&rest[..taken]);
            rest = &rest[taken..];
            continue;
        };
        code.push(' ');
        if !is_comment {
            literals.push(&rest[..skipped]);
        }
        rest = &rest[skipped..];
    }
    (code, literals)
}

/// Returns the number of `#` of the raw string that begins here.
fn raw_string(rest: &str) -> Option<usize> {
    let marks = rest.strip_prefix('r')?;
    let count = marks.len() - marks.trim_start_matches('#').len();
    marks[count..].starts_with('"').then_some(count)
}

/// Returns the length of the string literal that begins here, quotes included.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// Returns the identifiers and keywords.
pub(crate) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// Returns the top-level modules that a file of `src` names by `crate::…` or by enough `super::`s.
pub(crate) fn crate_paths(path: &str, text: &str) -> Vec<String> {
    let flat: String = code_only(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace(" ::", "::")
        .replace(":: ", "::");
    let mut depth = path["src/".len()..].split('/').count();
    if path.ends_with("/mod.rs") {
        depth -= 1;
    }
    let supers = "super::".repeat(depth);
    let mut found = Vec::new();
    for prefix in ["crate::", supers.as_str()] {
        for (at, _) in flat.match_indices(prefix) {
            let before = flat[..at].chars().next_back();
            let is_whole = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
            if is_whole {
                found.extend(heads(&flat[at + prefix.len()..]));
            }
        }
    }
    found
}

/// Returns `a` of `a::b`, and the heads of each path in `{a::b, c}`.
fn heads(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return words(rest).next().map(str::to_owned).into_iter().collect();
    };
    let mut heads = Vec::new();
    let (mut level, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level > 0 => level -= 1,
            ',' | '}' if level == 0 => {
                heads.extend(words(&group[start..at]).next().map(str::to_owned));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    heads
}
