//! Translates events into changes of the visible output. Views differ in how they render it, not in what it means.

use serde_json::{Map, Value};

use crate::wire::event::{Event, EventKind, PythonError, StreamName};

/// One change of the visible output.
#[derive(Debug, PartialEq)]
pub enum Effect<'a> {
    /// Removes everything shown so far.
    Clear,
    Print {
        name: StreamName,
        text: &'a str,
    },
    Show(Shown<'a>),
    Raise(&'a PythonError),
}

/// A display, or the value of a cell's last expression.
#[derive(Debug, PartialEq)]
pub struct Shown<'a> {
    pub data: &'a Map<String, Value>,
    pub metadata: &'a Map<String, Value>,
    pub display_id: Option<&'a str>,
    /// A new state of an earlier display with the same id.
    pub is_update: bool,
    /// More updates are expected.
    pub is_live: bool,
    /// The execution count of the cell whose value it is; none for a display.
    pub result_of: Option<Option<u64>>,
}

/// Translates a job's events, given in order, into effects.
#[derive(Debug, Default, Clone)]
pub struct Interpreter {
    clears_next: bool,
}

impl Interpreter {
    /// The effects of one event, in order. An update shows nothing new, so it does not trigger a delayed clear.
    pub fn effects<'a>(&mut self, event: &'a Event) -> impl Iterator<Item = Effect<'a>> + use<'a> {
        let (is_new, effect) = match &event.kind {
            EventKind::Stream { name, text } => (true, Some(Effect::Print { name: *name, text })),
            EventKind::DisplayData {
                data,
                metadata,
                update,
                display_id,
                live,
            } => {
                let shown = Shown {
                    data,
                    metadata,
                    display_id: display_id.as_deref(),
                    is_update: *update,
                    is_live: *live,
                    result_of: None,
                };
                (!update, Some(Effect::Show(shown)))
            }
            EventKind::ExecuteResult {
                data,
                metadata,
                execution_count,
                display_id,
                live,
            } => {
                let shown = Shown {
                    data,
                    metadata,
                    display_id: display_id.as_deref(),
                    is_update: false,
                    is_live: *live,
                    result_of: Some(*execution_count),
                };
                (true, Some(Effect::Show(shown)))
            }
            EventKind::Error(error) => (true, Some(Effect::Raise(error))),
            EventKind::ClearOutput { wait: true } => {
                self.clears_next = true;
                (false, None)
            }
            EventKind::ClearOutput { wait: false } => (true, Some(Effect::Clear)),
            EventKind::Started { .. }
            | EventKind::Widgets { .. }
            | EventKind::Batch { .. }
            | EventKind::Progress(_)
            | EventKind::Finished(_)
            | EventKind::Unknown => (false, None),
        };
        let was_waiting = is_new && std::mem::take(&mut self.clears_next);
        let clear = (was_waiting && effect != Some(Effect::Clear)).then_some(Effect::Clear);
        clear.into_iter().chain(effect)
    }

    /// Whether the next output clears everything shown so far.
    #[must_use]
    pub fn is_waiting_to_clear(&self) -> bool {
        self.clears_next
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Effect, Interpreter};
    use crate::wire::event::Event;

    /// A letter for each effect.
    fn effects(events: &[Value]) -> String {
        let mut interpreter = Interpreter::default();
        let mut found = String::new();
        for event in events {
            let mut event = event.clone();
            event["seq"] = json!(1);
            let event: Event = serde_json::from_value(event).unwrap();
            found.extend(interpreter.effects(&event).map(|effect| match effect {
                Effect::Clear => 'c',
                Effect::Print { .. } => 'p',
                Effect::Show(shown) if shown.is_update => 'u',
                Effect::Show(_) => 's',
                Effect::Raise(_) => 'r',
            }));
        }
        found
    }

    #[test]
    fn a_delayed_clear_takes_effect_with_the_next_output() {
        let line = json!({"type": "stream", "name": "stdout", "text": "x"});
        let show = json!({"type": "display_data", "data": {}});
        let update = json!({"type": "display_data", "data": {}, "update": true, "display_id": "a"});
        let result = json!({"type": "execute_result", "data": {}, "execution_count": 1});
        let raised = json!({"type": "error", "ename": "E", "evalue": "v"});
        let progress = json!({"type": "progress", "completed": 1, "total": 2});
        let clear = |wait: bool| json!({"type": "clear_output", "wait": wait});
        for (events, expected) in [
            (vec![&line, &clear(false), &show], "pcs"),
            (vec![&line, &clear(true)], "p"),
            (vec![&line, &clear(true), &line, &line], "pcpp"),
            (vec![&show, &clear(true), &update, &result], "sucs"),
            (vec![&show, &clear(true), &progress, &raised], "scr"),
            (vec![&clear(true), &clear(false), &line], "cp"),
        ] {
            let events: Vec<_> = events.into_iter().cloned().collect();
            assert_eq!(effects(&events), expected, "{events:?}");
        }
    }
}
