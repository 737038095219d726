//! Renders events as a person would have seen them: text as on a terminal, and the pictures and files beside it.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::display::{Attachment, Body, Display};
use super::follow::Reader;
use super::keep::Kept;
use super::pending::{Pending, State};
use super::shown::{Effect, Interpreter};
use crate::base::text::{Excerpt, Newest, Room, Screen};
use crate::render::html;
use crate::render::picture::is_picture;
use crate::wire::event::{Event, EventKind, Finished, Progress, PythonError, StreamName};

/// Bytes of attachments at which an answer is full; those of one more event still fit.
const FULL_HELD: usize = MAX_HELD_BYTES / 2;
/// Bytes of attachments received as text and held in memory until they are written to files.
const MAX_HELD_BYTES: usize = 16 * 1024 * 1024;

/// Receives output in order, as soon as it is there.
pub trait Tap: Send {
    /// Text that the code wrote, with its terminal codes.
    fn stream(&mut self, name: StreamName, text: &str);
    /// A value, or the text of a display.
    fn show(&mut self, text: &str);
    fn raise(&mut self, error: &PythonError);
    /// Pictures and files, now in the user's folder.
    fn keep(&mut self, kept: &Kept);
}

/// Collects the events of one answer.
pub struct Collector {
    room: Room,
    screen: Screen,
    /// Takes the text in place of the screen.
    tap: Option<Box<dyn Tap>>,
    stops_when_full: bool,
    pending: Pending,
    html: html::Reader,
    interpreter: Interpreter,
    /// The code cleared some of its own output.
    pub has_cleared: bool,
    pub attachments: Vec<Attachment>,
    /// Bytes of `attachments` in memory.
    held: usize,
    /// Ids of the displays that `attachments` belong to.
    attached: HashSet<String>,
    pub error: Option<PythonError>,
    pub progress: Option<Progress>,
    pub finished: Option<Finished>,
    /// Where the log of the text begins, in bytes; none before the first event of it.
    pub log_at: Option<u64>,
}

impl Collector {
    /// Keeps as much text as fits.
    #[must_use]
    pub fn new(room: Room) -> Self {
        Self {
            room,
            screen: Screen::new(room),
            tap: None,
            stops_when_full: false,
            pending: Pending::default(),
            html: html::Reader::default(),
            interpreter: Interpreter::default(),
            has_cleared: false,
            attachments: Vec::new(),
            held: 0,
            attached: HashSet::new(),
            error: None,
            progress: None,
            finished: None,
            log_at: None,
        }
    }

    /// Hands the text on, and stops taking events whenever there are attachments to hand on with [`Collector::hand_on`].
    #[must_use]
    pub fn tapped(tap: Box<dyn Tap>) -> Self {
        Self {
            tap: Some(tap),
            ..Self::new(Room::for_chars(0))
        }
    }

    /// Hands on what is kept of the attachments.
    pub(super) fn hand_on(&mut self, kept: &Kept) {
        if let Some(tap) = &mut self.tap {
            tap.keep(kept);
        }
    }

    /// Stops taking events once it holds many attachments, so that a next answer continues with them.
    #[must_use]
    pub fn stopping_when_full(mut self) -> Self {
        self.stops_when_full = true;
        self
    }

    /// Number of characters omitted from the text in this room.
    #[must_use]
    pub fn left_out(&self, room: Room) -> usize {
        self.screen.excerpt().narrowed(room).left_out()
    }

    /// Adds output printed after the job's end.
    pub fn append_late(&mut self, text: &str) {
        self.push_block(
            "[printed after the code finished, by a background thread or child process:]",
        );
        match &mut self.tap {
            Some(tap) => tap.show(text),
            None => self.screen.push(text),
        }
    }

    fn push(&mut self, name: StreamName, text: &str) {
        match &mut self.tap {
            Some(tap) => tap.stream(name, text),
            None => self.screen.push(text),
        }
    }

    fn push_block(&mut self, text: &str) {
        match &mut self.tap {
            Some(tap) => tap.show(text),
            None => self.screen.push_block(text),
        }
    }

    /// Finishes and returns the text.
    #[must_use]
    pub fn into_excerpt(mut self) -> Excerpt {
        self.settle();
        self.screen.finish()
    }

    /// Shows the pending states of updatable displays, as their final ones.
    pub fn settle(&mut self) {
        for state in self.pending.take_all() {
            self.show(&state);
        }
    }

    fn show(&mut self, state: &State) {
        let id = state.id.as_deref();
        let mut display = Display::of(state.seq, &state.data, id, &mut self.html);
        if let Some(text) = display.text.filter(|text| !text.is_empty()) {
            self.push_block(&text);
        }
        if let Some(id) = id
            && self.attached.remove(id)
        {
            self.attachments
                .retain(|one| one.display_id.as_deref() != Some(id));
            self.held = self.attachments.iter().map(|one| one.body.held()).sum();
        }
        if let Some(first) = display.attachments.first()
            && is_picture(&first.mime)
        {
            let at = self.screen.mark();
            display.attachments.iter_mut().for_each(|one| one.at = at);
        }
        for one in &mut display.attachments {
            if self.held + one.body.held() > MAX_HELD_BYTES {
                one.body = Body::Dropped;
            }
            self.held += one.body.held();
        }
        if let Some(id) = id.filter(|_| !display.attachments.is_empty()) {
            self.attached.insert(id.to_owned());
        }
        self.attachments.extend(display.attachments);
    }

    fn apply(&mut self, seq: u64, effect: Effect<'_>) {
        match effect {
            Effect::Clear => self.clear(),
            Effect::Print { name, text } => {
                self.show_newest();
                self.push(name, text);
            }
            Effect::Show(shown) => self.display(State {
                seq,
                data: shown.data.clone(),
                id: shown.display_id.map(str::to_owned),
                is_update: shown.is_update,
                is_live: shown.is_live,
            }),
            Effect::Raise(error) => {
                self.show_newest();
                match &mut self.tap {
                    Some(tap) => tap.raise(error),
                    None => self.screen.push_block(&traceback(error)),
                }
                self.error = Some(error.clone());
            }
        }
    }

    /// Shows the held display before something new is shown.
    fn show_newest(&mut self) {
        if let Some(newest) = self.pending.take_newest() {
            self.show(&newest);
        }
    }

    fn display(&mut self, state: State) {
        if self.pending.replaces_newest(&state) {
            self.pending.take_newest();
        }
        self.show_newest();
        if let Some(oldest) = self.pending.hold(state) {
            self.show(&oldest);
        }
    }

    /// Takes the attachments, including the newest states of displays; later ones count as new.
    pub fn take_attachments(&mut self) -> Vec<Attachment> {
        self.settle();
        self.held = 0;
        self.attached.clear();
        std::mem::take(&mut self.attachments)
    }

    fn is_to_hand_on(&self) -> bool {
        self.tap.is_some() && !self.attachments.is_empty()
    }

    fn clear(&mut self) {
        if self.tap.is_none() {
            self.settle();
        }
        self.pending.clear();
        self.has_cleared |= self.screen.shown() > 0 || !self.attachments.is_empty();
        self.screen = Screen::new(self.room);
        self.attachments.clear();
        self.attached.clear();
        self.held = 0;
    }
}

impl Reader for Collector {
    fn take(&mut self, event: &Event) -> ControlFlow<()> {
        let clears = matches!(event.kind, EventKind::ClearOutput { .. });
        // An Output widget clears itself alone.
        if !(clears && event.widget.is_some()) {
            for effect in self.interpreter.effects(event) {
                self.apply(event.seq, effect);
            }
        }
        if let EventKind::Progress(progress) = &event.kind {
            self.progress = Some(progress.clone());
        }
        if let EventKind::Finished(finished) = &event.kind {
            self.finished = Some(finished.clone());
        }
        self.log_at = self.log_at.or(event.log_at);
        let is_full = self.stops_when_full && self.held >= FULL_HELD;
        match is_full || self.is_to_hand_on() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// A display that no update has replaced by now is shown.
    fn pause(&mut self) -> ControlFlow<()> {
        if self.tap.is_some() {
            self.show_newest();
        }
        match self.is_to_hand_on() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn newest(&self) -> Newest {
        match self.pending.last_line() {
            Some(line) => Newest {
                line: line.to_owned(),
                unfinished: String::new(),
            },
            None => self.screen.newest(),
        }
    }
}

/// The traceback, or the exception's name and text where there is none.
#[must_use]
pub fn traceback(error: &PythonError) -> String {
    if error.traceback.is_empty() {
        return format!("{}: {}", error.ename, error.evalue);
    }
    error.traceback.join("\n")
}

#[cfg(test)]
mod tests;
