//! JSON as Go reads it: its words for what is wrong, keys that come twice reported, depth bounded.
//!
//! Upstream: `sigs.k8s.io/json`, a copy of Go's `encoding/json` that is strict about case. serde_json
//! would do for everything but the messages and the duplicates, which clients see.

use serde_json::{Map, Number, Value};

/// Nothing in the API nests deeper; Go's own limit is 10,000, which would cost a stack per request.
pub const MAX_DEPTH: usize = 250;

/// So many fields that come twice, or that no type has, are named; nobody reads more. Upstream's limit.
pub const MOST_COMPLAINTS: usize = 100;

/// Reads one JSON value. The list names the fields that came more than once (`data.a`): the last one
/// counts.
///
/// # Errors
/// In Go's words, if `text` isn't JSON.
pub fn parse(text: &[u8]) -> Result<(Value, Vec<String>), String> {
    let mut parser = Parser { text, at: 0, duplicates: Vec::new() };
    let value = parser.value(0)?;
    parser.skip_space();
    match parser.peek() {
        None => Ok((value, parser.duplicates)),
        Some(byte) => Err(unexpected(byte, "after top-level value")),
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    duplicates: Vec<String>,
}

const END: &str = "unexpected end of JSON input";

fn unexpected(byte: u8, place: &str) -> String {
    let quoted = match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        0x20..=0x7e => format!("'{}'", char::from(byte)),
        0xa1..=0xff => format!("'{}'", char::from(byte)),
        0x80..=0xa0 => format!("'\\u{byte:04x}'"),
        _ => format!("'\\x{byte:02x}'"),
    };
    format!("invalid character {quoted} {place}")
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, String> {
        let byte = self.peek().ok_or(END)?;
        self.at += 1;
        Ok(byte)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err("exceeded max depth".to_owned());
        }
        self.skip_space();
        match self.peek().ok_or(END)? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => Ok(Value::String(self.string()?)),
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            b'n' => self.literal("null", Value::Null),
            b'-' | b'0'..=b'9' => self.number(),
            other => Err(unexpected(other, "looking for beginning of value")),
        }
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, String> {
        for expected in word.bytes() {
            let byte = self.next()?;
            if byte != expected {
                return Err(unexpected(byte, &format!("in literal {word} (expecting '{}')", char::from(expected))));
            }
        }
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut map = Map::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(map));
        }
        loop {
            self.skip_space();
            match self.peek().ok_or(END)? {
                b'"' => {}
                other => return Err(unexpected(other, "looking for beginning of object key string")),
            }
            let key = self.string()?;
            self.skip_space();
            match self.next()? {
                b':' => {}
                other => return Err(unexpected(other, "after object key")),
            }
            let before = self.duplicates.len();
            let value = self.value(depth + 1)?;
            for deeper in &mut self.duplicates[before..] {
                prefix(deeper, &key);
            }
            if map.contains_key(&key) && self.duplicates.len() < MOST_COMPLAINTS {
                self.duplicates.push(key.clone());
            }
            map.insert(key, value);
            self.skip_space();
            match self.next()? {
                b',' => {}
                b'}' => return Ok(Value::Object(map)),
                other => return Err(unexpected(other, "after object key:value pair")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            let before = self.duplicates.len();
            let value = self.value(depth + 1)?;
            for deeper in &mut self.duplicates[before..] {
                prefix(deeper, &format!("[{}]", items.len()));
            }
            items.push(value);
            self.skip_space();
            match self.next()? {
                b',' => {}
                b']' => return Ok(Value::Array(items)),
                other => return Err(unexpected(other, "after array element")),
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let start = self.at;
        // Nearly every string is plain: find its end and copy it whole.
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    let plain = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
                    self.at += 1;
                    return Ok(plain);
                }
                b'\\' => break,
                0..0x20 => return Err(unexpected(byte, "in string literal")),
                _ => self.at += 1,
            }
        }
        let mut bytes = self.text[start..self.at].to_vec();
        loop {
            match self.next()? {
                b'"' => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
                b'\\' => {
                    let escaped = self.escape()?;
                    bytes.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
                }
                byte @ 0..0x20 => return Err(unexpected(byte, "in string literal")),
                byte => bytes.push(byte),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        Ok(match self.next()? {
            byte @ (b'"' | b'\\' | b'/') => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex4()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                let rest = self.at;
                if self.text[rest..].starts_with(b"\\u") {
                    self.at += 2;
                    let second = self.hex4()?;
                    if (0xdc00..0xe000).contains(&second) {
                        let joined = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                        return Ok(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    self.at = rest;
                }
                char::REPLACEMENT_CHARACTER
            }
            other => return Err(unexpected(other, "in string escape code")),
        })
    }

    fn hex4(&mut self) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..4 {
            let byte = self.next()?;
            let digit =
                char::from(byte).to_digit(16).ok_or_else(|| unexpected(byte, r"in \u hexadecimal character escape"))?;
            code = code * 16 + digit;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            other => return Err(unexpected(other, "in numeric literal")),
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            self.at += 1;
            whole = false;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            whole = false;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        let number = if whole {
            text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok()
        } else {
            None
        };
        number
            .or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64))
            .map(Value::Number)
            .ok_or_else(|| format!("json: cannot unmarshal number {text} into Go value of type float64"))
    }

    fn some_digits(&mut self, place: &str) -> Result<(), String> {
        match self.next()? {
            b'0'..=b'9' => {
                self.digits();
                Ok(())
            }
            other => Err(unexpected(other, place)),
        }
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }
}

/// Puts `segment` before a path: `a` before `b` is `a.b`, before `[0]` is `a[0]`.
pub fn prefix(path: &mut String, segment: &str) {
    let dot = if path.starts_with('[') { "" } else { "." };
    *path = format!("{segment}{dot}{path}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        parse(text.as_bytes()).expect_err(text)
    }

    #[test]
    fn what_is_wrong_is_said_in_gos_words() {
        assert_eq!(error("{oops"), "invalid character 'o' looking for beginning of object key string");
        assert_eq!(error(""), "unexpected end of JSON input");
        assert_eq!(error("{\"a\":1"), "unexpected end of JSON input");
        assert_eq!(error("{\"a\" 1}"), "invalid character '1' after object key");
        assert_eq!(error("[1 2]"), "invalid character '2' after array element");
        assert_eq!(error("{} x"), "invalid character 'x' after top-level value");
        assert_eq!(error("trve"), "invalid character 'v' in literal true (expecting 'u')");
        assert_eq!(error("\"\\x\""), "invalid character 'x' in string escape code");
        assert_eq!(error("1.x"), "invalid character 'x' after decimal point in numeric literal");
        assert_eq!(error("'"), r"invalid character '\'' looking for beginning of value");
        assert_eq!(error(&"[".repeat(100_000)), "exceeded max depth");
    }

    #[test]
    fn a_key_that_comes_twice_is_reported_with_its_path() {
        let (value, twice) = parse(br#"{"a":[{"b":1,"b":2}],"c":{"d":1,"d":1}}"#).expect("JSON");
        assert_eq!(value["a"][0]["b"], 2);
        assert_eq!(twice, ["a[0].b", "c.d"]);
    }

    proptest! {
        #[test]
        fn whatever_serde_writes_is_read_the_same(text in ".*", number in any::<i64>(), float in -1e300..1e300f64) {
            let value = serde_json::json!({ text.clone(): [text, number, float, null, true] });
            let (read, twice) = parse(value.to_string().as_bytes()).expect("JSON");
            prop_assert_eq!(read, value);
            prop_assert!(twice.is_empty());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
        }
    }
}
