//! Work that may panic or hang, in a thread that can be given up.

use std::any::Any;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::error::{RebuildReason, ViewError};

/// Why isolated work brought no result.
#[derive(Debug)]
pub(super) enum Isolated {
    NotStarted(io::Error),
    Panicked(String),
    TimedOut(Duration),
}

/// Runs `work` in a thread named `name` and waits for it for as long as `patience`. A thread that takes longer is left
/// to itself and its result is dropped.
pub(super) fn isolated<T: Send + 'static>(
    name: &str,
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Isolated> {
    let (sender, receiver) = channel();
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Nobody may be waiting any more.
            let _ = sender.send(work());
        })
        .map_err(Isolated::NotStarted)?;
    match receiver.recv_timeout(patience) {
        Ok(result) => Ok(result),
        Err(RecvTimeoutError::Timeout) => Err(Isolated::TimedOut(patience)),
        Err(RecvTimeoutError::Disconnected) => {
            let message = thread
                .join()
                .err()
                .map_or_else(String::new, |panic| panic_message(panic.as_ref()));
            Err(Isolated::Panicked(message))
        }
    }
}

/// What a panic said, on one line.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl From<Isolated> for RebuildReason {
    fn from(isolated: Isolated) -> Self {
        match isolated {
            Isolated::NotStarted(error) => Self::Unreadable {
                message: error.to_string(),
            },
            Isolated::Panicked(message) => Self::Panicked { message },
            Isolated::TimedOut(patience) => Self::TimedOut { patience },
        }
    }
}

impl From<Isolated> for ViewError {
    fn from(isolated: Isolated) -> Self {
        match isolated {
            Isolated::NotStarted(source) => Self::Thread { source },
            Isolated::Panicked(message) => Self::Panicked { message },
            Isolated::TimedOut(patience) => Self::TimedOut { patience },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_a_panic_and_a_hang_are_told_apart() {
        let patience = Duration::from_secs(30);
        assert_eq!(isolated("fine", patience, || 7).unwrap(), 7);
        let panicked = isolated("panics", patience, || panic!("on\n  purpose")).unwrap_err();
        assert!(matches!(panicked, Isolated::Panicked(message) if message == "on purpose"));
        let (hold, held) = channel::<()>();
        let hung = isolated("hangs", Duration::from_millis(20), move || held.recv()).unwrap_err();
        assert!(matches!(hung, Isolated::TimedOut(_)));
        drop(hold);
    }
}
