//! The steps of the tour.

use std::error::Error;
use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::screen::Screen;
use super::{StepError, Tour};
use crate::base::hex::hex;
use crate::cli::words;
use crate::mcp::client::{Answer, Client};

/// Long enough to create the Python environment at the first use.
const READY_TIMEOUT: Duration = Duration::from_secs(600);

const PLOT: &str = "import math\nimport matplotlib.pyplot as plt\nxs = [i / 20 for i in range(200)]\n\
    plt.plot(xs, [math.exp(-x / 4) for x in xs], label='loss')\nplt.xlabel('epoch'); plt.legend(); plt.show()";
const LONG: &str = "import time\nfor epoch in range(1, 7):\n    time.sleep(0.4)\n    print(f'epoch {epoch}/6  loss {1 / epoch:.3f}', flush=True)";
const FILE: &str = "import hashlib, random\ndata = random.Random(7).randbytes(5_000_000)\n\
    with open('try.bin', 'wb') as file:\n    file.write(data)\nprint(hashlib.sha256(data).hexdigest())";

/// Runs every step in order; the first failure ends the tour.
pub(super) async fn walk(tour: &Tour, screen: &Screen) -> bool {
    let mut walker = Walker {
        tour,
        screen,
        client: None,
    };
    let outcome = walker.steps().await;
    if let Some(client) = walker.client.take() {
        client.leave().await;
    }
    outcome.is_ok()
}

/// A step failed, and the screen shows it.
struct Failed;

struct Walker<'a> {
    tour: &'a Tour,
    screen: &'a Screen,
    client: Option<Client>,
}

impl Walker<'_> {
    async fn steps(&mut self) -> Result<(), Failed> {
        self.step("start and check", Self::check).await?;
        self.step("probe the machine", Self::probe).await?;
        self.step("quick code", Self::quick).await?;
        self.step("a plot, saved as a picture", Self::plot).await?;
        self.step("long code, output live", Self::long).await?;
        self.step("chunks, the bridge killed", Self::interrupted_chunks)
            .await?;
        self.step("chunks, resumed", Self::resumed_chunks).await?;
        self.step("download, hash checked", Self::download).await?;
        self.step("clean up", Self::cleanup).await
    }

    async fn step(
        &mut self,
        name: &'static str,
        work: impl AsyncFnOnce(&mut Self) -> Result<String, StepError>,
    ) -> Result<(), Failed> {
        let running = self.screen.begin(name);
        if self.client.is_none() {
            match self.tour.server().await {
                Ok(client) => self.client = Some(client),
                Err(error) => {
                    running.failed(self.screen, &chain(&error));
                    return Err(Failed);
                }
            }
        }
        if let Some(client) = &self.client {
            let bar = running.bar();
            client.on_progress(move |message| bar.set_message(message.to_owned()));
        }
        match work(self).await {
            Ok(outcome) => {
                running.passed(self.screen, &outcome);
                Ok(())
            }
            Err(error) => {
                running.failed(self.screen, &chain(&error));
                Err(Failed)
            }
        }
    }

    /// Calls a tool, and fails unless it succeeds.
    async fn call(&self, tool: &'static str, arguments: Value) -> Result<Answer, StepError> {
        let client = self
            .client
            .as_ref()
            .ok_or_else(|| StepError::Unexpected("the server is gone".to_owned()))?;
        let answer = client.call(tool, arguments).await?;
        if answer.is_error {
            let detail = format!(
                "{}. {}",
                answer.facts["error"]
                    .as_str()
                    .unwrap_or(&answer.text)
                    .trim_end_matches('.'),
                words::reworded(answer.facts["hint"].as_str().unwrap_or(""))
            );
            return Err(StepError::Refused(detail));
        }
        Ok(answer)
    }

    async fn check(&mut self) -> Result<String, StepError> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let report = self.call("check_colab_connection", json!({})).await?.facts;
            if report["status"] == "connected" {
                return Ok(format!(
                    "{} answers in {} ms",
                    text(&report, "url")?,
                    report["latency_ms"]
                ));
            }
            if report["code"] != "busy" || Instant::now() > deadline {
                let detail = format!(
                    "{}. {}",
                    report["problem"]
                        .as_str()
                        .unwrap_or_default()
                        .trim_end_matches('.'),
                    words::reworded(text(&report, "suggestion")?)
                );
                return Err(StepError::Refused(detail));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn probe(&mut self) -> Result<String, StepError> {
        let report = self.call("probe_colab_environment", json!({})).await?.facts;
        let gpus = report["gpu"].as_array().map_or(0, Vec::len);
        let compute = &report["compute"];
        let python = text(&report, "python")?;
        Ok(format!(
            "Python {python}, {} CPUs, {} GB of memory, {gpus} GPU(s)",
            compute["cpu_count"], compute["memory_total_gb"]
        ))
    }

    async fn quick(&mut self) -> Result<String, StepError> {
        let answer = self
            .call(
                "run_code_quick",
                json!({"code": "x = 21\nprint('hello from Python')\nx * 2"}),
            )
            .await?;
        expect(answer.text.trim() == "hello from Python\n42", || {
            format!("it showed {:?}", answer.text)
        })?;
        Ok("hello from Python, 42".to_owned())
    }

    async fn plot(&mut self) -> Result<String, StepError> {
        let answer = self.call("run_code_quick", json!({"code": PLOT})).await?;
        expect(answer.pictures == 1, || {
            format!("{} pictures were shown: {}", answer.pictures, answer.text)
        })?;
        answer
            .links
            .into_iter()
            .next()
            .ok_or_else(|| StepError::Unexpected("the picture was not saved".to_owned()))
    }

    async fn long(&mut self) -> Result<String, StepError> {
        let answer = self.call("run_code_long", json!({"code": LONG})).await?;
        let last = answer.text.lines().last().unwrap_or_default().to_owned();
        expect(last.starts_with("epoch 6/6"), || {
            format!("it ended with {last:?}")
        })?;
        Ok(last)
    }

    fn chunks(restart: bool) -> Value {
        json!({
            "setup_code": "import time\nbase = 100",
            "loop_code": "time.sleep(0.1)\nbase + i",
            "n_iterations": 12,
            "batch_size": 4,
            "checkpoint_name": "try",
            "restart": restart,
        })
    }

    /// Kills the server midway, as a closed laptop or a crashed client would.
    async fn interrupted_chunks(&mut self) -> Result<String, StepError> {
        let client = self
            .client
            .take()
            .ok_or_else(|| StepError::Unexpected("the server is gone".to_owned()))?;
        let halfway = sleep(Duration::from_millis(900));
        let early = tokio::select! {
            answer = client.call("run_chunked_operation", Self::chunks(true)) => Some(answer?),
            () = halfway => None,
        };
        client.kill().await;
        Ok(match early {
            Some(_) => "done before it could be interrupted".to_owned(),
            None => "killed midway through 12 steps".to_owned(),
        })
    }

    async fn resumed_chunks(&mut self) -> Result<String, StepError> {
        let before = self
            .call("get_checkpoint", json!({"operation": "try"}))
            .await?
            .facts;
        let answer = self
            .call("run_chunked_operation", Self::chunks(false))
            .await?;
        expect(answer.facts["completed"] == 12, || {
            format!("it ended with {}", answer.facts)
        })?;
        Ok(format!(
            "resumed from step {} to 12 of 12",
            before["completed"]
        ))
    }

    async fn download(&mut self) -> Result<String, StepError> {
        let made = self.call("run_code_quick", json!({"code": FILE})).await?;
        // Left by an earlier tour: it would be kept, and each tour would add another.
        if let Err(error) = tokio::fs::remove_file(self.tour.save_dir.join("try.bin")).await
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
        let report = self
            .call("download_from_colab", json!({"remote_path": "try.bin"}))
            .await?
            .facts;
        let path = text(&report, "local_path")?;
        let bytes = tokio::fs::read(path).await?;
        let hash = hex(&Sha256::digest(&bytes));
        expect(made.text.trim() == hash, || {
            format!("{path} has the hash {hash}, not {}", made.text.trim())
        })?;
        Ok(format!(
            "{path}, {} bytes, sha256 {}…",
            bytes.len(),
            &hash[..12]
        ))
    }

    async fn cleanup(&mut self) -> Result<String, StepError> {
        let report = self.call("cleanup_colab", json!({})).await?.facts;
        let cleared = report["cleared_variables"].as_array().map_or(0, Vec::len);
        Ok(format!("{cleared} variables cleared"))
    }
}

fn text<'a>(report: &'a Value, field: &str) -> Result<&'a str, StepError> {
    report[field]
        .as_str()
        .ok_or_else(|| StepError::Unexpected(format!("the report has no {field}: {report}")))
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), StepError> {
    if holds {
        Ok(())
    } else {
        Err(StepError::Unexpected(otherwise()))
    }
}

fn chain(error: &dyn Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        sentence.push_str(&format!(": {source}"));
        cause = source.source();
    }
    sentence
}
