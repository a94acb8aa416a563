//! Maintenance windows as people write them: `0 22 * * SAT for 4h in Europe/Berlin`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// Why a text is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWindow {
    /// Not the words it takes.
    #[error(
        "{text:?} is no window; write when it opens, for how long and where, like \"0 22 * * SAT for 4h in Europe/Berlin\" (minute, hour, day of the month, month, day of the week)"
    )]
    Form {
        /// The text.
        text: String,
    },
    /// Not a duration.
    #[error("{text:?} is no duration; write it like 4h or 90min")]
    Duration {
        /// The text.
        text: String,
    },
}

/// A window's parts, apart from each other; whether the schedule and the time zone exist is not known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WindowText {
    /// When it opens, as a cron expression.
    pub schedule: String,
    /// How long it stays open.
    pub duration: Duration,
    /// The time zone that the schedule is told in, by its IANA name.
    pub time_zone: String,
}

/// The time zone of a window that names none.
const TIME_ZONE: &str = "UTC";

impl FromStr for WindowText {
    type Err = NoWindow;

    fn from_str(text: &str) -> Result<Self, NoWindow> {
        let (schedule, rest) = text.split_once(" for ").ok_or_else(|| NoWindow::Form {
            text: text.to_owned(),
        })?;
        let (duration, time_zone) = rest.split_once(" in ").unwrap_or((rest, TIME_ZONE));
        let duration = duration.trim();
        let duration = humantime::parse_duration(duration).map_err(|_| NoWindow::Duration {
            text: duration.to_owned(),
        })?;
        Ok(Self {
            schedule: schedule.trim().to_owned(),
            duration,
            time_zone: time_zone.trim().to_owned(),
        })
    }
}

impl fmt::Display for WindowText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let duration = humantime::format_duration(self.duration);
        write!(f, "{} for {duration} in {}", self.schedule, self.time_zone)
    }
}

impl TryFrom<String> for WindowText {
    type Error = NoWindow;

    fn try_from(text: String) -> Result<Self, NoWindow> {
        text.parse()
    }
}

impl From<WindowText> for String {
    fn from(window: WindowText) -> Self {
        window.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_written_as_it_is_said() {
        let text = "0 22 * * SAT for 4h 30m in Europe/Berlin";
        let window: WindowText = text.parse().unwrap();
        assert_eq!(window.schedule, "0 22 * * SAT");
        assert_eq!(window.duration, Duration::from_secs(16_200));
        assert_eq!(window.time_zone, "Europe/Berlin");
        assert_eq!(window.to_string(), text);
        let window: WindowText = "*/15 * * * * for 90min".parse().unwrap();
        assert_eq!(
            window.to_string(),
            "*/15 * * * * for 1h 30m in UTC",
            "the time zone is UTC where none is named"
        );
        for bad in [
            "",
            "0 22 * * SAT",
            "0 22 * * SAT for",
            "0 22 * * SAT for ever",
        ] {
            assert!(bad.parse::<WindowText>().is_err(), "{bad:?}");
        }
    }
}
