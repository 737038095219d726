//! Concurrent sessions.

use std::fs;
use std::time::Duration;

use super::{Caller, executor, scaled};
use crate::support::home::Home;

/// Prints at full speed once the other session is ready. `LABEL` and `OTHER` are names, `LINES` is a number.
const CODE: &str = "
import os
open('LABEL', 'w').close()
while not os.path.exists('OTHER'): pass
for number in range(LINES): print('LABEL', number)
";

#[tokio::test]
async fn sessions_printing_at_full_speed_never_mix_their_output() {
    let (executor, home) = (executor().await, Home::new());
    let caller = Caller::start(&home, executor.address(), Duration::from_secs(10)).await;
    for session in ["left", "right"] {
        caller.quick("None", session).await;
    }
    let lines = scaled(20_000, 200_000);
    for round in 0..3 {
        let (left, right) = (format!("left-{round}"), format!("right-{round}"));
        let one = async |session: &str, label: &str, other: &str| {
            let code = CODE
                .replace("LABEL", label)
                .replace("OTHER", other)
                .replace("LINES", &lines.to_string());
            let reader = caller.run(&code, session, 300).await;
            caller.finish(reader).await
        };
        let (at_left, at_right) =
            tokio::join!(one("left", &left, &right), one("right", &right, &left));
        for (reader, label) in [(at_left, &left), (at_right, &right)] {
            let expected: String = (0..lines).map(|i| format!("{label} {i}\n")).collect();
            reader.assert_read(&expected);
            fs::remove_file(executor.root().join(label)).unwrap();
        }
    }
}
