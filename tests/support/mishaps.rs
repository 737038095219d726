//! Faults of a simulated machine, and when they strike.

/// A fault of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The connection is refused.
    Refused,
    /// The request is executed, but its reply is lost.
    ReplyLost,
}

/// A fault of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    KernelDies,
    /// The jobs are kept.
    ExecutorRestarts,
    MachineReplaced,
    SessionRestarted,
}

/// When a machine's fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Before this iteration begins.
    Before(u64),
    /// Between this iteration's begin and its end.
    Within(u64),
    /// Before the machine's step of this number.
    Step(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fails {
    Once,
    Always,
}
