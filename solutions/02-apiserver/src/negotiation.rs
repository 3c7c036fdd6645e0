//! In what shape a client wants its answer: the `Accept` header.
//!
//! ```text
//! application/json;as=Table;v=v1;g=meta.k8s.io,application/json
//! │               │                           └ or else as it is
//! │               └ turned into a table
//! └ written as JSON
//! ```
//! Clauses are tried in the client's order of preference; one that can't be given is passed over, and
//! only when none is left is the request refused. Upstream:
//! `k8s.io/apiserver/pkg/endpoints/handlers/negotiation/negotiate.go`.

use serde_json::{Value, json};

use crate::status::Failure;

/// How an answer is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    /// `application/json`
    #[default]
    Json,
    /// `application/yaml`
    Yaml,
}

impl Media {
    /// Its name in headers.
    pub fn name(self) -> &'static str {
        match self {
            Media::Json => "application/json",
            Media::Yaml => "application/yaml",
        }
    }

    /// A value in JSON, a line for each field.
    pub fn laid_out(value: &Value) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// A value, written in it.
    pub fn write(self, value: &Value) -> Vec<u8> {
        // Neither can fail: JSON values have no keys but strings.
        match self {
            Media::Json => serde_json::to_vec(value).unwrap_or_default(),
            Media::Yaml => serde_yaml::to_string(value).unwrap_or_default().into_bytes(),
        }
    }
}

/// Whether an answer is to be laid out for people: `?pretty=` says so, or else the client is one that
/// shows it as it comes.
pub fn is_for_people(pretty: Option<&str>, user_agent: &str) -> bool {
    match pretty {
        Some(text) => matches!(text, "1" | "t" | "T" | "true" | "True" | "TRUE"),
        None => ["curl", "Wget", "Mozilla/5.0"].iter().any(|tool| user_agent.starts_with(tool)),
    }
}

/// What an answer is turned into, as a clause's `as`, `g` and `v` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `Table`
    pub kind: String,
    /// `meta.k8s.io`
    pub group: String,
    /// `v1`
    pub version: String,
}

/// The shape that was agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// How it is written.
    pub media: Media,
    /// What it is turned into; nothing if it is given as it is.
    pub target: Option<Target>,
    /// Whether it is laid out for people.
    pub pretty: bool,
}

/// Upstream writes objects in protobuf too; this server doesn't, and says so.
const NOT_ACCEPTABLE: &str = "only the following media types are accepted: application/json, application/yaml";

/// What upstream's router says before it comes to that, of a media type that nothing there is written in.
const NO_REPRESENTATION: &str = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                                 application/vnd.kubernetes.protobuf";
const STREAMS: &str = ", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

/// Agrees on a shape for objects, or a list or watch of them.
///
/// # Errors
/// 406 if nothing of `accept` can be given.
pub fn negotiate_objects(accept: &str, many: bool) -> Result<Accepted, Failure> {
    negotiate(accept, is_object_target).map_err(|refused| {
        let known = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "*/"];
        if accept.split(',').any(|clause| known.iter().any(|name| clause.trim().starts_with(name))) {
            return refused;
        }
        let streams = if many { STREAMS } else { "" };
        let message = format!("{NO_REPRESENTATION}{streams}");
        Failure { details: Some(json!({})), ..Failure::new(406, "NotAcceptable", message) }
    })
}

/// What objects may be turned into: a table, or their metadata alone.
pub fn is_object_target(target: &Target) -> bool {
    target.group == "meta.k8s.io"
        && matches!(target.version.as_str(), "v1" | "v1beta1")
        && matches!(target.kind.as_str(), "Table" | "PartialObjectMetadata" | "PartialObjectMetadataList")
}

/// Agrees on a shape for an answer that may be turned into what `allowed` says.
///
/// # Errors
/// 406 if no clause of `accept` can be given.
pub fn negotiate(accept: &str, allowed: impl Fn(&Target) -> bool) -> Result<Accepted, Failure> {
    if accept.trim().is_empty() {
        return Ok(Accepted::default());
    }
    let mut clauses: Vec<Clause> = accept.split(',').filter_map(Clause::parse).collect();
    // Stable, so that among equals the client's order stands.
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality).then(a.wildcards.cmp(&b.wildcards)));
    clauses
        .into_iter()
        .find_map(|clause| clause.accepted(&allowed))
        .ok_or_else(|| Failure::new(406, "NotAcceptable", NOT_ACCEPTABLE))
}

/// One of a header's alternatives.
struct Clause {
    media: Media,
    quality: f64,
    wildcards: u8,
    parameters: Vec<(String, String)>,
}

impl Clause {
    /// Reads a clause; nothing if it names a media type that isn't served.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (media, wildcards) = match parts.next()?.to_ascii_lowercase().as_str() {
            "application/json" => (Media::Json, 0),
            "application/yaml" => (Media::Yaml, 0),
            "application/*" => (Media::Json, 1),
            "*/*" => (Media::Json, 2),
            _ => return None,
        };
        let parameters: Vec<(String, String)> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned()))
            .collect();
        let quality = parameters.iter().find(|(name, _)| name == "q").and_then(|(_, q)| q.parse().ok()).unwrap_or(1.0);
        Some(Self { media, quality, wildcards, parameters })
    }

    fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn accepted(&self, allowed: impl Fn(&Target) -> bool) -> Option<Accepted> {
        let target = Target {
            kind: self.parameter("as").to_owned(),
            group: self.parameter("g").to_owned(),
            version: self.parameter("v").to_owned(),
        };
        let plain = target.kind.is_empty() && target.group.is_empty() && target.version.is_empty();
        let stream = self.parameter("stream");
        if !(plain || allowed(&target)) || !(stream.is_empty() || stream == "watch") || !self.parameter("sv").is_empty()
        {
            return None;
        }
        Some(Accepted {
            media: self.media,
            target: (!plain).then_some(target),
            pretty: self.parameter("pretty") == "1",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn objects(accept: &str) -> Result<Accepted, u16> {
        negotiate(accept, is_object_target).map_err(|failure| failure.code)
    }

    fn target(accept: &str) -> Option<String> {
        objects(accept).unwrap().target.map(|target| format!("{} {}", target.kind, target.version))
    }

    #[test]
    fn a_table_is_preferred_if_it_can_be_had() {
        let header = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(target(header), Some("Table v1".to_owned()));
        let elsewhere = negotiate(header, |_| false).unwrap();
        assert_eq!(elsewhere, Accepted::default());
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        assert_eq!(target("application/vnd.kubernetes.protobuf,application/json"), None);
        assert_eq!(target("application/json;as=Sofa;v=v1;g=meta.k8s.io,*/*"), None);
        assert_eq!(objects("application/vnd.kubernetes.protobuf"), Err(406));
        assert_eq!(objects("application/json;as=Sofa;v=v1;g=meta.k8s.io"), Err(406));
        assert_eq!(objects("text/html"), Err(406));
    }

    #[test]
    fn nothing_said_is_json() {
        assert_eq!(objects(""), Ok(Accepted::default()));
        assert_eq!(objects("*/*").unwrap().media, Media::Json);
        assert_eq!(objects("application/yaml").unwrap().media, Media::Yaml);
    }

    #[test]
    fn a_media_type_that_nothing_is_written_in_is_refused_by_the_router() {
        let refused = |many| negotiate_objects("image/png", many).unwrap_err().message;
        assert!(refused(true).ends_with("protobuf;stream=watch"));
        assert!(refused(false).ends_with("application/vnd.kubernetes.protobuf"));
        let known = negotiate_objects("application/json;as=Sofa;g=meta.k8s.io;v=v1", true).unwrap_err();
        assert!(known.message.starts_with("only the following media types"));
    }

    #[test]
    fn people_get_it_laid_out() {
        assert!(is_for_people(None, "curl/8.5.0"));
        assert!(is_for_people(Some("true"), "kubectl/v1.36.2"));
        assert!(!is_for_people(Some("false"), "curl/8.5.0"));
        assert!(!is_for_people(None, "kubectl/v1.36.2"));
        assert_eq!(Media::laid_out(&json!({"a": 1})), b"{\n  \"a\": 1\n}\n");
    }

    #[test]
    fn quality_and_precision_decide() {
        assert_eq!(objects("application/json;q=0.5, application/yaml").unwrap().media, Media::Yaml);
        assert_eq!(objects("*/*, application/yaml").unwrap().media, Media::Yaml);
        assert_eq!(
            target("application/json, application/json;as=Table;v=v1;g=meta.k8s.io;q=0.9"),
            None,
            "the plain form is preferred"
        );
    }

    proptest! {
        #[test]
        fn no_header_is_too_strange(accept in "[a-z/*;=,.q0-9 \"]{0,60}") {
            let _ = objects(&accept);
        }
    }
}
