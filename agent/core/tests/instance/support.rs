//! What the tests of the core share: short ways to say releases, orders and events.

use evenkeel_agent_core::{
    Action, BootId, DataMove, Event, Fallback, Hold, Incoming, Method, Order, Rejoin, Release,
    RestartPolicy, Settings, State, step,
};

pub(crate) const BOOT: BootId = BootId([1; 16]);

/// Release `major`.0.0, with a digest of its own.
pub(crate) fn release(major: u8) -> Release {
    Release {
        version: semver::Version::new(u64::from(major), 0, 0),
        digest: evenkeel_words::digest::Digest::from_bytes([major; 32]),
    }
}

/// From release 1 to release 2, with 10 s to be ready.
pub(crate) fn order(generation: u64) -> Order {
    Order {
        generation,
        release: release(2),
        method: Method::InPlace,
        fallback: Some(Fallback {
            release: release(1),
            method: Method::InPlace,
        }),
        ready_within_ms: 10_000,
        way_back: false,
    }
}

/// The same, by rebuild.
pub(crate) fn rebuild(generation: u64) -> Order {
    Order {
        method: Method::Rebuild,
        ..order(generation)
    }
}

pub(crate) fn desired(epoch: u64, order: Order, answers_clock_ms: u64) -> Event {
    let incoming = Incoming {
        order,
        answers_clock_ms,
        begin_within_ms: 30_000,
        missing: None,
        obstacle: None,
    };
    Event::Desired {
        epoch,
        incoming: Some(incoming),
        hold: Hold::default(),
        finalize: None,
    }
}

pub(crate) fn recovered(process: Option<u8>, current: Option<u8>) -> Event {
    Event::Recovered {
        boot: BOOT,
        process: process.map(release),
        current: current.map(release),
    }
}

/// A storage system that somebody knows.
pub(crate) const WITH_DRIVER: Settings = Settings {
    restart: RestartPolicy {
        attempts: 3,
        window_ms: 1_800_000,
        backoff_min_ms: 500,
        backoff_max_ms: 30_000,
    },
    driver: true,
    start_alone_after_ms: 0,
};

/// An instance that runs release 1, at the time 0.
pub(crate) fn serving() -> State {
    serving_by(Settings::default())
}

/// The same, with these settings.
pub(crate) fn serving_by(settings: Settings) -> State {
    let state = State::new(settings);
    step(&state, recovered(Some(1), Some(1)), 0).unwrap().state
}

/// An action without its ticket, to compare and to print.
pub(crate) fn name(action: &Action) -> String {
    match action {
        Action::Drain(_) => "drain".to_owned(),
        Action::EnsureStopped(_) => "stop".to_owned(),
        Action::MoveData(_, DataMove::SetAside) => "set data aside".to_owned(),
        Action::MoveData(_, DataMove::PutBack) => "put data back".to_owned(),
        Action::SwapCurrent(_, release) => format!("swap to {}", release.version.major),
        Action::Start(_, release) => format!("start {}", release.version.major),
        Action::Rejoin(_, Rejoin::Join) => "join".to_owned(),
        Action::Rejoin(_, Rejoin::CancelDrain) => "cancel drain".to_owned(),
        Action::Verify => "verify".to_owned(),
        Action::AskToStop(_) => "ask to stop".to_owned(),
        Action::AskOnce(_) => "ask once".to_owned(),
        Action::Quiesce(_) => "quiesce".to_owned(),
        Action::Finalize(_, id) => format!("finalize {id}"),
        Action::Unquiesce(_) => "unquiesce".to_owned(),
        Action::AskVersion(_) => "ask version".to_owned(),
        Action::AskRecovered(_) => "ask recovered".to_owned(),
    }
}
