//! Events are forgotten after a while: they say what happened lately.
//!
//! Upstream gives each a lease in etcd (`--event-ttl`). Here they are looked through once a minute, as
//! every store can do that.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use kubesmith_store::storage::{RangeRequest, prefix_end};

use crate::Object;
use crate::registry::{self, RegistryError};
use crate::server::Server;

const EVERY: Duration = Duration::from_secs(60);

/// So many are read at once.
const PAGE: usize = 500;

/// Removes old Events until the server stops.
pub async fn events(server: Arc<Server>) {
    let seconds = i64::from(server.options.event_ttl);
    if seconds == 0 {
        return;
    }
    loop {
        tokio::select! {
            () = server.shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let before = Timestamp::now().saturating_sub(SignedDuration::from_secs(seconds));
        if let Ok(before) = before
            && let Err(error) = sweep(&server, before).await
        {
            tracing::warn!(%error, "old events not removed");
        }
    }
}

/// Removes the Events that were last seen before a moment.
async fn sweep(server: &Server, before: Timestamp) -> Result<(), RegistryError> {
    let prefix = Bytes::from_static(b"/registry/events/");
    let end = prefix_end(&prefix);
    let mut start = prefix;
    loop {
        let request = RangeRequest { start, end: end.clone(), limit: PAGE, ..RangeRequest::default() };
        let page = server.storage.range(request).await?;
        for kv in &page.kvs {
            let event = registry::current(kv)?;
            let key = std::str::from_utf8(&kv.key).unwrap_or_default();
            if last_seen(&event.object).is_some_and(|seen| seen < before) {
                // One that was seen again meanwhile stays.
                server.registry.remove(key, event.revision).await?;
            }
        }
        match page.kvs.last() {
            Some(last) if page.more => start = Bytes::from([last.key.as_ref(), b"\0"].concat()),
            _ => return Ok(()),
        }
    }
}

/// When an Event last happened.
fn last_seen(event: &Object) -> Option<Timestamp> {
    let times = [
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["series"]["lastObservedTime"],
        &event["metadata"]["creationTimestamp"],
    ];
    times.into_iter().filter_map(|time| time.as_str()?.parse().ok()).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_as_old_as_its_last_time() {
        let event = json!({ "metadata": { "creationTimestamp": "2026-01-01T00:00:00Z" },
                            "lastTimestamp": "2026-01-01T01:00:00Z", "eventTime": null });
        assert_eq!(last_seen(&event), Some("2026-01-01T01:00:00Z".parse().unwrap()));
        assert_eq!(last_seen(&json!({})), None);
    }
}
