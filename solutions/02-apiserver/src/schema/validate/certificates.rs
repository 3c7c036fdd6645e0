//! Requests for certificates. Upstream: `pkg/apis/certificates/validation/validation.go`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::Object;

use super::errors::{Errors, Path};
use super::formats;
use super::read::Read;

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// A request for a certificate.
pub fn request(object: &Object, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    if !is_request(spec.text("request")) {
        let why = "PEM block type must be CERTIFICATE REQUEST";
        errors.invalid(&path.field("request"), spec.text("request"), why);
    }
    let usages = path.field("usages");
    if spec.list("usages").is_empty() {
        errors.required(&usages, "");
    }
    let all: Vec<&str> = spec.list("usages").iter().filter_map(Value::as_str).collect();
    for (index, usage) in all.iter().enumerate().filter(|(_, usage)| !USAGES.contains(usage)) {
        errors.not_supported(&usages.index(index), *usage, USAGES);
    }
    for (index, usage) in all.iter().enumerate().filter(|(index, usage)| all[..*index].contains(usage)) {
        errors.duplicate(&usages.index(index), *usage);
    }
    signer(spec.text("signerName"), &path.field("signerName"), errors);
    if let Some(seconds) = spec.int("expirationSeconds").filter(|seconds| *seconds < 600) {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.invalid(&path.field("expirationSeconds"), seconds, why);
    }
}

/// Whether it is PEM of the right kind. Whoever signs it reads what is inside.
fn is_request(encoded: &str) -> bool {
    let Ok(Ok(text)) = STANDARD.decode(encoded).map(String::from_utf8) else { return false };
    let body = text.split_once("-----BEGIN CERTIFICATE REQUEST-----").map(|(_, rest)| rest);
    body.is_some_and(|rest| rest.contains("-----END CERTIFICATE REQUEST-----"))
}

fn signer(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
        return;
    }
    let Some((domain, rest)) = name.split_once('/').filter(|(_, rest)| !rest.is_empty() && !rest.contains('/')) else {
        errors.invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
        return;
    };
    errors.invalid_each(path, domain, formats::dns_subdomain(domain));
    errors.invalid_each(path, rest, formats::dns_subdomain(rest));
    if !domain.contains('.') {
        errors.invalid(path, domain, "should be a domain with at least two segments separated by dots");
    }
}
