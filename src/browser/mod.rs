//! The notebook that is open in a tab of Colab. The tab dials a WebSocket on this computer, and is then an MCP server whose client we are.
//!
//! - here: [`Browser`], which listens, and knows the tab that is connected;
//! - `door`: the listeners; `request`: who may open a WebSocket, in HTTP;
//! - `wire`: a WebSocket as a transport of MCP; [`tab`]: the session with one tab, and calls of its tools; `cells`: those for cells;
//! - `page`: addresses of notebooks in Colab; `error`: what can go wrong.
//!
//! The protocol is that of Google's colab-mcp 1.0: the tab opens `ws://localhost:PORT/?access_token=TOKEN` with the sub-protocol `mcp`.
//!
//! Architecture Invariant: beside `mcp` the only room that knows rmcp. May import `base`.

mod cells;
mod door;
mod error;
mod page;
mod request;
pub mod tab;
mod wire;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, OnceCell, watch};
use tokio::time::{Duration, Instant, timeout_at};
use url::Url;

pub use cells::Kind;
pub use error::TabError;
pub use page::NotColab;
use page::Page;
pub use tab::{Heard, Tab};

use crate::base::lock::Lock;
use crate::base::secret::{Secret, random};

/// While a page that was opened may still connect, it is not opened again.
const OPENING_TIME: Duration = Duration::from_secs(120);

/// Waits for a tab on a port of this computer, from the first call that needs one to the end of the process.
#[derive(Debug)]
pub struct Browser {
    shared: Arc<Shared>,
    /// 0 for any.
    port: u16,
    bound: OnceCell<u16>,
}

/// What the listeners and the calls share.
#[derive(Debug)]
struct Shared {
    token: Secret,
    /// The tab that is connected; its receivers learn when one comes and goes.
    tab: watch::Sender<Option<Arc<Tab>>>,
    /// Held while a tab is let in.
    letting_in: Mutex<()>,
    opening: Lock<Opening>,
    /// When a second tab was last turned away, beside the one that is connected.
    turned_away: Lock<Option<Instant>>,
    /// A browser connected, and sent nothing.
    has_been_silent: AtomicBool,
    /// A tab has connected, and has not said yet what it is.
    is_greeting: AtomicBool,
}

/// The notebook that was opened last.
#[derive(Debug, Default)]
struct Opening {
    page: Page,
    /// The path of our page that leads to it, once.
    ticket: Option<String>,
    at: Option<Instant>,
}

/// How to reach a notebook in Colab that connects to this process.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// A page of ours that leads there, once: it has no secret in it. None while an earlier one may still connect.
    pub door: Option<Url>,
    /// The notebook itself, with the token.
    pub address: Url,
    /// What the dialog of an open notebook asks for: `TOKEN&PORT`.
    pub pair: String,
}

impl Browser {
    /// Does nothing yet. `port` is the one to listen on; none for any that is free.
    #[must_use]
    pub fn new(port: Option<u16>) -> Self {
        Self {
            shared: Arc::new(Shared {
                token: Secret::new(random()),
                tab: watch::Sender::default(),
                letting_in: Mutex::default(),
                opening: Lock::default(),
                turned_away: Lock::default(),
                has_been_silent: AtomicBool::new(false),
                is_greeting: AtomicBool::new(false),
            }),
            port: port.unwrap_or(0),
            bound: OnceCell::new(),
        }
    }

    /// Listens, if it does not yet, and returns the port.
    ///
    /// # Errors
    /// When the port is taken, or this computer lets no program listen.
    pub async fn listen(&self) -> io::Result<u16> {
        let shared = &self.shared;
        let port = self
            .bound
            .get_or_try_init(|| door::open(self.port, shared.clone()));
        port.await.copied()
    }

    /// Prepares to open a notebook: the one at `notebook`, or the one that was opened last, at first an empty one. A tab with another notebook
    /// is let go.
    ///
    /// # Errors
    /// [`TabError::NotColab`], [`TabError::NoPort`].
    pub async fn invite(&self, notebook: Option<&str>) -> Result<Invitation, TabError> {
        let page = notebook.map(Page::parse).transpose()?;
        let port = self.listen().await.map_err(|error| TabError::NoPort {
            port: self.port,
            error: error.to_string(),
        })?;
        let mut opening = self.shared.opening.lock();
        let is_other = page.as_ref().is_some_and(|page| *page != opening.page);
        if is_other && let Some(tab) = self.tab() {
            tab.end();
        }
        opening.page = page.unwrap_or_else(|| opening.page.clone());
        let is_under_way = opening.at.is_some_and(|at| at.elapsed() < OPENING_TIME);
        let door = (is_other || !is_under_way).then(|| {
            let ticket = random();
            let door = page::door(port, &ticket);
            (opening.ticket, opening.at) = (Some(ticket), Some(Instant::now()));
            self.shared.has_been_silent.store(false, Ordering::Relaxed);
            door
        });
        let token = self.shared.token.expose();
        Ok(Invitation {
            door,
            address: opening.page.inviting(token, port),
            pair: format!("{token}&{port}"),
        })
    }

    /// Notes that no browser was opened: the next invitation leads to our page again.
    pub fn note_unopened(&self) {
        self.shared.opening.lock().at = None;
    }

    /// The tab that is connected.
    #[must_use]
    pub fn tab(&self) -> Option<Arc<Tab>> {
        self.shared.tab.borrow().clone()
    }

    /// The tab that is connected, or is so before `deadline`.
    pub async fn tab_by(&self, deadline: Instant) -> Option<Arc<Tab>> {
        let mut tabs = self.shared.tab.subscribe();
        let found = timeout_at(deadline, tabs.wait_for(Option::is_some)).await;
        found.ok()?.ok()?.clone()
    }

    /// Changes when a tab has connected, has gone, or has other tools.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Option<Arc<Tab>>> {
        self.shared.tab.subscribe()
    }

    /// The address of the notebook that was opened last. A tab that was connected by hand may show another one.
    #[must_use]
    pub fn opened(&self) -> String {
        self.shared.opening.lock().page.to_string()
    }

    /// When a second tab was last turned away, beside the one that is connected.
    #[must_use]
    pub fn turned_away(&self) -> Option<Instant> {
        *self.shared.turned_away.lock()
    }

    /// Whether a tab has connected and has not answered yet.
    #[must_use]
    pub fn is_greeting(&self) -> bool {
        self.shared.is_greeting.load(Ordering::Relaxed)
    }

    /// Whether a browser has connected since the last invitation without sending anything: it does so where the user, or a rule of the
    /// browser, keeps pages from the local network.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.shared.has_been_silent.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// The address behind a ticket, which is then used up.
    fn redeem(&self, ticket: &str, port: u16) -> Option<Url> {
        let mut opening = self.opening.lock();
        let is_it = opening.ticket.as_ref().is_some_and(|it| same(it, ticket));
        is_it.then(|| {
            opening.ticket = None;
            opening.page.inviting(self.token.expose(), port)
        })
    }

    /// Lets a tab in, unless another one answers that is connected already.
    async fn welcome(&self, socket: wire::Socket) {
        let _turn = self.letting_in.lock().await;
        let connected = self.tab.borrow().clone();
        if let Some(tab) = connected {
            if tab.answers().await {
                *self.turned_away.lock() = Some(Instant::now());
                return wire::refuse(socket).await;
            }
            tab.end();
        }
        self.is_greeting.store(true, Ordering::Relaxed);
        let begun = Tab::begin(socket).await;
        self.is_greeting.store(false, Ordering::Relaxed);
        match begun {
            Ok((tab, session)) => {
                self.opening.lock().at = None;
                *self.turned_away.lock() = None;
                let tab = Arc::new(tab);
                self.tab.send_replace(Some(tab.clone()));
                let tabs = self.tab.clone();
                tokio::spawn(async move {
                    tab.follow(session, || tabs.send_modify(|_| ())).await;
                    tabs.send_if_modified(|now| {
                        let is_it = now.as_ref().is_some_and(|now| Arc::ptr_eq(now, &tab));
                        is_it.then(|| *now = None).is_some()
                    });
                });
            }
            Err(error) => tracing::warn!(%error, "a tab connected and did not speak MCP"),
        }
    }
}

/// Compares secrets in a time that says nothing of where they differ.
fn same(known: &str, given: &str) -> bool {
    use sha2::{Digest, Sha256};
    Sha256::digest(known) == Sha256::digest(given)
}
