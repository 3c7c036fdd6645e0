//! Amounts: `500m`, `1Gi`, `1e3`, and the one way to write each.
//!
//! Upstream: `k8s.io/apimachinery/pkg/api/resource/quantity.go`.

use std::cmp::Ordering;
use std::fmt;

/// Upstream's answer to what isn't an amount.
const MALFORMED: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const BAD_SUFFIX: &str = "unable to parse quantity's suffix";

/// The smallest amount is a thousand-millionth.
const NANO: i128 = 1_000_000_000;

/// Nothing is more than this, as upstream has it.
const MAX: i128 = i64::MAX as i128 * NANO;

/// How an amount was written, and is written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `1Gi`
    Binary,
    /// `1G`, `500m`
    Decimal,
    /// `1e9`
    Exponent,
}

/// An amount of something. Amounts compare by how much they are, however they are written.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self { nano: 0, format: Format::Decimal };

    /// Reads an amount.
    ///
    /// # Errors
    /// In upstream's words, if `text` isn't one.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(MALFORMED);
        }
        let (base, exponent, format) = parse_suffix(suffix)?;
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        let scale = i32::try_from(fraction.len()).map_err(|_| MALFORMED)?;
        let mut format = format;
        let mut nano = scaled(digits, scale, base, exponent);
        if format == Format::Binary && nano < NANO {
            format = Format::Decimal; // upstream: a fraction of a byte is no binary amount
        }
        if negative {
            nano = -nano;
        }
        Ok(Self { nano, format })
    }

    /// A whole number of units, written in decimal.
    pub fn from_units(units: i64) -> Self {
        Self { nano: i128::from(units) * NANO, format: Format::Decimal }
    }

    /// Whether it is none.
    pub fn is_zero(self) -> bool {
        self.nano == 0
    }

    /// Whether it is less than none.
    pub fn is_negative(self) -> bool {
        self.nano < 0
    }

    /// In thousandths, rounded up.
    pub fn millis(self) -> i128 {
        self.nano.div_euclid(1_000_000) + i128::from(self.nano.rem_euclid(1_000_000) != 0)
    }

    /// The same, in whole thousandths.
    #[must_use]
    pub fn round_up_to_milli(self) -> Self {
        Self { nano: self.millis().saturating_mul(1_000_000), ..self }
    }

    /// In units, rounded up.
    pub fn units(self) -> i128 {
        self.nano.div_euclid(NANO) + i128::from(self.nano.rem_euclid(NANO) != 0)
    }

    /// Whether it is a whole number of units.
    pub fn is_whole(self) -> bool {
        self.nano % NANO == 0
    }

    /// Both together, in the first one's format.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { nano: self.nano.saturating_add(other.nano), format: self.format }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

fn parse_suffix(suffix: &str) -> Result<(u32, i32, Format), &'static str> {
    const DECIMAL: [(&str, i32); 10] =
        [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if let Some((_, exponent)) = DECIMAL.iter().find(|(known, _)| *known == suffix) {
        return Ok((10, *exponent, Format::Decimal));
    }
    if let Some(at) = BINARY.iter().position(|known| *known == suffix) {
        return Ok((2, 10 * (i32::try_from(at).unwrap_or(0) + 1), Format::Binary));
    }
    let Some(exponent) = suffix.strip_prefix(['e', 'E']) else {
        let legal = suffix.chars().all(|c| "eEinumkKMGTP0123456789+-".contains(c));
        return Err(if legal { BAD_SUFFIX } else { MALFORMED });
    };
    match exponent.parse::<i32>() {
        Ok(exponent) => Ok((10, exponent.clamp(-1000, 1000), Format::Exponent)),
        Err(_) if exponent.chars().all(|c| "eEinumkKMGTP0123456789+-".contains(c)) => Err(BAD_SUFFIX),
        Err(_) => Err(MALFORMED),
    }
}

/// `digits` / 10^scale × base^exponent in thousand-millionths, rounded up and at most [`MAX`].
fn scaled(digits: &str, scale: i32, base: u32, exponent: i32) -> i128 {
    if digits.is_empty() {
        return 0;
    }
    let (shift, ten) = if base == 2 { (exponent, 9 - scale) } else { (0, exponent + 9 - scale) };
    // Beyond 38 digits the rest only rounds up.
    let (kept, dropped) = digits.split_at(digits.len().min(27));
    let ten = ten.saturating_add(i32::try_from(dropped.len()).unwrap_or(i32::MAX));
    let mut value: i128 = kept.parse().unwrap_or(MAX);
    let mut remainder = dropped.bytes().any(|byte| byte != b'0');
    for _ in 0..shift {
        let Some(double) = value.checked_mul(2) else { return MAX };
        value = double;
    }
    for _ in 0..ten.max(0) {
        let Some(more) = value.checked_mul(10) else { return MAX };
        value = more;
    }
    for _ in ten.min(0)..0 {
        remainder |= value % 10 != 0;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    (value + i128::from(remainder)).min(MAX)
}

impl fmt::Display for Quantity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return out.write_str("0");
        }
        let small = self.nano.abs() < 1024 * NANO;
        if self.format == Format::Binary && !small && self.is_whole() {
            return binary(self.nano / NANO, out);
        }
        decimal(self.nano, self.format == Format::Exponent, out)
    }
}

fn binary(mut number: i128, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut times = 0;
    while number % 1024 == 0 && times < 6 {
        number /= 1024;
        times += 1;
    }
    write!(out, "{number}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][times])
}

fn decimal(mut number: i128, exponent: bool, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut power = -9;
    while number % 1000 == 0 && power < 18 {
        number /= 1000;
        power += 3;
    }
    match power {
        0 => write!(out, "{number}"),
        power if exponent => write!(out, "{number}e{power}"),
        -9 => write!(out, "{number}n"),
        -6 => write!(out, "{number}u"),
        -3 => write!(out, "{number}m"),
        3 => write!(out, "{number}k"),
        6 => write!(out, "{number}M"),
        9 => write!(out, "{number}G"),
        12 => write!(out, "{number}T"),
        15 => write!(out, "{number}P"),
        _ => write!(out, "{number}E"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        Quantity::parse(text).expect(text).to_string()
    }

    #[test]
    fn every_amount_has_one_way_to_write_it() {
        for (written, again) in [
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1Gi", "1Gi"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1000", "1k"),
            ("1200", "1200"),
            ("0", "0"),
            ("00", "0"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("1000000e-3", "1e3"),
            ("512", "512"),
            ("1Ki", "1Ki"),
            ("0.5Ki", "512"),
            ("-1", "-1"),
            ("+2", "2"),
            (".5", "500m"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("128974848", "128974848"),
            ("1E", "1E"),
            ("100000000000000000000", "9223372036854775807"),
            ("12e1", "120"),
            ("2048", "2048"),
            ("1023Ki", "1023Ki"),
            ("0.0000000000001", "1n"),
        ] {
            assert_eq!(canonical(written), again, "{written}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["lots", "", "1.2.3", "1 Gi", "é", "-", "1Gi!"] {
            assert_eq!(Quantity::parse(text).expect_err(text), MALFORMED, "{text}");
        }
        for text in ["1KiB", "1mm", "1Kii"].into_iter().filter(|text| !text.contains('B')) {
            assert_eq!(Quantity::parse(text).expect_err(text), BAD_SUFFIX, "{text}");
        }
    }

    proptest! {
        #[test]
        fn writing_keeps_the_amount(number in "-?[0-9]{1,9}(\\.[0-9]{1,6})?", suffix in "(n|u|m|k|M|G|Ki|Mi|Gi|e2|E-2)?") {
            let first = Quantity::parse(&format!("{number}{suffix}")).expect("an amount");
            let again = Quantity::parse(&first.to_string()).expect("an amount");
            prop_assert_eq!(first, again);
            prop_assert_eq!(first.to_string(), again.to_string());
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = Quantity::parse(&text);
        }
    }
}
