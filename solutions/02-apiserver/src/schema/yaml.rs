//! YAML as it is taken for JSON: keys become text.

use serde_json::{Map, Number, Value};

/// Reads one YAML document.
///
/// # Errors
/// If `text` isn't YAML, or holds what JSON can't.
pub fn parse(text: &[u8]) -> Result<Value, String> {
    let text =
        std::str::from_utf8(text).map_err(|_| "error converting YAML to JSON: yaml: invalid UTF-8".to_owned())?;
    let value: serde_yaml::Value =
        serde_yaml::from_str(text).map_err(|why| format!("error converting YAML to JSON: yaml: {why}"))?;
    convert(value).ok_or_else(|| "error converting YAML to JSON: a key is no scalar".to_owned())
}

fn convert(value: serde_yaml::Value) -> Option<Value> {
    use serde_yaml::Value as Yaml;
    Some(match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(set) => Value::Bool(set),
        Yaml::String(text) => Value::String(text),
        Yaml::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(whole), ..) => Value::Number(whole.into()),
            (_, Some(whole), _) => Value::Number(whole.into()),
            (.., float) => Value::Number(Number::from_f64(float?)?),
        },
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(convert).collect::<Option<_>>()?),
        Yaml::Mapping(entries) => {
            let entries = entries.into_iter().map(|(key, value)| Some((text_of(key)?, convert(value)?)));
            Value::Object(entries.collect::<Option<Map<_, _>>>()?)
        }
        Yaml::Tagged(tagged) => convert(tagged.value)?,
    })
}

fn text_of(key: serde_yaml::Value) -> Option<String> {
    match convert(key)? {
        Value::String(text) => Some(text),
        Value::Array(_) | Value::Object(_) => None,
        scalar => Some(scalar.to_string()),
    }
}
