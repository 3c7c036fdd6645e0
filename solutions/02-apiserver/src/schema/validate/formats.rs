//! What names, labels and the like must look like. Each function says what is wrong, in upstream's
//! words, and nothing if nothing is.
//!
//! Upstream: `k8s.io/apimachinery/pkg/util/validation` and `.../pkg/api/validate/content`. The regular
//! expressions are in the messages alone; what they match is plain enough to check by hand.

const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

fn lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// A message with the expression that wasn't matched, and examples of what would be.
fn expected(message: &str, expression: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{expression}')", examples.join(" or "))
}

fn at_most(text: &str, bytes: usize) -> Option<String> {
    (text.len() > bytes).then(|| format!("must be no more than {bytes} bytes"))
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if lower(*first) && lower(*last))
        && bytes.iter().all(|byte| lower(*byte) || *byte == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// `my-name`
pub fn dns_label(text: &str) -> Vec<String> {
    let mut wrong: Vec<String> = at_most(text, 63).into_iter().collect();
    if !is_label(text) {
        wrong.push(if is_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            let message = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and \
                           must start and end with an alphanumeric character";
            expected(message, "[a-z0-9]([-a-z0-9]*[a-z0-9])?", &["my-name", "123-abc"])
        });
    }
    wrong
}

/// `my-name`, and no digit first
pub fn dns_1035_label(text: &str) -> Vec<String> {
    let mut wrong: Vec<String> = at_most(text, 63).into_iter().collect();
    if !is_label(text) || !text.starts_with(|first: char| first.is_ascii_lowercase()) {
        let message = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                       alphabetic character, and end with an alphanumeric character";
        wrong.push(expected(message, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]));
    }
    wrong
}

/// `example.com`
pub fn dns_subdomain(text: &str) -> Vec<String> {
    let mut wrong: Vec<String> = at_most(text, 253).into_iter().collect();
    if !is_subdomain(text) {
        let message = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                       and must start and end with an alphanumeric character";
        wrong.push(expected(message, SUBDOMAIN, &["example.com"]));
    }
    wrong
}

/// `*.example.com`
pub fn wildcard_subdomain(text: &str) -> Vec<String> {
    let mut wrong: Vec<String> = at_most(text, 253).into_iter().collect();
    if !text.strip_prefix("*.").is_some_and(is_subdomain) {
        let message = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which \
                       must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric \
                       character";
        wrong.push(expected(message, &format!(r"\*\.{SUBDOMAIN}"), &["*.example.com"]));
    }
    wrong
}

fn is_name_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last))
        if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// `example.com/MyName`, `MyName`: a label's or annotation's key, a finalizer, a resource's name
pub fn qualified_name(text: &str) -> Vec<String> {
    let message = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                   alphanumeric character";
    let part = || expected(message, "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", &["MyName", "my.name", "123-abc"]);
    let mut wrong = Vec::new();
    let name = match text.split_once('/') {
        Some((_, name)) if name.contains('/') => {
            let optional = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {} {optional}", part())];
        }
        Some(("", name)) => {
            wrong.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            wrong.extend(dns_subdomain(prefix).into_iter().map(|message| format!("prefix part {message}")));
            name
        }
        None => text,
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else {
        wrong.extend(at_most(name, 63).map(|message| format!("name part {message}")));
    }
    if !is_name_part(name) {
        wrong.push(format!("name part {}", part()));
    }
    wrong
}

/// `MyValue`, or nothing
pub fn label_value(text: &str) -> Vec<String> {
    let mut wrong: Vec<String> = at_most(text, 63).into_iter().collect();
    if !text.is_empty() && !is_name_part(text) {
        let message = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
                       and must start and end with an alphanumeric character";
        let expression = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
        wrong.push(expected(message, expression, &["MyValue", "my_value", "12345"]));
    }
    wrong
}

fn climbs(text: &str) -> Option<String> {
    match text {
        "." => Some("must not be '.'".to_owned()),
        ".." => Some("must not be '..'".to_owned()),
        text if text.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

/// `key.name`: a key of a ConfigMap or Secret
pub fn config_key(text: &str) -> Vec<String> {
    let mut wrong: Vec<String> = at_most(text, 253).into_iter().collect();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if text.is_empty() || !text.bytes().all(fits) {
        let message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        wrong.push(expected(message, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    wrong.extend(climbs(text));
    wrong
}

/// `MY_ENV.NAME`, or any other printable name
pub fn environment_name(text: &str) -> Vec<String> {
    if text.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    if text.chars().all(|char| (' '..='~').contains(&char) && char != '=') {
        return Vec::new();
    }
    vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned()]
}

/// `X-Header-Name`
pub fn http_header(text: &str) -> Vec<String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Vec::new();
    }
    let message = "a valid HTTP header must consist of alphanumeric characters or '-'";
    vec![expected(message, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

/// `25%`
pub fn percent(text: &str) -> Vec<String> {
    let digits = text.strip_suffix('%').unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Vec::new();
    }
    let message = "a valid percent string must be a numeric string followed by an ending '%'";
    vec![expected(message, "[0-9]+%", &["1%", "93%"])]
}

/// 1 to 65535
pub fn port_number(port: i64) -> Vec<String> {
    in_range(port, 1, 65_535)
}

/// Between two bounds, both allowed
pub fn in_range(number: i64, least: i64, most: i64) -> Vec<String> {
    if (least..=most).contains(&number) {
        Vec::new()
    } else {
        vec![format!("must be between {least} and {most}, inclusive")]
    }
}

/// `http`: a port's name
pub fn port_name(text: &str) -> Vec<String> {
    let mut wrong: Vec<String> = at_most(text, 15).into_iter().collect();
    if text.is_empty() || !text.bytes().all(|byte| lower(byte) || byte == b'-') {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        wrong.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".to_owned());
    }
    wrong
}

/// A name that becomes part of a path in the API
pub fn path_segment(text: &str) -> Vec<String> {
    match text {
        "." | ".." => return vec![format!("may not be '{text}'")],
        _ => {}
    }
    let forbidden = ["/", "%"].iter().filter(|forbidden| text.contains(**forbidden));
    forbidden.map(|forbidden| format!("may not contain '{forbidden}'")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_fine() {
        for name in ["a", "my-name", "a.b-c.d", "1"] {
            assert!(dns_subdomain(name).is_empty(), "{name}");
        }
        for name in ["a", "example.com/MyName", "My_name.x"] {
            assert!(qualified_name(name).is_empty(), "{name}");
        }
        assert!(label_value("").is_empty());
        assert!(port_name("http-2").is_empty());
        assert!(environment_name("MY VAR").is_empty());
    }

    #[test]
    fn names_that_are_not() {
        for name in ["", "-a", "a-", "A", "a..b", ".a", "a_b", "é"] {
            assert!(!dns_subdomain(name).is_empty(), "{name}");
        }
        assert_eq!(dns_label("a.b"), ["must not contain dots"]);
        assert_eq!(qualified_name("/x"), ["prefix part must be non-empty"]);
        assert_eq!(label_value(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(port_name("1"), ["must contain at least one letter (a-z)"]);
        assert_eq!(config_key(".."), ["must not be '..'"]);
        assert!(port_number(0)[0].contains("between 1 and 65535"));
    }
}
