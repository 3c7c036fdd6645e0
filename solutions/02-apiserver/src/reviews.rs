//! Questions about who somebody is and what they may do: answered, and forgotten.
//!
//! Upstream: `pkg/registry/authorization` and `pkg/registry/authentication`.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::authenticate::{ANONYMOUS, User};
use crate::pipeline::Call;
use crate::status::Failure;
use crate::write_options::WriteOptions;
use crate::{Object, body, meta, present, schema, subresources};

/// POST of something that isn't kept.
pub async fn create(call: &Call) -> Result<Answer, Failure> {
    match (call.resource.gvk.group.as_ref(), call.resource.plural.as_ref()) {
        ("", "bindings") => return subresources::create_binding(call, "").await,
        ("authorization.k8s.io" | "authentication.k8s.io", _) => {}
        _ => return Err(subresources::not_served(call)),
    }
    let options = WriteOptions::read(&call.query, "CreateOptions")?;
    let mut review = body::object(call, options.field_validation)?;
    let status = match call.resource.plural.as_ref() {
        "selfsubjectreviews" => json!({ "userInfo": user_info(&call.user) }),
        "selfsubjectaccessreviews" => access(&call.user.name),
        "subjectaccessreviews" | "localsubjectaccessreviews" => {
            access(review["spec"]["user"].as_str().unwrap_or(ANONYMOUS))
        }
        "selfsubjectrulesreviews" => rules(&call.user),
        "tokenreviews" => token(call, review["spec"]["token"].as_str().unwrap_or_default()),
        _ => return Err(subresources::not_served(call)),
    };
    if call.resource.plural == "selfsubjectreviews" {
        meta::set(&mut review, "creationTimestamp", &schema::time::write(Timestamp::now()));
    }
    meta::metadata(&mut review);
    review["status"] = status;
    present::object(call, 201, review)
}

fn token(call: &Call, token: &str) -> Value {
    match call.server.tokens.user(token) {
        Some(user) => json!({ "authenticated": true, "user": user_info(&user) }),
        None => json!({ "user": {}, "error": "[invalid bearer token]" }),
    }
}

fn user_info(user: &User) -> Value {
    json!({ "username": user.name, "groups": user.groups })
}

/// Whether somebody may do something: whoever is known may do everything.
fn access(user: &str) -> Value {
    json!({ "allowed": user != ANONYMOUS })
}

fn rules(user: &User) -> Object {
    if user.name == ANONYMOUS {
        return json!({ "resourceRules": [], "nonResourceRules": [], "incomplete": false });
    }
    json!({
        "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
        "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
        "incomplete": false,
    })
}
