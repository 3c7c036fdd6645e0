use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A field of bytes: a text, or a message.
fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
    assert!(number < 16 && content.len() < 128);
    [&[number << 3 | 2, content.len() as u8], content].concat()
}

fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

fn body(api_version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
    let type_meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
    [MAGIC, &bytes(1, &type_meta), &bytes(2, object)].concat()
}

#[test]
fn a_config_map_becomes_json() {
    let metadata = [bytes(1, b"m"), bytes(2, b""), bytes(8, &[])].concat();
    let entry = |key: &[u8], value: &[u8]| [bytes(1, key), bytes(2, value)].concat();
    let object = [
        bytes(1, &metadata),
        bytes(2, &entry(b"a", b"1")),
        bytes(2, &entry(b"b", b"2")),
        bytes(3, &entry(b"c", &[0xff])),
    ]
    .concat();
    let expected = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" },
        "data": { "a": "1", "b": "2" }, "binaryData": { "c": "/w==" },
    });
    assert_eq!(to_json(&body("v1", "ConfigMap", &object)), Ok(expected));
}

#[test]
fn inlined_messages_and_unions_become_what_json_has() {
    // A Service's port 80, whose target port is the text "http"; a Probe's handler lies in the Probe itself.
    let target = [number(1, 1), bytes(3, b"http")].concat();
    let port = [number(3, 80), bytes(4, &target)].concat();
    let service = bytes(2, &bytes(1, &port));
    assert_eq!(
        to_json(&body("v1", "Service", &service)).unwrap()["spec"]["ports"],
        json!([{ "port": 80, "targetPort": "http" }])
    );
    let probe = [bytes(1, &bytes(2, &bytes(1, b"/healthz"))), number(3, 5)].concat();
    let container = [bytes(1, b"c"), bytes(10, &probe)].concat();
    let pod = bytes(2, &bytes(2, &container));
    assert_eq!(
        to_json(&body("v1", "Pod", &pod)).unwrap()["spec"]["containers"][0]["livenessProbe"],
        json!({ "httpGet": { "path": "/healthz" }, "timeoutSeconds": 5 })
    );
}

#[test]
fn a_time_is_text() {
    let metadata = bytes(1, &bytes(9, &number(1, 100)));
    let pod = to_json(&body("v1", "Pod", &metadata)).unwrap();
    assert_eq!(pod["metadata"]["deletionTimestamp"], "1970-01-01T00:01:40Z");
}

#[test]
fn what_is_no_message_is_refused() {
    assert_eq!(to_json(b"{}"), Err(ProtobufError::Magic));
    assert!(to_json(&body("v1", "Nothing", &[])).unwrap_err().to_string().contains("\"Nothing\""));
    assert_eq!(to_json(&body("v1", "Pod", &[0x0a, 0x7f])), Err(ProtobufError::Truncated));
}

#[test]
fn every_type_that_the_table_names_is_in_it() {
    fn named(kind: &Kind) -> Option<&'static str> {
        match kind {
            Kind::Message(name) => Some(name),
            Kind::List(inner) | Kind::Map(inner) => named(inner),
            _ => None,
        }
    }
    for (message, fields) in MESSAGES.iter() {
        for field in fields.values() {
            if let Some(name) = named(&field.kind) {
                assert!(MESSAGES.contains_key(name), "{message}.{} is a {name}", field.name);
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(object in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = to_json(&body("v1", "Pod", &object));
        let _ = to_json(&[MAGIC, &object[..]].concat());
    }
}
