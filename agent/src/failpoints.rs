//! The places where a test may have the agent die, each as if the power went there.
//!
//! They exist only in builds with the feature `failpoints`; see [`evenkeel_common::failpoint`] for how one
//! is asked for. A new effect gets a place before it and one after it, and both go into
//! one of the lists below.

use evenkeel_agent_core::Standing;

/// Before and after the record that an order was accepted, and the instance will be drained.
pub const JOURNAL_DRAINING: [&str; 2] = ["journal.draining.before", "journal.draining.after"];
/// Before and after the record that the storage system will be asked whether the process may be stopped.
pub const JOURNAL_ASKING: [&str; 2] = ["journal.asking.before", "journal.asking.after"];
/// Before and after the record that the process will be made ready to be stopped.
pub const JOURNAL_QUIESCING: [&str; 2] = ["journal.quiescing.before", "journal.quiescing.after"];
/// Before and after the record that the process will not be stopped, and what was done for that is undone.
pub const JOURNAL_DECLINING: [&str; 2] = ["journal.declining.before", "journal.declining.after"];
/// Before and after the record that an order was accepted, or turned back, and the process will be stopped.
pub const JOURNAL_STOPPING: [&str; 2] = ["journal.stopping.before", "journal.stopping.after"];
/// Before and after the record that the data will be set aside or put back.
pub const JOURNAL_EMPTYING: [&str; 2] = ["journal.emptying.before", "journal.emptying.after"];
/// Before and after the record that `current` will be changed.
pub const JOURNAL_SWAPPING: [&str; 2] = ["journal.swapping.before", "journal.swapping.after"];
/// Before and after the record that the process will be started.
pub const JOURNAL_STARTING: [&str; 2] = ["journal.starting.before", "journal.starting.after"];
/// Before and after the record that an order ended, or that an epoch was raised while there was none.
pub const JOURNAL_SETTLED: [&str; 2] = ["journal.settled.before", "journal.settled.after"];
/// With half of a record written, whichever it is, in a journal that has records already.
pub const JOURNAL_TORN: &str = "journal.torn";
/// Before a storage system is told to drain an instance, and once it has.
pub const DRAIN: [&str; 2] = ["drain.before", "drain.after"];
/// Before a storage system is asked whether a process may be stopped, and once it may.
pub const ASK: [&str; 2] = ["ask.before", "ask.after"];
/// Before a storage system is told to make a process ready to be stopped, and once it has, or has failed to.
pub const QUIESCE: [&str; 2] = ["quiesce.before", "quiesce.after"];
/// Before a storage system is told that a process is back, or stays, and once it has taken that in.
pub const UNQUIESCE: [&str; 2] = ["unquiesce.before", "unquiesce.after"];
/// Before a process is asked for its version, and once it has told.
pub const VERSION: [&str; 2] = ["version.before", "version.after"];
/// Before a storage system is asked whether an instance is whole again, and once it is.
pub const RECOVERED: [&str; 2] = ["recovered.before", "recovered.after"];
/// Before and after the stop signal.
pub const STOP: [&str; 2] = ["stop.before", "stop.after"];
/// Before the first folder of data is renamed, between its rename and the new one's being there, and after all.
pub const SET_ASIDE: [&str; 3] = ["set_aside.before", "set_aside.begun", "set_aside.after"];
/// Before what is in the first folder goes aside, between that and the return of the old one, and after all.
pub const PUT_BACK: [&str; 3] = ["put_back.before", "put_back.begun", "put_back.after"];
/// Before and after the rename that changes `current`.
pub const SWAP: [&str; 2] = ["swap.before", "swap.after"];
/// Before a process is begun, after it was begun and before it is known to run, and after that.
pub const START: [&str; 3] = ["start.before", "start.begun", "start.after"];
/// Before a storage system is told that an instance is there, and once it has taken that in.
pub const REJOIN: [&str; 2] = ["rejoin.before", "rejoin.after"];
/// Before a storage system is told that an upgrade is final, and once it has taken that in, or has failed to.
pub const FINALIZE: [&str; 2] = ["finalize.before", "finalize.after"];
/// Before and after the rename that makes a verified download a release.
pub const INSTALL: [&str; 2] = ["install.before", "install.after"];

/// Before a packed release is unpacked, with each of its files, and with all of them.
pub const UNPACK: [&str; 3] = ["unpack.before", "unpack.begun", "unpack.after"];

/// Those that every order may meet, in the order in which an upgrade meets them.
pub const OF_EVERY_ORDER: [&str; 17] = [
    INSTALL[0],
    INSTALL[1],
    JOURNAL_STOPPING[0],
    JOURNAL_STOPPING[1],
    STOP[0],
    STOP[1],
    JOURNAL_SWAPPING[0],
    JOURNAL_SWAPPING[1],
    SWAP[0],
    SWAP[1],
    JOURNAL_STARTING[0],
    JOURNAL_STARTING[1],
    START[0],
    START[1],
    START[2],
    JOURNAL_SETTLED[0],
    JOURNAL_SETTLED[1],
];

/// Those that only a rebuild meets, in the order in which one that is undone meets them.
pub const OF_REBUILDS: [&str; 14] = [
    JOURNAL_DRAINING[0],
    JOURNAL_DRAINING[1],
    DRAIN[0],
    DRAIN[1],
    JOURNAL_EMPTYING[0],
    JOURNAL_EMPTYING[1],
    SET_ASIDE[0],
    SET_ASIDE[1],
    SET_ASIDE[2],
    REJOIN[0],
    REJOIN[1],
    PUT_BACK[0],
    PUT_BACK[1],
    PUT_BACK[2],
];

/// Those that every order meets whose instance has a driver, in the order in which an upgrade meets them.
pub const OF_GATES: [&str; 14] = [
    JOURNAL_ASKING[0],
    JOURNAL_ASKING[1],
    ASK[0],
    ASK[1],
    JOURNAL_QUIESCING[0],
    JOURNAL_QUIESCING[1],
    QUIESCE[0],
    QUIESCE[1],
    VERSION[0],
    VERSION[1],
    UNQUIESCE[0],
    UNQUIESCE[1],
    RECOVERED[0],
    RECOVERED[1],
];

/// Those that only a release meets that is packed.
pub const OF_TREES: [&str; 3] = UNPACK;

/// Those that only what makes an upgrade final meets.
pub const OF_FINALIZING: [&str; 2] = [FINALIZE[0], FINALIZE[1]];

/// Those that only an order meets whose process cannot be made ready to be stopped.
pub const OF_DECLINED: [&str; 2] = [JOURNAL_DECLINING[0], JOURNAL_DECLINING[1]];

/// Those that every record meets.
pub const OF_RECORDS: [&str; 1] = [JOURNAL_TORN];

/// The places around the record of this standing.
#[must_use]
pub fn of_record(standing: &Standing) -> [&'static str; 2] {
    match standing {
        Standing::Settled { .. } => JOURNAL_SETTLED,
        Standing::Draining(_, _) => JOURNAL_DRAINING,
        Standing::Asking(_, _) => JOURNAL_ASKING,
        Standing::Quiescing(_, _) => JOURNAL_QUIESCING,
        Standing::Declining(_, _) => JOURNAL_DECLINING,
        Standing::Stopping(_, _) => JOURNAL_STOPPING,
        Standing::Emptying(_, _) => JOURNAL_EMPTYING,
        Standing::Swapping(_, _) => JOURNAL_SWAPPING,
        Standing::Starting(_, _) => JOURNAL_STARTING,
    }
}
