//! A script finds its file and arguments as Python has it.

use std::path::Path;

use serde_json::json;

use super::End;

/// Has the code find its file and arguments, as Python has it, in `__file__` and `sys.argv`: also no arguments where an earlier run of the
/// session had some. The code's lines stay where they are, unless the first one begins a block or is a magic.
pub(super) fn as_script(
    code: String,
    file: Option<&Path>,
    arguments: &[String],
) -> Result<String, End> {
    if code.trim_start().starts_with("%%") {
        return match arguments.is_empty() {
            true => Ok(code),
            false => Err(End::usage(
                "code that begins with a cell magic (%%) takes no arguments",
                "Nothing was sent. Leave them out, or put them into the magic's own line.",
            )),
        };
    }
    // A statement or two of a person's own.
    if file.is_none() && arguments.is_empty() {
        return Ok(code);
    }
    let name = file.map_or("-c".into(), Path::to_string_lossy);
    // JSON's strings are Python's, too.
    let all: Vec<_> = std::iter::once(&*name)
        .chain(arguments.iter().map(String::as_str))
        .collect();
    let mut set = format!("import sys; sys.argv[:] = {}", json!(all));
    if !matches!(&*name, "-c" | "-") {
        set += &format!("; __file__ = {}", json!(name));
    }
    let (first, rest) = code.split_once('\n').unwrap_or((&code, ""));
    Ok(match first.trim() {
        text if text.is_empty() || text.starts_with('#') => format!("{set}  {text}\n{rest}"),
        text if is_simple(text) => format!("{set}; {code}"),
        _ => format!("{set}\n{code}"),
    })
}

/// Whether another statement may come before this line, in the line. IPython compiles each by itself, so that a docstring and an import of
/// `__future__` may.
fn is_simple(line: &str) -> bool {
    let word: String = (line.chars())
        .take_while(|char| char.is_alphanumeric() || *char == '_')
        .collect();
    let begins_block = matches!(
        word.as_str(),
        "async" | "class" | "def" | "for" | "if" | "match" | "try" | "while" | "with"
    );
    let is_magic = line.contains(['!', '%']) || line.ends_with('?');
    !begins_block && !is_magic && !line.starts_with('@')
}

#[cfg(test)]
mod tests {
    use super::as_script;

    #[test]
    fn a_script_finds_its_arguments_and_no_line_moves_that_need_not() {
        let arguments = ["--x".to_owned(), "é\"".to_owned()];
        let with = |code: &str| as_script(code.to_owned(), Some("a.py".as_ref()), &arguments);
        let set = r#"import sys; sys.argv[:] = ["a.py","--x","é\""]; __file__ = "a.py""#;
        for (code, expected) in [
            ("#!/usr/bin/env python\nx", "  #!/usr/bin/env python\nx"),
            ("\nx", "  \nx"),
            (
                "from __future__ import x\nx",
                "; from __future__ import x\nx",
            ),
            ("\"\"\"Doc.\n\"\"\"\nx", "; \"\"\"Doc.\n\"\"\"\nx"),
            ("def f(): ...\nx", "\ndef f(): ...\nx"),
            ("!ls\nx", "\n!ls\nx"),
        ] {
            assert_eq!(with(code).unwrap(), format!("{set}{expected}"));
        }
        let plain = |code: &str, file: Option<&str>| {
            as_script(code.to_owned(), file.map(AsRef::as_ref), &[]).unwrap()
        };
        assert_eq!(plain("x", None), "x");
        assert_eq!(
            plain("x", Some("-")),
            r#"import sys; sys.argv[:] = ["-"]; x"#
        );
        assert_eq!(plain("%%bash\nls", Some("a.sh")), "%%bash\nls");
        assert!(with("%%bash\nls").is_err());
    }
}
