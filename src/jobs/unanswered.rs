//! Advises on code that asked for input and got none: `input()`, `getpass()`, a debugger's prompt.

use crate::wire::event::PythonError;

/// The advice on such an exception.
pub(super) fn advise(error: &PythonError) -> &'static str {
    let is_debugger = error.traceback.iter().any(|part| part.contains("cmdloop"));
    if is_debugger {
        "A debugger gets no input here. Remove set_trace() or %debug (%pdb off, where %pdb is on) and run the code again; print the values of \
         interest, %tb shows the last exception's traceback."
    } else if error.headline().starts_with("getpass") {
        "There is no input to answer getpass() here, and a password does not belong in the code. Ask the user to store it where the code runs (a file, an \
         environment variable, Colab's Secrets), read it from there and run the code again."
    } else if error.headline().contains("declined") {
        "The user declined to answer: ask them in the conversation what they want, and run the code again only with their agreement."
    } else if error.headline().contains("not answered") {
        "Ask the user in the conversation for the value, put it in the code and run it again."
    } else {
        "There is nobody to answer input() here: put the value in the code and run it again."
    }
}

#[cfg(test)]
mod tests {
    use super::advise;
    use crate::wire::event::PythonError;

    #[test]
    fn code_that_asks_for_input_is_advised_by_what_asks() {
        let stack = "File cmd.py:126, in Cmd.cmdloop(self, intro)";
        for (said, traceback, wanted, unwanted) in [
            (
                "raw_input was called, but …",
                "cell",
                "answer input()",
                "debugger",
            ),
            (
                "getpass was called, but …",
                "cell",
                "answer getpass()",
                "value in the code",
            ),
            ("raw_input was called, but …", stack, "debugger", "input()"),
            (
                "input() was called, and the user declined to answer",
                "cell",
                "The user declined",
                "nobody",
            ),
            (
                "input() was called, and the question was not answered (…)",
                "cell",
                "Ask the user in the conversation",
                "declined",
            ),
        ] {
            let advice = advise(&PythonError {
                ename: "StdinNotImplementedError".to_owned(),
                evalue: said.to_owned(),
                traceback: vec![traceback.to_owned()],
            });
            assert!(advice.contains(wanted), "{advice}");
            assert!(!advice.contains(unwanted), "{advice}");
        }
    }
}
