//! Events: what happened, to what, how often, and when last.
//!
//! The same object is shown in two groups, under different names; a cell looks under both.

use k8s_openapi::api::core::v1::{Event, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::column::{column, field};
use super::row::{Read, Row};
use super::{Sheet, sheet};

pub(super) static EVENT: Sheet = sheet(&[
    column("Last Seen", field::<Event>("lastTimestamp"), |row| last_seen(row).into()),
    column("Type", field::<Event>("type"), |row| row.text("type").into()),
    column("Reason", field::<Event>("reason"), |row| row.text("reason").into()),
    column("Object", field::<Event>("involvedObject"), |row| {
        let kind = either(row, "involvedObject.kind", "regarding.kind").to_lowercase();
        match either(row, "involvedObject.name", "regarding.name") {
            "" => kind.into(),
            name => format!("{kind}/{name}").into(),
        }
    }),
    column("Subobject", field::<ObjectReference>("fieldPath"), |row| {
        either(row, "involvedObject.fieldPath", "regarding.fieldPath").into()
    })
    .wide(),
    column("Source", field::<Event>("source"), |row| event_source(row).into()).wide(),
    column("Message", field::<Event>("message"), |row| either(row, "message", "note").trim().into()),
    column("First Seen", field::<Event>("firstTimestamp"), |row| first_seen(row).into()).wide(),
    column("Count", field::<Event>("count"), |row| event_count(row).into()).wide(),
    column("Name", field::<ObjectMeta>("name"), |row| row.name().into()).wide().name(),
]);

/// A text of an event, under its name in the core group or in `events.k8s.io`.
fn either<'a>(row: &'a Row<'_>, core: &str, newer: &str) -> &'a str {
    row.text_or(core, row.text(newer))
}

fn first_seen(row: &Row<'_>) -> String {
    let first = row.time("firstTimestamp").or_else(|| row.time("deprecatedFirstTimestamp"));
    row.since_moment(first.or_else(|| row.time("eventTime"))).into_owned()
}

fn last_seen(row: &Row<'_>) -> String {
    if row.at("series").is_some() {
        return row.since("series.lastObservedTime").into_owned();
    }
    match row.time("lastTimestamp").or_else(|| row.time("deprecatedLastTimestamp")) {
        None => first_seen(row),
        some => row.since_moment(some).into_owned(),
    }
}

fn event_count(row: &Row<'_>) -> i64 {
    match row.at("series") {
        Some(series) => series.number("count"),
        None => (row.number("count") + row.number("deprecatedCount")).max(1),
    }
}

fn event_source(row: &Row<'_>) -> String {
    let component = row.text_or("source.component", row.text("deprecatedSource.component"));
    let component =
        if component.is_empty() { either(row, "reportingComponent", "reportingController") } else { component };
    let host = row.text_or("source.host", row.text("deprecatedSource.host"));
    match if host.is_empty() { row.text("reportingInstance") } else { host } {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    }
}
