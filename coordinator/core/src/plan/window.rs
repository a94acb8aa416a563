//! When a plan may begin anything: windows that open on a schedule, in a time zone.
//!
//! The schedule is a cron expression of five fields. Where the clocks go forward over the hour that it names, it opens
//! at the first moment after the gap; where they go back and the hour comes twice, it opens the first time only, unless
//! the schedule is of every hour or minute.

use std::{fmt, time::Duration};

use chrono::{DateTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use evenkeel_words::{limits::cut, timestamp::Timestamp, window::WindowText};

use crate::refusal::{Refusal, RefusalKind};

/// The longest cron expression, in bytes. A list of every minute of the hour is half of that.
const SCHEDULE_BYTES_MAX: usize = 256;

/// The shortest window: a schedule tells no less.
const WINDOW_MIN: Duration = Duration::from_secs(60);

/// The longest window. What is open for longer is open by several, or has none.
const WINDOW_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// How many openings are looked at, at most, for the end of windows that run into each other.
const OPENINGS_MAX: usize = 64;

/// A time in which a plan may begin something.
#[derive(Debug, Clone)]
pub struct Window {
    text: WindowText,
    schedule: Cron,
    time_zone: Tz,
}

impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Window {}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text)
    }
}

impl Window {
    /// A window as it is written.
    ///
    /// # Errors
    /// Names the part that is wrong, and what is allowed.
    pub fn new(text: WindowText) -> Result<Self, Refusal> {
        let bad = |message: String| Refusal::new(RefusalKind::BadArgument, message);
        let WindowText {
            schedule,
            duration,
            time_zone,
        } = &text;
        if !(WINDOW_MIN..=WINDOW_MAX).contains(duration) {
            return Err(bad(format!(
                "a window of {duration:?} is too short or too long; allowed are {WINDOW_MIN:?} to {WINDOW_MAX:?}"
            )));
        }
        if schedule.len() > SCHEDULE_BYTES_MAX {
            return Err(bad(format!(
                "the schedule {:?}… is longer than {SCHEDULE_BYTES_MAX} bytes",
                cut(schedule.clone(), 32)
            )));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let parsed = parser.parse(schedule).map_err(|error| {
            bad(format!(
                "{schedule:?} is no schedule ({error}); write five fields like \"0 22 * * SAT\": minute, hour, day of the month, month, day of the week"
            ))
        })?;
        let zone: Tz = time_zone.parse().map_err(|_| {
            let name = cut(time_zone.clone(), 64);
            bad(format!(
                "there is no time zone {name:?}; they are named like UTC or Europe/Berlin"
            ))
        })?;
        let window = Self {
            schedule: parsed,
            time_zone: zone,
            text: text.clone(),
        };
        if window.opens_after(Timestamp(0)).is_none() {
            return Err(bad(format!("the schedule {schedule:?} never opens")));
        }
        Ok(window)
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> &WindowText {
        &self.text
    }

    /// The first opening later than `after`.
    fn opens_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = self.local(after)?;
        let opens = self.schedule.find_next_occurrence(&after, false).ok()?;
        u64::try_from(opens.timestamp_millis()).ok().map(Timestamp)
    }

    /// The opening that is not over at `now`: past if the window is open then, and to come otherwise.
    #[must_use]
    pub fn opening(&self, now: Timestamp) -> Option<Timestamp> {
        let length = u64::try_from(self.text.duration.as_millis()).unwrap_or(u64::MAX);
        self.opens_after(Timestamp(now.0.saturating_sub(length)))
    }

    /// When it closes that is open at `now`; none if it is not open, or opens again before it closes for longer than is
    /// looked at.
    #[must_use]
    pub fn closing(&self, now: Timestamp) -> Option<Timestamp> {
        let mut opening = self.opening(now).filter(|opening| *opening <= now)?;
        for _ in 0..OPENINGS_MAX {
            let closes = opening.after(self.text.duration);
            match self.opens_after(opening) {
                Some(next) if next <= closes => opening = next,
                Some(_) | None => return Some(closes),
            }
        }
        None
    }

    /// A point in time as people of its time zone write it.
    #[must_use]
    pub fn told(&self, at: Timestamp) -> String {
        let Some(at) = self.local(at) else {
            return "a time beyond the calendar".to_owned();
        };
        format!("{} ({})", at.format("%Y-%m-%d %H:%M %:z"), self.time_zone)
    }

    fn local(&self, at: Timestamp) -> Option<DateTime<Tz>> {
        let at = i64::try_from(at.0).ok()?;
        let at = Utc.timestamp_millis_opt(at).single()?;
        Some(at.with_timezone(&self.time_zone))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(text: &str) -> Window {
        Window::new(text.parse().unwrap()).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        let at = DateTime::parse_from_rfc3339(text).unwrap();
        Timestamp(u64::try_from(at.timestamp_millis()).unwrap())
    }

    fn is_open(window: &Window, text: &str) -> bool {
        let now = at(text);
        window.opening(now).is_some_and(|opening| opening <= now)
    }

    #[test]
    fn it_is_open_from_its_opening_on_for_as_long_as_it_says() {
        let window = window("0 22 * * SAT for 4h in Europe/Berlin");
        // 2026-11-21 is a Saturday; Berlin is an hour ahead of UTC.
        assert!(!is_open(&window, "2026-11-21T20:59:59Z"));
        assert!(is_open(&window, "2026-11-21T21:00:00Z"));
        assert!(is_open(&window, "2026-11-22T00:59:59Z"));
        assert!(!is_open(&window, "2026-11-22T01:00:00Z"));
        assert_eq!(
            window.opening(at("2026-11-22T01:00:00Z")),
            Some(at("2026-11-28T21:00:00Z"))
        );
        assert_eq!(
            window.closing(at("2026-11-21T23:00:00Z")),
            Some(at("2026-11-22T01:00:00Z"))
        );
        assert_eq!(window.closing(at("2026-11-21T20:00:00Z")), None);
        assert_eq!(
            window.told(at("2026-11-28T21:00:00Z")),
            "2026-11-28 22:00 +01:00 (Europe/Berlin)"
        );
    }

    #[test]
    fn an_hour_that_the_clocks_leave_out_opens_it_after_the_gap() {
        // On 2026-03-29 it is 03:00 in Berlin right after 01:59.
        let window = window("30 2 * * * for 1h in Europe/Berlin");
        assert!(!is_open(&window, "2026-03-29T00:59:59Z"));
        assert!(is_open(&window, "2026-03-29T01:00:00Z"));
        assert!(!is_open(&window, "2026-03-29T02:00:00Z"));
        assert!(is_open(&window, "2026-03-30T00:30:00Z"));
    }

    #[test]
    fn an_hour_that_comes_twice_opens_it_once() {
        // On 2026-10-25 the hour from 02:00 on comes twice in Berlin: at 00:00 and at 01:00 UTC.
        let window = window("30 2 * * * for 30m in Europe/Berlin");
        assert!(is_open(&window, "2026-10-25T00:30:00Z"));
        assert!(!is_open(&window, "2026-10-25T01:00:00Z"));
        assert!(!is_open(&window, "2026-10-25T01:30:00Z"), "not again");
        assert!(is_open(&window, "2026-10-26T01:30:00Z"));
    }

    #[test]
    fn one_that_lasts_over_a_change_of_the_clocks_lasts_as_long_as_it_says() {
        let window = window("0 22 * * SAT for 8h in Europe/Berlin");
        assert_eq!(
            window.closing(at("2026-10-24T20:00:00Z")),
            Some(at("2026-10-25T04:00:00Z"))
        );
    }

    #[test]
    fn openings_that_run_into_each_other_close_when_the_last_is_over() {
        let hourly = window("0 8-11 * * * for 1h in UTC");
        assert_eq!(
            hourly.closing(at("2026-11-21T09:30:00Z")),
            Some(at("2026-11-21T12:00:00Z"))
        );
        let always = window("* * * * * for 1min in UTC");
        assert_eq!(always.closing(at("2026-11-21T09:30:00Z")), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_is_allowed() {
        let refused = |text: &str| {
            let text: WindowText = text.parse().unwrap();
            Window::new(text).unwrap_err().message
        };
        for (text, said) in [
            ("0 0 30 2 * for 1h in UTC", "never opens"),
            ("0 0 22 * * SAT for 1h in UTC", "is no schedule"),
            ("0 22 * * for 1h in UTC", "is no schedule"),
            ("0 25 * * SAT for 1h in UTC", "is no schedule"),
            ("soon for 1h in UTC", "is no schedule"),
            ("0 22 * * SAT for 59s in UTC", "too short or too long"),
            ("0 22 * * SAT for 8d in UTC", "too short or too long"),
            ("0 22 * * SAT for 1h in Mars/Base", "there is no time zone"),
        ] {
            let message = refused(text);
            assert!(message.contains(said), "{text}: {message}");
        }
        let long = format!("{} for 1h in UTC", "1,".repeat(200));
        assert!(refused(&long).contains("longer than"));
    }

    proptest! {
        #[test]
        fn no_text_and_no_time_makes_it_panic(
            schedule in "[0-9*/,#LW SATMON-]{0,24}",
            now in any::<u64>(),
        ) {
            let text = WindowText {
                schedule,
                duration: Duration::from_secs(3600),
                time_zone: "America/New_York".to_owned(),
            };
            if let Ok(window) = Window::new(text) {
                let now = Timestamp(now);
                let _ = (window.opening(now), window.closing(now), window.told(now));
            }
        }

        #[test]
        fn it_is_open_between_an_opening_and_its_closing_and_nowhere_else(
            now in 1_700_000_000_000_u64..1_900_000_000_000,
            schedule in prop::sample::select(vec!["30 2 * * *", "0 22 * * SAT", "*/20 1-3 * * *", "0 0 1 * *"]),
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
            minutes in 1_u64..600,
        ) {
            let window = Window::new(WindowText {
                schedule: schedule.to_owned(),
                duration: Duration::from_secs(60 * minutes),
                time_zone: zone.to_owned(),
            })
            .unwrap();
            let now = Timestamp(now);
            let opening = window.opening(now).unwrap();
            prop_assert!(opening.after(window.text().duration) > now);
            match window.closing(now) {
                Some(closing) => {
                    prop_assert!(opening <= now && now < closing);
                    prop_assert!(window.opening(closing).is_none_or(|next| next > closing));
                }
                None => {
                    prop_assert!(opening > now);
                    // A moment before it opens it is not open, and then it is.
                    let before = Timestamp(opening.0 - 1);
                    prop_assert!(before < now || window.closing(before).is_none());
                    prop_assert!(window.closing(opening).is_some());
                }
            }
        }
    }
}
