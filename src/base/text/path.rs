//! Paths as texts: those of other machines.

/// Whether a path ends with another one, and not within a name.
#[must_use]
pub fn ends_with_path(path: &str, end: &str) -> bool {
    let above = path.strip_suffix(end);
    above.is_some_and(|above| above.is_empty() || above.ends_with(['/', '\\']))
}

#[cfg(test)]
mod tests {
    use super::ends_with_path;

    #[test]
    fn a_path_ends_with_another_one_only_at_a_folder() {
        for (path, end, expected) in [
            ("a.ipynb", "a.ipynb", true),
            ("/content/books/a.ipynb", "books/a.ipynb", true),
            ("C:\\books\\a.ipynb", "a.ipynb", true),
            ("/content/aa.ipynb", "a.ipynb", false),
            ("a.ipynb", "books/a.ipynb", false),
            ("a.ipynb", "", false),
        ] {
            assert_eq!(ends_with_path(path, end), expected, "{path} {end}");
        }
    }
}
