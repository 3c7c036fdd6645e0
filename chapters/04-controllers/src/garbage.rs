//! Garbage: what is left when its owners are gone.
//!
//! An object names its owners; the graph is that, turned round, so that from an owner one finds its
//! dependents. Whoever loses the last owner is collected. An owner that is deleted in the *foreground*
//! stays, marked by a finalizer, until every dependent that blocks it is gone; one that is deleted as
//! *orphan* lets go of its dependents first, and they live on.
//!
//! Owners are compared by uid and never by name: a new object under an old name owns nothing. And
//! since the graph is only as fresh as its watches, an owner that it doesn't know is asked for at the
//! server before anybody is collected for its absence.
//!
//! Upstream: `pkg/controller/garbagecollector/graph_builder.go`, `garbagecollector.go`.

use std::collections::{BTreeSet, HashMap, HashSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::objects::{Key, is_being_deleted, uid};

/// The finalizer of an object that waits for its dependents to go.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object that must let go of its dependents first.
pub const ORPHAN: &str = "orphan";

/// One object, as far as ownership is concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace and name.
    pub key: Key,
    /// The uid, by which owners are named.
    pub uid: String,
    /// Who owns it.
    pub owners: Vec<OwnerReference>,
    /// Somebody has asked for its deletion.
    pub deleting: bool,
    /// What keeps it from going.
    pub finalizers: Vec<String>,
    /// Its resource version: what is written depends on it.
    pub version: Option<String>,
}

impl Node {
    /// The object with this metadata.
    pub fn new(api_version: &str, kind: &str, meta: &ObjectMeta) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            key: Key::of_meta(meta),
            uid: uid(meta).to_owned(),
            owners: meta.owner_references.clone().unwrap_or_default(),
            deleting: is_being_deleted(meta),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            version: meta.resource_version.clone(),
        }
    }

    /// Whether it is being deleted, and waits because of `finalizer`.
    pub fn waits_for(&self, finalizer: &str) -> bool {
        self.deleting && self.finalizers.iter().any(|known| known == finalizer)
    }

    /// Whether `reference`, which names its uid, means this object and not only says so.
    fn is_meant(&self, reference: &OwnerReference, namespace: &str) -> bool {
        let group = |api_version: &str| api_version.rsplit_once('/').map(|(group, _)| group.to_owned());
        group(&reference.api_version) == group(&self.api_version)
            && reference.kind == self.kind
            && reference.name == self.key.name
            && (self.key.namespace.is_empty() || self.key.namespace == namespace)
    }
}

/// What is known of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// ANCHOR: owner
pub enum Owner {
    /// It is there, and stays.
    Solid,
    /// It is there, but only until its dependents are gone.
    Waiting,
    /// It is gone.
    Absent,
    /// The graph can't say: the server must be asked.
    Unknown,
}
// ANCHOR_END: owner

/// What is to be done about an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// Ask the server about these owners first.
    Ask(Vec<OwnerReference>),
    /// It goes, and its dependents after it.
    Collect,
    /// It goes after its dependents, as its owner waits for all of them. If one of them waits for its
    /// own dependents already, the two could wait for each other: then its own owners must not wait.
    CollectInForeground {
        /// Whether such a circle is possible.
        circle: bool,
    },
    /// It keeps an owner and loses these references, by uid, to owners that are gone or wait for it.
    DropOwners(Vec<String>),
    /// It has waited long enough: this finalizer goes.
    Finalize(&'static str),
    /// Its dependents, by uid, must be let go; then the orphan finalizer goes.
    Release(Vec<String>),
}

/// Who owns whom.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: HashMap<String, Node>,
    /// From an owner's uid to its dependents'. An owner need not be known to have dependents.
    dependents: HashMap<String, BTreeSet<String>>,
    /// Owners that are known to be gone, while somebody still names them.
    absent: HashSet<String>,
}

impl Graph {
    /// The object with this uid.
    pub fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// The objects that name `uid` as an owner.
    pub fn dependents(&self, uid: &str) -> impl Iterator<Item = &Node> {
        self.dependents.get(uid).into_iter().flatten().filter_map(|uid| self.nodes.get(uid))
    }

    /// Takes in an object as it is now. Returns whom to look at, by uid.
    pub fn put(&mut self, node: Node) -> BTreeSet<String> {
        // >>> step 4.4: put
        todo!("step 4.4: put")
        // <<< step 4.4: put
    }

    /// The object is gone. Returns whom to look at, by uid.
    pub fn remove(&mut self, uid: &str) -> BTreeSet<String> {
        // >>> step 4.4: remove
        todo!("step 4.4: remove")
        // <<< step 4.4: remove
    }

    /// The server has said that there is no such owner.
    pub fn note_absent(&mut self, uid: &str) {
        if self.dependents.contains_key(uid) {
            self.absent.insert(uid.to_owned());
        }
    }

    fn waiting_owner(&self, uid: &str) -> Option<String> {
        self.nodes.get(uid).filter(|owner| owner.waits_for(FOREGROUND)).map(|owner| owner.uid.clone())
    }

    fn forget_dependent(&mut self, owner: &str, dependent: &str) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
                self.absent.remove(owner);
            }
        }
    }

    /// What is known of an owner that `node` names.
    pub fn owner(&self, node: &Node, reference: &OwnerReference) -> Owner {
        // >>> step 4.4: owner
        todo!("step 4.4: owner")
        // <<< step 4.4: owner
    }

    /// What is to be done about `node`. `known` answers for owners that the server has been asked
    /// about; for all others the graph does.
    pub fn verdict(&self, node: &Node, known: &HashMap<String, Owner>) -> Verdict {
        // >>> step 4.4: verdict
        todo!("step 4.4: verdict")
        // <<< step 4.4: verdict
    }
}

/// Whether `dependent` keeps its owner from going.
fn blocks(dependent: &Node, owner: &str) -> bool {
    let mut references = dependent.owners.iter().filter(|reference| reference.uid == owner);
    references.any(|reference| reference.block_owner_deletion == Some(true))
}
