//! A line of the results file.

use std::io;
use std::ops::Not;

use serde::Serialize;
use serde_json::Value;

use crate::wire::event::{Progress, PythonError};

#[derive(Serialize)]
struct ResultLine<'a> {
    i: u64,
    result: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// It ran again, and this is its result.
    #[serde(skip_serializing_if = "Not::not")]
    retried: bool,
}

/// The line for a finished iteration.
pub(super) fn result_line(i: u64, progress: &Progress, retried: bool) -> io::Result<String> {
    let line = ResultLine {
        i,
        result: &progress.result,
        error: progress.error.as_ref().map(PythonError::sentence),
        retried,
    };
    Ok(serde_json::to_string(&line)?)
}

#[cfg(test)]
mod tests {
    use super::result_line;

    #[test]
    fn numbers_keep_their_last_digit() {
        // Read without care, each of them is its neighbour.
        for number in [
            "31.245270191439438",
            "1.7976931348623157e+308",
            "9007199254740993",
            "0.1",
        ] {
            let text = format!(
                r#"{{"completed": 1, "total": 1, "message": null, "iteration": 0, "result": {number}, "error": null}}"#
            );
            let line = result_line(0, &serde_json::from_str(&text).unwrap(), false).unwrap();
            assert_eq!(line, format!(r#"{{"i":0,"result":{number}}}"#));
        }
    }
}
