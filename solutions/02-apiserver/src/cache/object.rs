//! One object in the cache: its bytes, and the little that selecting needs to know about it.

use std::sync::Arc;

use bytes::Bytes;
use kubesmith_store::storage::{KeyValue, Revision};

use crate::selector::{FieldSelector, LabelSelector};
use crate::{Object, encode, fields};

/// An object as it was at one revision. Its bytes are what every GET, LIST and watch sends.
#[derive(Debug)]
pub struct Cached {
    /// `namespace/name`, or `name` outside of namespaces.
    pub key: Arc<str>,
    /// When it was written.
    pub revision: Revision,
    /// The object, encoded, with its `resourceVersion`.
    pub bytes: Bytes,
    labels: Box<[(Box<str>, Box<str>)]>,
    fields: Box<[(&'static str, Box<str>)]>,
}

impl Cached {
    /// The object that the store has at `key`.
    ///
    /// # Errors
    /// If the store's value is no JSON.
    pub fn new(key: Arc<str>, kv: &KeyValue, selectable: &[&'static str]) -> Result<Self, serde_json::Error> {
        let object: Object = serde_json::from_slice(&kv.value)?;
        let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
        Ok(Self {
            key,
            revision: kv.mod_revision,
            bytes: encode::served(&kv.value, kv.mod_revision),
            labels: labels
                .map(|(name, value)| (name.as_str().into(), value.as_str().unwrap_or_default().into()))
                .collect(),
            fields: selectable.iter().map(|field| (*field, fields::value(&object, field).into())).collect(),
        })
    }

    /// The same object, last seen at a later revision: that of its deletion.
    pub fn at(&self, revision: Revision) -> Self {
        Self {
            key: self.key.clone(),
            revision,
            bytes: encode::served_at(&self.bytes, revision),
            labels: self.labels.clone(),
            fields: self.fields.clone(),
        }
    }

    /// The object, decoded.
    pub fn object(&self) -> Object {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.key.rsplit_once('/').map_or(&self.key, |(_, name)| name)
    }

    /// Its namespace; empty outside of namespaces.
    pub fn namespace(&self) -> &str {
        self.key.rsplit_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| **label == *name).map(|(_, value)| value.as_ref())
    }

    /// The value of a selectable field; empty when it isn't there.
    pub fn field(&self, name: &str) -> &str {
        match name {
            "metadata.name" => self.name(),
            "metadata.namespace" => self.namespace(),
            _ => self.fields.iter().find(|(field, _)| *field == name).map_or("", |(_, value)| value),
        }
    }
}

/// Which objects of a resource are meant: a namespace or one name in it, and selectors.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// What their keys begin with (`shop/`); empty for all.
    pub key_prefix: String,
    /// The label selector.
    pub labels: LabelSelector,
    /// The field selector.
    pub fields: FieldSelector,
}

impl Filter {
    /// Whether `object` is meant.
    pub fn matches(&self, object: &Cached) -> bool {
        object.key.starts_with(&self.key_prefix)
            && self.labels.matches(|name| object.label(name))
            && self.fields.matches(|name| object.field(name))
    }

    /// Whether everything under the key prefix is meant.
    pub fn selects_all(&self) -> bool {
        self.labels.requirements.is_empty() && self.fields.requirements.is_empty()
    }
}
