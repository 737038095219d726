//! The requests that a client sends to the machine.

use serde_json::json;
use smart_colab::base::ids::JobId;
use smart_colab::runtime::RuntimeResult;
use smart_colab::wire::event::EventKind;
use smart_colab::wire::job::{EventPage, Iterations, Job, JobRequest, OnError};
use smart_colab::wire::state::{JobState, Reason};

use super::{EVENTS_IN_A_PAGE, Record, World, error, not_found, refused};

impl World {
    pub(crate) fn interrupt(&mut self, id: JobId) -> RuntimeResult<Job> {
        self.interrupts += 1;
        let record = self.jobs.get(&id).ok_or_else(not_found)?;
        if !record.job.state.is_final() {
            if record.job.state == JobState::Running {
                self.emit(id, EventKind::Error(error("KeyboardInterrupt", "")));
            }
            let was_first = self.queue.front() == Some(&id);
            self.end(id, JobState::Interrupted, Some(Reason::Interrupted));
            if was_first {
                self.due = None;
            }
        }
        Ok(self.jobs[&id].job.clone())
    }

    pub(crate) fn put(&mut self, id: JobId, request: &JobRequest) -> RuntimeResult<()> {
        if let Some(known) = self.jobs.get(&id) {
            let same = known.request == *request;
            return if same {
                Ok(())
            } else {
                Err(refused(409, "job_conflict"))
            };
        }
        self.accepted.push(request.clone());
        let at = request.iterations.as_ref().map_or(0, |loop_| loop_.start);
        let order = request.iterations.as_ref().map(|loop_| self.order(loop_));
        let job = json!({
            "id": id, "session": request.session, "state": "queued", "timeout_sec": 300.0, "created_at": "then",
            "boot_id": self.boot_id(), "last_seq": 0, "log_bytes": 0, "loop": request.iterations,
        });
        let record = Record {
            request: request.clone(),
            job: serde_json::from_value(job).unwrap(),
            events: Vec::new(),
            order: order.unwrap_or_default(),
            start: at,
            at,
            within: false,
            batch_stop: at,
            is_set_up: false,
        };
        self.jobs.insert(id, record);
        self.queue.push_back(id);
        Ok(())
    }

    /// The order in which a loop's iterations run. On a cluster every third one is slow, and one that ends the loop waits for those before it.
    fn order(&self, loop_: &Iterations) -> Vec<u64> {
        let numbers = loop_.numbers.clone();
        let numbers = numbers.unwrap_or_else(|| (0..loop_.stop).collect());
        let numbers = numbers[usize::try_from(loop_.start).unwrap()..].to_vec();
        if loop_.cluster.is_none() {
            return numbers;
        }
        let stops = |i: &u64| loop_.on_error == OnError::Stop && self.failing.contains_key(i);
        let ends = |i: &&u64| self.break_at == Some(**i) || stops(i);
        let end = numbers.iter().find(ends).copied();
        let (slow, mut order): (Vec<u64>, Vec<u64>) = numbers.iter().partition(|i| *i % 3 == 0);
        order.extend(slow);
        let Some(end) = end else { return order };
        let at = order.iter().position(|i| *i == end).unwrap();
        let late = order.split_off(at);
        order.extend(late.into_iter().filter(|i| *i < end));
        order.push(end);
        order
    }

    pub(crate) fn page(&self, id: JobId, after: u64) -> RuntimeResult<EventPage> {
        let record = self.jobs.get(&id).ok_or_else(not_found)?;
        let from = usize::try_from(after).unwrap().min(record.events.len());
        let to = record.events.len().min(from + EVENTS_IN_A_PAGE);
        Ok(EventPage {
            job: record.job.clone(),
            events: record.events[from..to].to_vec(),
            next: to as u64,
            more: to < record.events.len(),
        })
    }

    pub(crate) fn newest(&self) -> Vec<Job> {
        let jobs = self.jobs.values().rev();
        jobs.map(|record| record.job.clone()).collect()
    }

    pub(crate) fn code(&self, id: JobId) -> RuntimeResult<String> {
        let record = self.jobs.get(&id).filter(|_| !self.forgotten.contains(&id));
        Ok(record.ok_or_else(not_found)?.request.code.clone())
    }

    pub(crate) fn setup(&self, id: JobId) -> RuntimeResult<String> {
        let record = self.jobs.get(&id).ok_or_else(not_found)?;
        let loop_ = record.request.iterations.as_ref();
        Ok(loop_
            .and_then(|loop_| loop_.setup.clone())
            .unwrap_or_default())
    }

    /// Returns all that the job printed.
    pub(crate) fn log(&self, id: JobId) -> RuntimeResult<Vec<u8>> {
        let record = self.jobs.get(&id).ok_or_else(not_found)?;
        let texts = record.events.iter().filter_map(|event| {
            if let EventKind::Stream { text, .. } = &event.kind {
                return Some(text.as_bytes());
            }
            None
        });
        Ok(texts.flatten().copied().collect())
    }
}
