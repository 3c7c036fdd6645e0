//! Quantities: `100m`, `1.5Gi`, `2e3`.
//!
//! Upstream: `k8s.io/apimachinery/pkg/api/resource`. A quantity is kept as a whole number of
//! billionths, which holds everything upstream allows, and the family of its suffix.

use std::iter::Sum;

/// Which suffixes a quantity is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Binary,
    Decimal,
}

/// A number with a suffix, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    billionths: i128,
    family: Family,
}

const ONE: i128 = 1_000_000_000;

/// Suffixes from large to small; decimal ones in billionths.
const BINARY: [(&str, i128); 6] =
    [("Ei", 1 << 60), ("Pi", 1 << 50), ("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
const DECIMAL: [(&str, i128); 10] = [
    ("E", ONE * ONE * ONE),
    ("P", ONE * ONE * 1_000_000),
    ("T", ONE * ONE * 1_000),
    ("G", ONE * ONE),
    ("M", ONE * 1_000_000),
    ("k", ONE * 1_000),
    ("", ONE),
    ("m", 1_000_000),
    ("u", 1_000),
    ("n", 1),
];

impl Amount {
    /// Reads a quantity; `None` if it isn't one or is too large.
    pub fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c))).unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (scale, family) = scale(suffix)?;
        let (negative, number) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || digits.len() > 24 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let value: i128 = digits.parse().ok()?;
        let divisor = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let scaled = value.checked_mul(scale)?;
        // What is finer than can be kept is rounded up.
        let billionths = scaled.checked_add(divisor - 1)? / divisor;
        Some(Self { billionths: if negative { -billionths } else { billionths }, family })
    }

    /// How many times `divisor` fits, rounded up: what the downward API says.
    pub fn divided_by(self, divisor: Self) -> Option<i128> {
        let divisor = (divisor.billionths > 0).then_some(divisor.billionths)?;
        Some((self.billionths + divisor - 1).div_euclid(divisor))
    }

    /// A whole number of bytes, processors, pods.
    pub fn whole(number: u64) -> Self {
        Self { billionths: i128::from(number) * ONE, family: Family::Decimal }
    }
}

/// What a suffix multiplies by, in billionths.
fn scale(suffix: &str) -> Option<(i128, Family)> {
    if let Some((_, scale)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((scale * ONE, Family::Binary));
    }
    if let Some((_, scale)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((*scale, Family::Decimal));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let billionths = 10_i128.checked_pow(u32::try_from(exponent.checked_add(9)?).ok()?)?;
    (exponent <= 18).then_some((billionths, Family::Decimal))
}

impl std::fmt::Display for Amount {
    /// The canonical form: the largest suffix that leaves a whole number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fits = |scale: i128| self.billionths % scale == 0;
        if self.billionths == 0 {
            return f.write_str("0");
        }
        if self.family == Family::Binary
            && let Some((name, scale)) = BINARY.iter().find(|(_, scale)| fits(scale * ONE))
        {
            return write!(f, "{}{name}", self.billionths / (scale * ONE));
        }
        let units = DECIMAL.iter().filter(|(_, scale)| self.family == Family::Decimal || *scale <= ONE);
        let (name, scale) = units.into_iter().find(|(_, scale)| fits(*scale)).unwrap_or(&("n", 1));
        write!(f, "{}{name}", self.billionths / scale)
    }
}

impl Sum for Amount {
    /// The sum, written in the family of the first.
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        let add = |sum: Self, next: Self| Self { billionths: sum.billionths + next.billionths, ..sum };
        amounts.reduce(add).unwrap_or(Self::whole(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> Option<String> {
        Amount::parse(text).map(|amount| amount.to_string())
    }

    #[test]
    fn quantities_are_read_and_written_as_upstream_does() {
        for (text, expected) in [
            ("100m", "100m"),
            ("1500m", "1500m"),
            ("1.5", "1500m"),
            ("1.5Gi", "1536Mi"),
            ("1024Ki", "1Mi"),
            ("1000", "1k"),
            ("2e3", "2k"),
            ("0", "0"),
            ("-2", "-2"),
            ("0.5Ki", "512"),
            ("5E", "5E"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
        for wrong in ["", "m", "1.2.3", "1x", "--1", "1e99", "1Ki1"] {
            assert_eq!(canonical(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sums_and_quotients() {
        let amount = |text: &str| Amount::parse(text).unwrap();
        assert_eq!([amount("100m"), amount("1")].into_iter().sum::<Amount>().to_string(), "1100m");
        assert_eq!(amount("1500m").divided_by(amount("1")), Some(2));
        assert_eq!(amount("1Gi").divided_by(amount("1Mi")), Some(1024));
        assert_eq!(amount("1").divided_by(amount("0")), None);
    }

    proptest! {
        #[test]
        fn the_canonical_form_means_the_same(number in 0_u32..1_000_000, suffix in "(|m|k|M|Ki|Mi|Gi)") {
            let amount = Amount::parse(&format!("{number}{suffix}")).unwrap();
            let again = Amount::parse(&amount.to_string()).unwrap();
            prop_assert_eq!(amount.billionths, again.billionths);
        }

        #[test]
        fn nothing_makes_it_panic(text in "[-+0-9.a-zA-Z]{0,30}") {
            let _ = canonical(&text);
        }
    }
}
