//! What the cluster runs by: leases, priorities, the API's own extensions and limits.

use std::cmp::Ordering;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::api::flowcontrol::v1::{
    FlowSchemaSpec, LimitedPriorityLevelConfiguration, PriorityLevelConfigurationReference,
    PriorityLevelConfigurationSpec, QueuingConfiguration,
};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use serde_json::Value;

use super::column::{AGE, Doc, NAME, column, field};
use super::events::EVENT;
use super::row::{Read, Row};
use super::{Sheet, sheet};

pub(super) fn sheet_of(kind: &str) -> Option<&'static Sheet> {
    Some(match kind {
        "APIService" => &API_SERVICE,
        "Event" => &EVENT,
        "FlowSchema" => &FLOW_SCHEMA,
        "Lease" => &LEASE,
        "PriorityClass" => &PRIORITY_CLASS,
        "PriorityLevelConfiguration" => &PRIORITY_LEVEL,
        "RuntimeClass" => &RUNTIME_CLASS,
        _ => return None,
    })
}

static LEASE: Sheet = sheet(&[
    NAME,
    column("Holder", field::<LeaseSpec>("holderIdentity"), |row| row.text("spec.holderIdentity").into()),
    AGE,
]);

static PRIORITY_CLASS: Sheet = sheet(&[
    NAME,
    column("Value", field::<PriorityClass>("value"), |row| row.number("value").into()).integer(),
    column("Global-Default", field::<PriorityClass>("globalDefault"), |row| row.flag("globalDefault").into()).boolean(),
    AGE,
    column("PreemptionPolicy", field::<PriorityClass>("preemptionPolicy"), |row| row.text("preemptionPolicy").into()),
]);

static RUNTIME_CLASS: Sheet = sheet(&[NAME, column("Handler", Doc::Text(""), |row| row.text("handler").into()), AGE]);

static API_SERVICE: Sheet = sheet(&[
    NAME,
    column("Service", Doc::Text("The reference to the service that hosts this API endpoint."), |row| {
        match row.at("spec.service") {
            None => "Local".into(),
            Some(service) => format!("{}/{}", service.text("namespace"), service.text("name")).into(),
        }
    }),
    column("Available", Doc::Text("Whether this service is available."), |row| available(row).into()),
    AGE,
]);

fn available(row: &Row<'_>) -> String {
    let conditions = row.list("status.conditions");
    let Some(condition) = conditions.iter().find(|condition| condition.text("type") == "Available") else {
        return "Unknown".to_owned();
    };
    match (condition.text("status"), condition.text("reason")) {
        (status @ "True", _) | (status, "") => status.to_owned(),
        (status, reason) => format!("{status} ({reason})"),
    }
}

static FLOW_SCHEMA: Sheet = Sheet {
    columns: &[
        NAME,
        column("PriorityLevel", field::<PriorityLevelConfigurationReference>("name"), |row| {
            row.text("spec.priorityLevelConfiguration.name").into()
        }),
        column("MatchingPrecedence", field::<FlowSchemaSpec>("matchingPrecedence"), |row| {
            row.number("spec.matchingPrecedence").into()
        }),
        column("DistinguisherMethod", field::<FlowSchemaSpec>("distinguisherMethod"), |row| {
            row.text_or("spec.distinguisherMethod.type", "<none>").into()
        }),
        AGE,
        column("MissingPL", Doc::Text("references a broken or non-existent PriorityLevelConfiguration"), |row| {
            row.condition("status.conditions", "Dangling").unwrap_or("?").into()
        }),
    ],
    conditions: None,
    order: Some(by_precedence),
};

/// Flow schemas are listed in the order in which they are tried.
fn by_precedence(a: &Value, b: &Value) -> Ordering {
    let key = |schema: &Value| (schema.number("spec.matchingPrecedence"), schema.text("metadata.name").to_owned());
    key(a).cmp(&key(b))
}

static PRIORITY_LEVEL: Sheet = sheet(&[
    NAME,
    column("Type", field::<PriorityLevelConfigurationSpec>("type"), |row| row.text("spec.type").into()),
    column("NominalConcurrencyShares", field::<LimitedPriorityLevelConfiguration>("nominalConcurrencyShares"), |row| {
        limit(row, "nominalConcurrencyShares")
    }),
    column("Queues", field::<QueuingConfiguration>("queues"), |row| limit(row, "limitResponse.queuing.queues")),
    column("HandSize", field::<QueuingConfiguration>("handSize"), |row| limit(row, "limitResponse.queuing.handSize")),
    column("QueueLengthLimit", field::<QueuingConfiguration>("queueLengthLimit"), |row| {
        limit(row, "limitResponse.queuing.queueLengthLimit")
    }),
    AGE,
]);

fn limit(row: &Row<'_>, path: &str) -> Value {
    row.at("spec.limited").and_then(|limited| limited.at(path)).cloned().unwrap_or_else(|| "<none>".into())
}
