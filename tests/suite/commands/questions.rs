//! Code that asks the user, in a terminal and without one.

use std::process::Command;

use super::{ended, said};
use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::python::python;

/// Runs a program in a terminal: answers the first question, ends the input at the second one, and presses Ctrl-C at the third one.
const PERSON: &str = r"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
shown = b''
for question, keys in (b'Name? ', b'Ada\n'), (b'Age? ', b'\x04'), (b'Stop? ', b'\x03'):
    while question not in shown:
        shown += os.read(terminal, 4096)
    os.write(terminal, keys)
try:
    while piece := os.read(terminal, 4096):
        shown += piece
except OSError:
    pass
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
const CODE: &str = "print('Hello', input('Name? '))\ntry: input('Age? ')\nexcept EOFError: print('no age')\ninput('Stop? ')";

#[test]
fn code_asks_in_the_terminal() {
    let (executor, home) = (Executor::shared(), Home::new());
    let line = executor.line();
    let run = ["run", "--session", "terminal", "-c", CODE];
    let program = home.program(&[("COLAB_URL", &line)]);
    let mut person = Command::new(python());
    person
        .args(["-c", PERSON])
        .arg(program.get_program())
        .args(run);
    person.env_clear();
    let variables = program.get_envs();
    person.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    let output = person.output().unwrap();
    let shown = said(&output.stdout).replace('\r', "");
    assert_eq!(output.status.code(), Some(130), "{shown} {output:?}");
    assert!(shown.starts_with("Name? Ada\nHello Ada\nAge? "), "{shown}");
    assert!(shown.contains("Age? \nno age\nStop? "), "{shown}");

    // Without a terminal nobody is waited for.
    let output = ended(&home, &line, &run, 1);
    assert_eq!(said(&output.stdout), "");
    assert!(
        said(&output.stderr).contains("StdinNotImplementedError"),
        "{output:?}"
    );
}
