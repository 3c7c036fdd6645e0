//! Moments and lengths of time as Go writes them.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;

const RFC3339: &str = "2006-01-02T15:04:05Z07:00";
const RFC3339_MICRO: &str = "2006-01-02T15:04:05.000000Z07:00";

/// `2026-11-20T20:15:16Z`: how a moment is written in `metadata`.
pub fn write(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Makes `text` a moment in whole seconds, UTC.
pub fn seconds(text: &mut String) -> Result<(), String> {
    let at = parse(text, RFC3339)?;
    replace(text, write(at));
    Ok(())
}

/// Makes `text` a moment in microseconds, UTC.
pub fn micros(text: &mut String) -> Result<(), String> {
    let at = parse(text, RFC3339_MICRO)?;
    replace(text, at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string());
    Ok(())
}

fn replace(text: &mut String, canonical: String) {
    if *text != canonical {
        *text = canonical;
    }
}

fn parse(text: &str, layout: &str) -> Result<Timestamp, String> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    let bytes = text.as_bytes();
    // RFC 3339 and nothing else of what ISO 8601 allows: 2006-01-02T15:04:05
    let shaped = bytes.len() >= 20
        && bytes[..19].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            10 => *byte == b'T',
            13 | 16 => *byte == b':',
            _ => byte.is_ascii_digit(),
        });
    if shaped && let Ok(at) = PARSER.parse_timestamp(text) {
        return Ok(at);
    }
    Err(refusal(text, layout))
}

/// Go says which part of the layout it couldn't find, and what stands there instead.
fn refusal(text: &str, layout: &str) -> String {
    let parts = [
        ("2006", 4),
        ("-", 1),
        ("01", 2),
        ("-", 1),
        ("02", 2),
        ("T", 1),
        ("15", 2),
        (":", 1),
        ("04", 2),
        (":", 1),
        ("05", 2),
    ];
    let mut rest = text;
    for (part, length) in parts {
        let fits = rest.get(..length).is_some_and(|head| {
            if part.len() == 1 { head == part } else { head.bytes().all(|byte| byte.is_ascii_digit()) }
        });
        if !fits {
            return format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {part:?}");
        }
        rest = &rest[length..];
    }
    let fraction = rest.strip_prefix('.').map_or(0, |digits| 1 + digits.bytes().take_while(u8::is_ascii_digit).count());
    let rest = &rest[fraction..];
    if rest == "Z" || rest.len() == 6 {
        return format!("parsing time {text:?}: day out of range");
    }
    format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as \"Z07:00\"")
}

/// Makes `text` a length of time in Go's notation: `90s` becomes `1m30s`.
pub fn duration(text: &mut String) -> Result<(), String> {
    let nanos = parse_duration(text)?;
    replace(text, write_duration(nanos));
    Ok(())
}

fn parse_duration(text: &str) -> Result<i128, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(|| format!("time: missing unit in duration {text:?}"))?;
        let number: f64 = rest[..end].parse().map_err(|_| invalid())?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 6e10,
            "h" => 3.6e12,
            unknown => return Err(format!("time: unknown unit {unknown:?} in duration {text:?}")),
        };
        total += number * unit;
        rest = &rest[end..];
    }
    if total > 9.2e18 {
        return Err(invalid());
    }
    #[allow(clippy::cast_possible_truncation)]
    Ok(sign * total as i128)
}

fn write_duration(nanos: i128) -> String {
    let (sign, nanos) = if nanos < 0 { ("-", -nanos) } else { ("", nanos) };
    let fraction = |whole: i128, part: i128, digits: usize, unit: &str| {
        let part = format!("{part:0digits$}");
        let part = part.trim_end_matches('0');
        let dot = if part.is_empty() { "" } else { "." };
        format!("{whole}{dot}{part}{unit}")
    };
    let written = match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => fraction(nanos / 1_000, nanos % 1_000, 3, "µs"),
        1_000_000..1_000_000_000 => fraction(nanos / 1_000_000, nanos % 1_000_000, 6, "ms"),
        _ => {
            let all = nanos / 1_000_000_000;
            let seconds = fraction(all % 60, nanos % 1_000_000_000, 9, "s");
            match (all / 3600, all / 60 % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    };
    format!("{sign}{written}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_one_form() {
        let mut text = "2026-11-20T22:15:16.5+02:00".to_owned();
        seconds(&mut text).expect("a moment");
        assert_eq!(text, "2026-11-20T20:15:16Z");
        let mut text = "2026-11-20T20:15:16Z".to_owned();
        micros(&mut text).expect("a moment");
        assert_eq!(text, "2026-11-20T20:15:16.000000Z");
    }

    #[test]
    fn what_is_no_moment_is_refused_in_gos_words() {
        let refused = |text: &str| seconds(&mut text.to_owned()).expect_err(text);
        assert_eq!(
            refused("soon"),
            r#"parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006""#
        );
        assert_eq!(
            refused("2026-11-20"),
            r#"parsing time "2026-11-20" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#
        );
        assert_eq!(refused("2026-02-30T00:00:00Z"), r#"parsing time "2026-02-30T00:00:00Z": day out of range"#);
    }

    #[test]
    fn durations_have_one_form() {
        for (written, again) in [("90s", "1m30s"), ("1h", "1h0m0s"), ("0", "0s"), ("1.5s", "1.5s"), ("300ms", "300ms")]
        {
            let mut text = written.to_owned();
            duration(&mut text).expect(written);
            assert_eq!(text, again);
        }
        assert_eq!(parse_duration("5").expect_err("no unit"), "time: missing unit in duration \"5\"");
    }
}
