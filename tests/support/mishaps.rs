//! What can befall a machine, and when.

/// What befalls a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// Nobody is there.
    Refused,
    /// It is done, and the answer does not come back.
    ReplyLost,
}

/// What befalls the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    KernelDies,
    /// The jobs stay known.
    ExecutorRestarts,
    MachineReplaced,
    SessionRestarted,
}

/// When it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Before this iteration begins.
    Before(u64),
    /// Between an iteration's begin and its end.
    Within(u64),
    /// Before the step of this number, of all that the machine takes.
    Step(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fails {
    Once,
    Always,
}
