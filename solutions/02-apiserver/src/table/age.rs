//! Durations as people read them: two or three significant figures, no more.
//!
//! Upstream: `k8s.io/apimachinery/pkg/util/duration/duration.go`.

use std::borrow::Cow;

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// How long before `now` a moment was.
pub(super) fn since(moment: Option<Timestamp>, now: Timestamp) -> Cow<'static, str> {
    match moment {
        None => "<unknown>".into(),
        Some(moment) => human_duration(now.duration_since(moment).as_secs()),
    }
}

/// A duration of whole seconds.
pub(super) fn human_duration(seconds: i64) -> Cow<'static, str> {
    // Clocks differ a little; more than a second into the future is something else.
    if seconds < -1 {
        return "<invalid>".into();
    }
    let two = |unit: i64, name: char, smaller: i64, smaller_name: char| {
        let (whole, rest) = (seconds / unit, seconds % unit / smaller);
        if rest == 0 { format!("{whole}{name}") } else { format!("{whole}{name}{rest}{smaller_name}") }
    };
    match seconds.max(0) {
        seconds if seconds < 2 * MINUTE => format!("{seconds}s"),
        seconds if seconds < 10 * MINUTE => two(MINUTE, 'm', 1, 's'),
        seconds if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        seconds if seconds < 8 * HOUR => two(HOUR, 'h', MINUTE, 'm'),
        seconds if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        seconds if seconds < 8 * DAY => two(DAY, 'd', HOUR, 'h'),
        seconds if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        seconds if seconds < 8 * YEAR => two(YEAR, 'y', DAY, 'd'),
        seconds => format!("{}y", seconds / YEAR),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_figures_are_enough() {
        for (seconds, shown) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (599, "9m59s"),
            (600, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 5 * MINUTE, "3h5m"),
            (8 * HOUR, "8h"),
            (47 * HOUR, "47h"),
            (48 * HOUR, "2d"),
            (50 * HOUR, "2d2h"),
            (8 * DAY, "8d"),
            (2 * YEAR - 1, "729d"),
            (2 * YEAR, "2y"),
            (2 * YEAR + 3 * DAY, "2y3d"),
            (8 * YEAR + 100 * DAY, "8y"),
        ] {
            assert_eq!(human_duration(seconds), shown, "{seconds} seconds");
        }
    }

    #[test]
    fn an_unknown_moment_is_said_to_be() {
        assert_eq!(since(None, Timestamp::UNIX_EPOCH), "<unknown>");
    }

    proptest! {
        #[test]
        fn no_duration_is_too_long(seconds: i64) {
            prop_assert!(human_duration(seconds).len() <= 22);
        }
    }
}
