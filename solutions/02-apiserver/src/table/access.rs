//! Who may do what, and what is let in: roles, certificates, admission.

use k8s_openapi::api::certificates::v1::{CertificateSigningRequestSpec, CertificateSigningRequestStatus};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding};
use serde_json::Value;

use super::age::human_duration;
use super::column::{AGE, Cell, Column, Doc, NAME, column, field};
use super::row::{Read, Row, selector};
use super::{Sheet, sheet};

pub(super) fn sheet_of(kind: &str) -> Option<&'static Sheet> {
    Some(match kind {
        "CertificateSigningRequest" => &CERTIFICATE_REQUEST,
        "ClusterRoleBinding" => &CLUSTER_ROLE_BINDING,
        "MutatingAdmissionPolicy" => &MUTATING_POLICY,
        "MutatingAdmissionPolicyBinding" | "ValidatingAdmissionPolicyBinding" => &POLICY_BINDING,
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => &WEBHOOKS,
        "RoleBinding" => &ROLE_BINDING,
        "ValidatingAdmissionPolicy" => &VALIDATING_POLICY,
        _ => return None,
    })
}

const ROLE: Cell = |row| format!("{}/{}", row.text("roleRef.kind"), row.text("roleRef.name")).into();
const USERS: Cell = |row| subjects(row, "User").into();
const GROUPS: Cell = |row| subjects(row, "Group").into();
const SERVICE_ACCOUNTS: Cell = |row| subjects(row, "ServiceAccount").into();

static ROLE_BINDING: Sheet = sheet(&[
    NAME,
    column("Role", field::<RoleBinding>("roleRef"), ROLE),
    AGE,
    column("Users", Doc::Text("Users in the roleBinding"), USERS).wide(),
    column("Groups", Doc::Text("Groups in the roleBinding"), GROUPS).wide(),
    column("ServiceAccounts", Doc::Text("ServiceAccounts in the roleBinding"), SERVICE_ACCOUNTS).wide(),
]);

static CLUSTER_ROLE_BINDING: Sheet = sheet(&[
    NAME,
    column("Role", field::<ClusterRoleBinding>("roleRef"), ROLE),
    AGE,
    column("Users", Doc::Text("Users in the clusterRoleBinding"), USERS).wide(),
    column("Groups", Doc::Text("Groups in the clusterRoleBinding"), GROUPS).wide(),
    column("ServiceAccounts", Doc::Text("ServiceAccounts in the clusterRoleBinding"), SERVICE_ACCOUNTS).wide(),
]);

/// The names of a binding's subjects of one kind.
fn subjects(row: &Row<'_>, kind: &str) -> String {
    let of_kind = row.list("subjects").iter().filter(|subject| subject.text("kind") == kind);
    let names: Vec<String> = of_kind
        .map(|subject| match kind {
            "ServiceAccount" => format!("{}/{}", subject.text("namespace"), subject.text("name")),
            _ => subject.text("name").to_owned(),
        })
        .collect();
    names.join(", ")
}

static CERTIFICATE_REQUEST: Sheet = sheet(&[
    NAME,
    AGE,
    column("SignerName", field::<CertificateSigningRequestSpec>("signerName"), |row| {
        row.text_or("spec.signerName", "<none>").into()
    }),
    column("Requestor", field::<CertificateSigningRequestSpec>("request"), |row| row.text("spec.username").into()),
    column("RequestedDuration", field::<CertificateSigningRequestSpec>("expirationSeconds"), |row| {
        match row.at("spec.expirationSeconds").and_then(Value::as_i64) {
            None => "<none>".into(),
            Some(seconds) => human_duration(seconds).into(),
        }
    }),
    column("Condition", field::<CertificateSigningRequestStatus>("conditions"), |row| request_state(row).into()),
]);

fn request_state(row: &Row<'_>) -> String {
    let has = |kind| row.condition("status.conditions", kind).is_some();
    let mut state = match () {
        () if has("Denied") => "Denied",
        () if has("Approved") => "Approved",
        () => "Pending",
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !row.text("status.certificate").is_empty() {
        state.push_str(",Issued");
    }
    state
}

static WEBHOOKS: Sheet = sheet(&[
    NAME,
    column(
        "Webhooks",
        Doc::Text("Webhooks indicates the number of webhooks registered in this configuration"),
        |row| row.size("webhooks").into(),
    )
    .integer(),
    AGE,
]);

const PARAM_KIND: Column = column(
    "ParamKind",
    Doc::Text("ParamKind specifies the kind of resources used to parameterize this policy"),
    |row| match row.at("spec.paramKind") {
        None => "<unset>".into(),
        Some(kind) => format!("{}/{}", kind.text("apiVersion"), kind.text("kind")).into(),
    },
);

static VALIDATING_POLICY: Sheet = sheet(&[
    NAME,
    column(
        "Validations",
        Doc::Text("Validations indicates the number of validation rules defined in this configuration"),
        |row| row.size("spec.validations").into(),
    )
    .integer(),
    PARAM_KIND,
    AGE,
]);

static MUTATING_POLICY: Sheet = sheet(&[
    NAME,
    column(
        "Mutations",
        Doc::Text("Mutation indicates the number of mutations rules defined in this configuration"),
        |row| row.size("spec.mutations").into(),
    )
    .integer(),
    PARAM_KIND,
    AGE,
]);

static POLICY_BINDING: Sheet = sheet(&[
    NAME,
    column(
        "PolicyName",
        Doc::Text("PolicyName indicates the policy definition which the policy binding binded to"),
        |row| row.text("spec.policyName").into(),
    ),
    column("ParamRef", Doc::Text("ParamRef indicates the param resource which sets the configuration param"), |row| {
        parameter(row.at("spec.paramRef")).into()
    }),
    AGE,
]);

fn parameter(reference: Option<&Value>) -> String {
    let Some(reference) = reference else { return "<unset>".to_owned() };
    match (reference.text("name"), reference.at("selector")) {
        ("", None) => "<unset>".to_owned(),
        ("", some) => selector(some).unwrap_or_default(),
        // From here nobody can tell whether the parameter has a namespace.
        (name, _) => format!("{}/{name}", reference.text_or("namespace", "*")),
    }
}
