//! Times as they are shown: RFC 3339 for programs, ages for people.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// A point in time of the coordinator's as RFC 3339 in UTC, to the millisecond; none where it is unset or beyond the
/// calendar.
pub(crate) fn rfc3339(time: Option<prost_types::Timestamp>) -> Option<String> {
    let time = time?;
    let time = Timestamp::new(time.seconds, time.nanos).ok()?;
    Some(format!("{time:.3}"))
}

/// A duration as protobuf's JSON mapping has it: `120s`, `0.5s`.
pub(crate) fn seconds(duration: Option<prost_types::Duration>) -> Option<String> {
    let duration = Duration::try_from(duration?).ok()?;
    Some(format!("{}s", duration.as_secs_f64()))
}

/// A duration of [`seconds`] for people: `2m`.
pub(crate) fn readable(seconds: Option<&str>) -> String {
    let text = seconds.unwrap_or_default();
    let duration = text.strip_suffix('s').and_then(|text| text.parse().ok());
    match duration.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(duration) => humantime::format_duration(duration).to_string(),
        None => text.to_owned(),
    }
}

/// How long ago a point in RFC 3339 was, in its two largest units; `-` where there is none.
pub(crate) fn age(time: Option<&str>, now: SystemTime) -> String {
    let then = time.and_then(|text| text.parse::<Timestamp>().ok());
    let now = Timestamp::try_from(now).ok();
    match (then, now) {
        // Clocks differ a little: what is in the future was just now.
        (Some(then), Some(now)) => {
            brief(Duration::try_from(now.duration_since(then)).unwrap_or_default())
        }
        _ => "-".to_owned(),
    }
}

/// How long it is until a point in RFC 3339; `-` where there is none.
pub(crate) fn until(time: Option<&str>, now: SystemTime) -> String {
    let then = time.and_then(|text| text.parse::<Timestamp>().ok());
    let now = Timestamp::try_from(now).ok();
    match (then, now) {
        (Some(then), Some(now)) => {
            brief(Duration::try_from(then.duration_since(now)).unwrap_or_default())
        }
        _ => "-".to_owned(),
    }
}

/// A duration in whole seconds or larger, two units at most.
pub(crate) fn brief(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = duration.as_secs();
    let two = |big: u64, big_unit: char, small: u64, small_unit: char| match small {
        0 => format!("{big}{big_unit}"),
        _ => format!("{big}{big_unit}{small}{small_unit}"),
    };
    match seconds {
        0..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => two(seconds / MINUTE, 'm', seconds % MINUTE, 's'),
        HOUR..DAY => two(seconds / HOUR, 'h', seconds % HOUR / MINUTE, 'm'),
        _ => two(seconds / DAY, 'd', seconds % DAY / HOUR, 'h'),
    }
}

/// Microseconds for people: `12.3ms`, `1.20s`; `-` for none.
pub(crate) fn micros(micros: u64) -> String {
    match micros {
        0 => "-".to_owned(),
        1..1_000_000 => format!("{}.{}ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{}.{:02}s", micros / 1_000_000, micros % 1_000_000 / 10_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_rfc_3339() {
        let time = prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 120_000_000,
        };
        assert_eq!(
            rfc3339(Some(time)).as_deref(),
            Some("2023-11-14T22:13:20.120Z")
        );
        assert_eq!(rfc3339(None), None);
        let absurd = prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: -1,
        };
        assert_eq!(rfc3339(Some(absurd)), None);
    }

    #[test]
    fn an_age_has_two_units_at_most() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (time, expected) in [
            ("2023-11-14T22:13:20Z", "0s"),
            ("2023-11-14T22:13:30Z", "0s"),
            ("2023-11-14T22:12:21Z", "59s"),
            ("2023-11-14T22:10:08.5Z", "3m11s"),
            ("2023-11-14T20:13:20Z", "2h"),
            ("2023-11-12T21:13:20Z", "2d1h"),
            ("soon", "-"),
        ] {
            assert_eq!(age(Some(time), now), expected, "{time}");
        }
        assert_eq!(age(None, now), "-");
        assert_eq!(until(Some("2023-11-14T22:14:20Z"), now), "1m");
        assert_eq!(until(Some("2023-11-14T22:10:00Z"), now), "0s");
    }

    #[test]
    fn microseconds_and_durations_are_written_for_their_readers() {
        assert_eq!(micros(0), "-");
        assert_eq!(micros(950), "0.9ms");
        assert_eq!(micros(123_456), "123.4ms");
        assert_eq!(micros(2_345_678), "2.34s");
        let half = prost_types::Duration {
            seconds: 1,
            nanos: 500_000_000,
        };
        assert_eq!(seconds(Some(half)).as_deref(), Some("1.5s"));
        assert_eq!(readable(Some("1.5s")), "1s 500ms");
        assert_eq!(readable(Some("600s")), "10m");
        assert_eq!(readable(None), "");
        let negative = prost_types::Duration {
            seconds: -1,
            nanos: 0,
        };
        assert_eq!(seconds(Some(negative)), None);
    }
}
