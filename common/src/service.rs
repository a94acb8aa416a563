//! What a service manager hears of this process, in the protocol of `sd_notify(3)`. Nobody listens where `NOTIFY_SOCKET`
//! is not set; then none of this does anything.

use std::{future::pending, time::Duration};

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

/// The process has begun to do its work.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The process ends, because it was told to.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The process reads its settings again; [`ready`] says that this is over.
pub fn reloading() {
    let mut said = vec![NotifyState::Reloading];
    // From systemd 253 on it has to say when.
    said.extend(NotifyState::monotonic_usec_now());
    tell(&said);
}

/// Says that the process is alive, twice as often as the service manager asks for; never ends. To be polled where the
/// work is done: when that stands still, so does this, and the service manager starts the process anew.
pub async fn keep_alive() {
    let Some(every) = watchdog_interval(sd_notify::watchdog_enabled()) else {
        return pending().await;
    };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn watchdog_interval(asked: Option<Duration>) -> Option<Duration> {
    asked
        .map(|asked| asked / 2)
        .filter(|every| !every.is_zero())
}

fn tell(said: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(said) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_twice_as_often_as_is_asked_for_and_never_without_a_pause() {
        let secs = Duration::from_secs;
        assert_eq!(watchdog_interval(Some(secs(30))), Some(secs(15)));
        assert_eq!(watchdog_interval(Some(Duration::ZERO)), None);
        assert_eq!(watchdog_interval(None), None);
    }
}
