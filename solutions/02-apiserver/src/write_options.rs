//! The parameters that every write takes: dry run, field manager, field validation.
//!
//! Upstream: `k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go`.

use serde_json::json;

use crate::query::Query;
use crate::schema::FieldValidation;
use crate::status::{Cause, Failure};

/// The parameters of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Do everything but write.
    pub dry_run: bool,
    /// Who owns the fields that are written; without it, the first part of the client's User-Agent.
    pub field_manager: Option<String>,
    /// What to do about unknown fields.
    pub field_validation: FieldValidation,
    /// Who owns which field is settled already.
    pub applied: bool,
    /// Server-side apply: take fields over from their owners.
    pub force: bool,
}

impl WriteOptions {
    /// Reads them from a query; `kind` is upstream's name for them (`CreateOptions`).
    ///
    /// # Errors
    /// 422 if one of them is none.
    pub fn read(query: &Query, kind: &str) -> Result<Self, Failure> {
        let mut causes = Vec::new();
        let dry_run: Vec<&str> = query.all("dryRun").filter(|value| !value.is_empty()).collect();
        if dry_run.iter().any(|value| *value != "All") {
            causes.push(Cause {
                reason: "FieldValueNotSupported",
                message: format!("Unsupported value: {}: supported values: \"All\"", json!(dry_run)),
                field: "dryRun".to_owned(),
            });
        }
        let field_manager = query.non_empty("fieldManager").map(str::to_owned);
        causes.extend(field_manager.as_deref().and_then(check_manager));
        let field_validation = match query.non_empty("fieldValidation") {
            None => FieldValidation::default(),
            Some("Ignore") => FieldValidation::Ignore,
            Some("Warn") => FieldValidation::Warn,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                causes.push(Cause {
                    reason: "FieldValueNotSupported",
                    message: format!(
                        "Unsupported value: {other:?}: supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""
                    ),
                    field: "fieldValidation".to_owned(),
                });
                FieldValidation::default()
            }
        };
        if causes.is_empty() {
            Ok(Self {
                dry_run: !dry_run.is_empty(),
                field_manager,
                field_validation,
                applied: false,
                force: query.is_set("force"),
            })
        } else {
            Err(Failure::invalid("meta.k8s.io", kind, "", &causes))
        }
    }

    /// Who writes: the field manager given, or else the client's program.
    pub fn manager(&self, user_agent: &str) -> String {
        let program = || user_agent.split('/').next().unwrap_or_default().to_owned();
        match self.field_manager.clone().unwrap_or_else(program) {
            name if name.is_empty() => "unknown".to_owned(),
            name => name,
        }
    }
}

fn check_manager(name: &str) -> Option<Cause> {
    let invalid = |message: &str| Cause {
        reason: "FieldValueInvalid",
        message: format!("Invalid value: {name:?}: {message}"),
        field: "fieldManager".to_owned(),
    };
    if name.len() > 128 {
        return Some(Cause {
            reason: "FieldValueTooLong",
            message: "Too long: may not be more than 128 bytes".to_owned(),
            field: "fieldManager".to_owned(),
        });
    }
    name.chars().any(char::is_control).then(|| invalid("should only contain printable characters"))
}
