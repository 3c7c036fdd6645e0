//! Sets of fields: who owns what, as a tree.
//!
//! A path's elements are written as they are in `fieldsV1`: `f:name` a field, `k:{"name":"web"}` the
//! item of a list with that key, `v:"x"` a value of a set. A node is a *member* if the field itself is
//! owned, and not just something below it. Upstream: `sigs.k8s.io/structured-merge-diff/fieldpath`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::place::{Place, element_place};

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Set {
    nodes: BTreeMap<String, Node>,
}

/// One element of a path: owned itself, or leading to what is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Whether the field itself is in the set.
    pub member: bool,
    /// What is in the set below it.
    pub below: Set,
}

impl Node {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl Set {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The element's node.
    pub fn get(&self, element: &str) -> Option<&Node> {
        self.nodes.get(element)
    }

    /// Adds a node, unless it is empty.
    pub fn insert(&mut self, element: String, node: Node) {
        if !node.is_empty() {
            self.nodes.insert(element, node);
        }
    }

    /// Adds the field at the end of a path.
    pub fn insert_path(&mut self, path: &[&str]) {
        let [first, rest @ ..] = path else { return };
        let node = self.nodes.entry(format!("f:{first}")).or_default();
        if rest.is_empty() {
            node.member = true;
        } else {
            node.below.insert_path(rest);
        }
    }

    /// What is in either.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        for (element, theirs) in other.nodes {
            match self.nodes.remove(&element) {
                None => self.nodes.insert(element, theirs),
                Some(ours) => {
                    let node = Node { member: ours.member || theirs.member, below: ours.below.union(theirs.below) };
                    self.nodes.insert(element, node)
                }
            };
        }
        self
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (element, ours) in &self.nodes {
            if let Some(theirs) = other.nodes.get(element) {
                let below = ours.below.intersection(&theirs.below);
                both.insert(element.clone(), Node { member: ours.member && theirs.member, below });
            }
        }
        both
    }

    /// What is in this one alone.
    #[must_use]
    pub fn difference(mut self, other: &Self) -> Self {
        if other.is_empty() {
            return self;
        }
        self.nodes.retain(|element, ours| {
            if let Some(theirs) = other.nodes.get(element) {
                ours.member &= !theirs.member;
                ours.below = std::mem::take(&mut ours.below).difference(&theirs.below);
            }
            !ours.is_empty()
        });
        self
    }

    /// What is in this one alone, nothing below the other's members either.
    #[must_use]
    pub fn without(mut self, other: &Self) -> Self {
        if other.is_empty() {
            return self;
        }
        self.nodes.retain(|element, ours| {
            let Some(theirs) = other.nodes.get(element) else { return true };
            if theirs.member {
                return false;
            }
            ours.below = std::mem::take(&mut ours.below).without(&theirs.below);
            !ours.is_empty()
        });
        self
    }

    /// The same, with every field of a struct that something is owned of.
    #[must_use]
    pub fn with_named_fields(&self, place: &Place<'_>) -> Self {
        let nodes = self.nodes.iter().map(|(element, node)| {
            let below = element_place(place, element);
            let named = element.strip_prefix("f:").is_some_and(|name| place.has_field(name));
            let set = below.map_or_else(|| node.below.clone(), |below| node.below.with_named_fields(&below));
            (element.clone(), Node { member: node.member || named && !node.below.is_empty(), below: set })
        });
        Self { nodes: nodes.collect() }
    }

    /// Calls `visit` with every member's path, written as upstream writes paths (`.spec.replicas`).
    pub fn each_member(&self, visit: &mut impl FnMut(&str)) {
        self.walk("", visit);
    }

    fn walk(&self, prefix: &str, visit: &mut impl FnMut(&str)) {
        // Upstream goes through the members of a level first, then down.
        for (element, node) in &self.nodes {
            if node.member {
                visit(&format!("{prefix}{}", shown(element)));
            }
        }
        for (element, node) in &self.nodes {
            if !node.below.is_empty() {
                node.below.walk(&format!("{prefix}{}", shown(element)), visit);
            }
        }
    }

    /// Reads `fieldsV1`. What isn't in its notation isn't in the set.
    pub fn read(fields: &Value) -> Self {
        let nodes = fields.as_object().into_iter().flatten().filter(|(element, _)| *element != ".");
        let nodes = nodes.filter_map(|(element, below)| {
            let inner = below.as_object()?;
            let node = Node { member: inner.is_empty() || inner.contains_key("."), below: Self::read(below) };
            Some((canonical(element)?, node))
        });
        Self { nodes: nodes.collect() }
    }

    /// Writes `fieldsV1`.
    pub fn write(self) -> Value {
        let mut fields = Map::new();
        for (element, node) in self.nodes {
            let mut below = node.below.write();
            if node.member
                && let Value::Object(map) = &mut below
                && !map.is_empty()
            {
                map.insert(".".to_owned(), Value::Object(Map::new()));
            }
            fields.insert(element, below);
        }
        Value::Object(fields)
    }
}

/// The one way to write an element; `None` if it isn't one.
fn canonical(element: &str) -> Option<String> {
    let (kind, rest) = element.split_at_checked(2)?;
    match kind {
        "f:" | "i:" => Some(element.to_owned()),
        "k:" | "v:" => {
            let value: Value = serde_json::from_str(rest).ok()?;
            Some(format!("{kind}{value}"))
        }
        _ => None,
    }
}

/// An element as it stands in messages: `.name`, `[name="web"]`, `[="x"]`.
pub fn shown(element: &str) -> String {
    let (kind, rest) = element.split_at_checked(2).unwrap_or(("", element));
    match kind {
        "f:" => format!(".{rest}"),
        "v:" => format!("[={rest}]"),
        "k:" => {
            let key: Map<String, Value> = serde_json::from_str(rest).unwrap_or_default();
            let parts: Vec<String> = key.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("[{}]", parts.join(","))
        }
        _ => format!("[{rest}]"),
    }
}
