//! Storage and devices: what pods can be given besides memory and time.

use k8s_openapi::api::resource::v1::{ResourcePool, ResourceSliceSpec};
use k8s_openapi::api::storage::v1::{
    CSIDriverSpec, CSIStorageCapacity, StorageClass, VolumeAttachmentSource, VolumeAttachmentSpec,
    VolumeAttachmentStatus, VolumeAttributesClass,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::column::{AGE, Doc, NAME, column, field};
use super::network::name_or_default;
use super::row::{Read, Row, joined, or};
use super::{Sheet, sheet};

pub(super) fn sheet_of(kind: &str) -> Option<&'static Sheet> {
    Some(match kind {
        "CSIDriver" => &CSI_DRIVER,
        "CSINode" => &CSI_NODE,
        "CSIStorageCapacity" => &CSI_CAPACITY,
        "DeviceClass" | "ResourceClaimTemplate" => &NAME_AND_AGE,
        "ResourceClaim" => &RESOURCE_CLAIM,
        "ResourceSlice" => &RESOURCE_SLICE,
        "StorageClass" => &STORAGE_CLASS,
        "VolumeAttachment" => &VOLUME_ATTACHMENT,
        "VolumeAttributesClass" => &VOLUME_ATTRIBUTES_CLASS,
        _ => return None,
    })
}

static NAME_AND_AGE: Sheet = sheet(&[NAME, AGE]);

static STORAGE_CLASS: Sheet = sheet(&[
    column("Name", field::<ObjectMeta>("name"), |row| {
        name_or_default(
            row,
            &["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"],
        )
        .into()
    })
    .name(),
    column("Provisioner", field::<StorageClass>("provisioner"), |row| row.text("provisioner").into()),
    column("ReclaimPolicy", field::<StorageClass>("reclaimPolicy"), |row| {
        row.text_or("reclaimPolicy", "Delete").into()
    }),
    column("VolumeBindingMode", field::<StorageClass>("volumeBindingMode"), |row| {
        row.text_or("volumeBindingMode", "Immediate").into()
    }),
    column("AllowVolumeExpansion", field::<StorageClass>("allowVolumeExpansion"), |row| {
        row.flag("allowVolumeExpansion").into()
    }),
    AGE,
]);

static VOLUME_ATTRIBUTES_CLASS: Sheet = sheet(&[
    NAME,
    column("DriverName", field::<VolumeAttributesClass>("driverName"), |row| row.text("driverName").into()),
    AGE,
]);

static VOLUME_ATTACHMENT: Sheet = sheet(&[
    NAME,
    column("Attacher", field::<VolumeAttachmentSpec>("attacher"), |row| row.text("spec.attacher").into()).name(),
    column("PV", field::<VolumeAttachmentSource>("persistentVolumeName"), |row| {
        row.text("spec.source.persistentVolumeName").into()
    }),
    column("Node", field::<VolumeAttachmentSpec>("nodeName"), |row| row.text("spec.nodeName").into()),
    column("Attached", field::<VolumeAttachmentStatus>("attached"), |row| row.flag("status.attached").into()).boolean(),
    AGE,
]);

static CSI_NODE: Sheet = sheet(&[
    NAME,
    column("Drivers", Doc::Text("Drivers indicates the number of CSI drivers registered on the node"), |row| {
        row.size("spec.drivers").into()
    })
    .integer(),
    AGE,
]);

static CSI_DRIVER: Sheet = sheet(&[
    NAME,
    column("AttachRequired", field::<CSIDriverSpec>("attachRequired"), |row| {
        row.at("spec.attachRequired").cloned().unwrap_or(Value::Bool(true))
    })
    .boolean(),
    column("PodInfoOnMount", field::<CSIDriverSpec>("podInfoOnMount"), |row| row.flag("spec.podInfoOnMount").into())
        .boolean(),
    column("StorageCapacity", field::<CSIDriverSpec>("storageCapacity"), |row| row.flag("spec.storageCapacity").into())
        .boolean(),
    column("TokenRequests", field::<CSIDriverSpec>("tokenRequests"), |row| match row.at("spec.tokenRequests") {
        None => "<unset>".into(),
        Some(_) => joined(row.list("spec.tokenRequests").iter().map(|request| request.text("audience"))).into(),
    }),
    column("RequiresRepublish", field::<CSIDriverSpec>("requiresRepublish"), |row| {
        row.flag("spec.requiresRepublish").into()
    })
    .boolean(),
    column("Modes", field::<CSIDriverSpec>("volumeLifecycleModes"), |row| {
        or(joined(row.list("spec.volumeLifecycleModes").iter().filter_map(Value::as_str)), "<none>").into()
    }),
    AGE,
]);

static CSI_CAPACITY: Sheet = sheet(&[
    NAME,
    column("StorageClassName", field::<CSIStorageCapacity>("storageClassName"), |row| {
        row.text("storageClassName").into()
    }),
    column("Capacity", field::<CSIStorageCapacity>("capacity"), |row| {
        row.show("capacity").unwrap_or_else(|| "<unset>".to_owned()).into()
    }),
]);

static RESOURCE_CLAIM: Sheet = sheet(&[
    NAME,
    column("State", Doc::Text("A summary of the current state (allocated, pending, reserved, etc.)."), |row| {
        claim_state(row).into()
    }),
    AGE,
]);

fn claim_state(row: &Row<'_>) -> String {
    let allocated = row.at("status.allocation").is_some();
    let states = [
        (row.deleting(), "deleted"),
        (!allocated && !row.deleting(), "pending"),
        (allocated, "allocated"),
        (allocated && row.size("status.reservedFor") > 0, "reserved"),
    ];
    joined(states.into_iter().filter(|(is, _)| *is).map(|(_, state)| state))
}

static RESOURCE_SLICE: Sheet = sheet(&[
    NAME,
    column("Node", field::<ResourceSliceSpec>("nodeName"), |row| row.text("spec.nodeName").into()),
    column("Driver", field::<ResourceSliceSpec>("driver"), |row| row.text("spec.driver").into()),
    column("Pool", field::<ResourcePool>("name"), |row| row.text("spec.pool.name").into()),
    AGE,
]);
