//! Probes and lifecycle handlers.

use serde_json::Value;

use crate::schema::validate::common::{nonnegative_fields, port};
use crate::schema::validate::errors::{Errors, Path};
use crate::schema::validate::formats;
use crate::schema::validate::read::Read;

/// A container's probes.
pub fn all(container: &Value, path: &Path<'_>, errors: &mut Errors) {
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let (probe, path) = (&container[field], path.field(field));
        if probe.is_null() {
            continue;
        }
        handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], &path, errors);
        let numbers =
            ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
        nonnegative_fields(probe, &numbers, &path, errors);
        let grace = path.field("terminationGracePeriodSeconds");
        if let Some(seconds) = probe.int("terminationGracePeriodSeconds") {
            if seconds <= 0 {
                errors.invalid(&grace, seconds, "must be greater than 0");
            }
            if field == "readinessProbe" {
                errors.invalid(&grace, seconds, "must not be set for readinessProbes");
            }
        }
        if field != "readinessProbe" && probe.int("successThreshold") != Some(1) {
            errors.invalid(&path.field("successThreshold"), probe["successThreshold"].clone(), "must be 1");
        }
    }
}

/// What a container does when it has started, and before it stops.
pub fn lifecycle(container: &Value, path: &Path<'_>, errors: &mut Errors) {
    let path = path.field("lifecycle");
    for field in ["postStart", "preStop"] {
        let action = &container["lifecycle"][field];
        if !action.is_null() {
            handler(action, &["exec", "httpGet", "tcpSocket", "sleep"], &path.field(field), errors);
        }
    }
}

fn handler(of: &Value, kinds: &[&str], path: &Path<'_>, errors: &mut Errors) {
    let mut found = 0;
    for kind in kinds {
        let (action, path) = (&of[*kind], path.field(kind));
        if action.is_null() {
            continue;
        }
        found += 1;
        if found > 1 {
            errors.forbidden(&path, "may not specify more than 1 handler type");
            continue;
        }
        match *kind {
            "exec" if action.list("command").is_empty() => errors.required(&path.field("command"), ""),
            "httpGet" => http_get(action, &path, errors),
            "tcpSocket" | "grpc" => port(&action["port"], &path.field("port"), errors),
            "sleep" if action.int("seconds").is_none_or(|seconds| seconds < 0) => {
                let why = "must be non-negative and less than terminationGracePeriodSeconds";
                errors.invalid(&path, action["seconds"].clone(), why);
            }
            _ => {}
        }
    }
    if found == 0 {
        errors.required(path, "must specify a handler type");
    }
}

fn http_get(action: &Value, path: &Path<'_>, errors: &mut Errors) {
    if action.text("path").is_empty() {
        errors.required(&path.field("path"), "");
    }
    port(&action["port"], &path.field("port"), errors);
    let scheme = action.text("scheme");
    if !matches!(scheme, "HTTP" | "HTTPS") {
        errors.not_supported(&path.field("scheme"), scheme, &["HTTP", "HTTPS"]);
    }
    for header in action.list("httpHeaders") {
        let name = header.text("name");
        errors.invalid_each(&path.field("httpHeaders"), name, formats::http_header(name));
    }
}
