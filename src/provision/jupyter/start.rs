//! What is said to a helper kernel until an executor runs beside it.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::fault::Fault;
use super::package::package;
use crate::jupyter::{Channel, JupyterError, Route, Server};
use crate::provision::embedded::{RELAY, sources};
use crate::wire::API_VERSION;

/// Reports the current step of a start.
pub(super) type Say<'a> = dyn Fn(&str) + Send + Sync + 'a;

/// The request that a helper kernel answers at once.
const PULSE: &str = "sc_hello_request";

/// For a helper kernel that was found to show that it is alive.
const FOUND_TIMEOUT: Duration = Duration::from_secs(12);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// For the executor to start, which the relay bounds.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Between looks at a kernel that does not answer yet.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Small enough for progress on slow links.
const PIECE_BYTES: usize = 512 * 1024;

/// A refusal of the relay.
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) detail: String,
    content: Value,
}

/// Splits replies: `status` says whether they are refusals.
pub(super) fn accepted(content: Value) -> Result<Value, Refusal> {
    if content["status"] == "ok" {
        return Ok(content);
    }
    let text = |name: &str| content[name].as_str().unwrap_or_default().to_owned();
    Err(Refusal {
        code: text("code"),
        detail: text("detail"),
        content,
    })
}

/// Opens the channel to a helper kernel. None if it is one that was found and does not answer: a server may know a kernel that its gateway no
/// longer has.
pub(super) async fn reach(
    server: &Server,
    kernel: &str,
    session: &str,
    is_new: bool,
) -> Result<Option<Channel>, JupyterError> {
    if is_new {
        return open(server, kernel, session).await.map(Some);
    }
    let answering = async {
        let channel = open(server, kernel, session).await?;
        let content = json!({});
        let asked = channel.request(
            Route::Control,
            "kernel_info_request",
            content,
            FOUND_TIMEOUT,
        );
        asked.await.map(|_| channel)
    };
    match timeout(FOUND_TIMEOUT, answering).await {
        Ok(Err(JupyterError::TimedOut | JupyterError::NotFound | JupyterError::Refused(_)))
        | Err(_) => Ok(None),
        Ok(reached) => reached.map(Some),
    }
}

/// Opens the channel to a helper kernel. A server leaves this request unanswered for a minute if the kernel ends meanwhile, so it is looked for.
async fn open(server: &Server, kernel: &str, session: &str) -> Result<Channel, JupyterError> {
    let gone = async {
        loop {
            sleep(LOOK_INTERVAL).await;
            if matches!(server.has_kernel(kernel).await, Ok(false)) {
                return;
            }
        }
    };
    tokio::select! {
        opened = server.open(kernel, session, PULSE) => opened,
        () = gone => Err(JupyterError::NotFound),
    }
}

/// Makes the kernel a helper, and starts an executor there unless one runs; returns its boot id.
pub(super) async fn start(channel: &Channel, say: &Say<'_>) -> Result<String, Fault> {
    install_relay(channel).await?;
    let hello = ask(channel, PULSE, json!({}), ANSWER_TIMEOUT).await?;
    let hello = hello.map_err(|refusal| refused(&refusal))?;
    let unmade = |error: io::Error| Fault::start(error.to_string(), "Call again.");
    let mut package = package().map_err(unmade)?;
    let known = hello["packages"].as_array();
    if !known.is_some_and(|known| known.iter().any(|known| known == package.sha256)) {
        let bytes = package.bytes().map_err(unmade)?;
        send(channel, package.sha256, &bytes, say).await?;
    }
    say("starting the executor");
    let content = json!({"sha256": package.sha256, "api": API_VERSION});
    let started = ask(channel, "sc_start_request", content, START_TIMEOUT).await?;
    let started = started.map_err(|refusal| refused(&refusal))?;
    Ok(started["boot_id"].as_str().unwrap_or_default().to_owned())
}

async fn install_relay(channel: &Channel) -> Result<(), Fault> {
    let files = sources();
    let relay = files.iter().find(|(name, _)| name == RELAY);
    let relay = relay.map_or("".into(), |(_, text)| String::from_utf8_lossy(text));
    // A JSON string is a Python string.
    let code = format!(
        "exec({}, {{\"__name__\": \"_smart_colab_relay\"}})",
        Value::from(relay)
    );
    let reply = execute(channel, &code).await?;
    if reply["status"] == "ok" {
        return Ok(());
    }
    let text = |name: &str| reply[name].as_str().unwrap_or_default().to_owned();
    let reason = format!(
        "Its Python kernel, which has to be ipykernel with Python 3.11 or newer, raised {}: {}.",
        text("ename"),
        text("evalue")
    );
    Err(Fault::NoExecutor { reason })
}

/// Runs code in a helper kernel; returns its reply.
pub(super) async fn execute(channel: &Channel, code: &str) -> Result<Value, JupyterError> {
    let content = json!({
        "code": code,
        "silent": true,
        "store_history": false,
        "user_expressions": {},
        "allow_stdin": false,
        "stop_on_error": false,
    });
    let limit = ANSWER_TIMEOUT;
    channel
        .request(Route::Shell, "execute_request", content, limit)
        .await
}

async fn ask(
    channel: &Channel,
    kind: &str,
    content: Value,
    limit: Duration,
) -> Result<Result<Value, Refusal>, JupyterError> {
    let reply = channel
        .request(Route::Control, kind, content, limit)
        .await?;
    Ok(accepted(reply))
}

/// Sends the package, from the byte on that is missing there.
async fn send(channel: &Channel, sha256: &str, package: &[u8], say: &Say<'_>) -> Result<(), Fault> {
    let (size, mut at, mut was_damaged) = (package.len(), 0, false);
    while at < size {
        say(&format!(
            "sending the executor ({} of {} MB)",
            megabytes(at),
            megabytes(size)
        ));
        let piece = &package[at..size.min(at + PIECE_BYTES)];
        let content = json!({
            "sha256": sha256,
            "size": size,
            "offset": at,
            "data": BASE64_STANDARD.encode(piece),
        });
        let received = match ask(channel, "sc_package_request", content, ANSWER_TIMEOUT).await? {
            Ok(reply) => reply["received"].as_u64(),
            Err(refusal) if refusal.code == "out_of_order" => refusal.content["received"].as_u64(),
            Err(refusal) if refusal.code == "damaged" && !was_damaged => {
                was_damaged = true;
                Some(0)
            }
            Err(refusal) => return Err(refused(&refusal)),
        };
        let received = received.and_then(|received| usize::try_from(received).ok());
        let missing = || {
            Fault::start(
                "the helper kernel did not say what it received",
                "Call again.",
            )
        };
        at = received.ok_or_else(missing)?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)]
fn megabytes(bytes: usize) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn refused(refusal: &Refusal) -> Fault {
    if refusal.code == "unsupported" {
        let reason = refusal.detail.clone();
        return Fault::NoExecutor { reason };
    }
    let remedy = match &*refusal.code {
        "start_failed" => {
            "Look at the end of its log above, change what it names on the server, then call again."
        }
        _ => "Change what it names on the server, then call again.",
    };
    Fault::start(refusal.detail.clone(), remedy)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use url::Url;

    use super::open;
    use crate::base::secret::Secret;
    use crate::edge::settings::Endpoint;
    use crate::jupyter::{JupyterError, Server};

    #[tokio::test]
    async fn a_channel_to_a_kernel_that_ends_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint {
            kind: crate::edge::settings::Kind::Jupyter,
            url: Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap(),
            token: Secret::new("token"),
        };
        let serving = async {
            let mut opening = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                if request[..length].starts_with(b"GET /api/kernels/id/channels") {
                    opening.push(stream);
                } else {
                    let reply = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
                    let _ = stream.write_all(reply).await;
                }
            }
        };
        let server = Server::new(&endpoint).unwrap();
        let error = tokio::select! {
            () = serving => unreachable!(),
            opened = open(&server, "id", "session") => opened.unwrap_err(),
        };
        assert!(matches!(error, JupyterError::NotFound), "{error}");
    }
}
