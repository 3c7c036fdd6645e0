//! Step 4.4, owners and garbage: what goes when its owners are gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_controllers::garbage::{FOREGROUND, Graph, Node, ORPHAN, Owner, Verdict};
use kubesmith_controllers::objects::Key;

use crate::support::LIMIT;

fn node(uid: &str, owners: &[&str]) -> Node {
    Node {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        key: Key::new("default", uid),
        uid: uid.to_owned(),
        owners: owners.iter().map(|owner| reference(owner)).collect(),
        deleting: false,
        finalizers: Vec::new(),
        version: None,
    }
}

fn reference(owner: &str) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        name: owner.to_owned(),
        uid: owner.to_owned(),
        controller: None,
        block_owner_deletion: Some(true),
    }
}

fn going(uid: &str, owners: &[&str], finalizer: &str) -> Node {
    Node { deleting: true, finalizers: vec![finalizer.to_owned()], ..node(uid, owners) }
}

fn graph(nodes: Vec<Node>) -> Graph {
    let mut graph = Graph::default();
    nodes.into_iter().for_each(|node| drop(graph.put(node)));
    graph
}

fn verdict(graph: &Graph, uid: &str, known: &[(&str, Owner)]) -> Verdict {
    let known: HashMap<_, _> = known.iter().map(|(uid, owner)| ((*uid).to_owned(), *owner)).collect();
    graph.verdict(graph.get(uid).unwrap(), &known)
}

fn uids(uids: &[&str]) -> BTreeSet<String> {
    uids.iter().map(|uid| (*uid).to_owned()).collect()
}

#[test]
fn an_object_goes_with_its_last_owner_and_not_before() {
    within(LIMIT, || {
        let mut graph = graph(vec![node("a", &[]), node("b", &[]), node("child", &["a", "b"]), node("free", &[])]);
        let why = "An object lives as long as one owner does; then it is garbage.";
        expect_eq(&verdict(&graph, "free", &[]), &Verdict::Keep, "an object that names no owner", why);
        expect_eq(&verdict(&graph, "child", &[]), &Verdict::Keep, "both owners are there", why);
        let look = graph.remove("a");
        expect_eq(
            &look,
            &uids(&["child"]),
            "whom to look at when a is gone",
            "The dependents of what went: nobody else would tell them.",
        );
        expect_eq(
            &verdict(&graph, "child", &[]),
            &Verdict::DropOwners(vec!["a".to_owned()]),
            "one of two owners is gone",
            "A reference to nobody is dropped, or it would have to be looked up for ever.",
        );
        graph.remove("b");
        expect_eq(&verdict(&graph, "child", &[]), &Verdict::Collect, "both owners are gone", why);
    });
}

#[test]
fn an_owner_that_no_watch_has_shown_is_asked_for_first() {
    within(LIMIT, || {
        let graph = graph(vec![node("child", &["unseen"])]);
        let why = "The child's watch may be quicker than the owner's: not seen yet isn't gone.";
        expect_eq(
            &verdict(&graph, "child", &[]),
            &Verdict::Ask(vec![reference("unseen")]),
            "the only owner is unknown",
            why,
        );
        expect_eq(
            &verdict(&graph, "child", &[("unseen", Owner::Solid)]),
            &Verdict::Keep,
            "the server has said that it is there",
            why,
        );
        expect_eq(
            &verdict(&graph, "child", &[("unseen", Owner::Absent)]),
            &Verdict::Collect,
            "the server has said that it isn't",
            why,
        );
        let graph = self::graph(vec![node("a", &[]), node("child", &["a", "unseen"])]);
        expect_eq(
            &verdict(&graph, "child", &[]),
            &Verdict::Ask(vec![reference("unseen")]),
            "one owner is there, the other is unknown",
            "It stays in any case; but a reference to nobody is only dropped if somebody asks.",
        );
    });
}

#[test]
fn who_is_going_already_is_left_alone() {
    within(LIMIT, || {
        let mut graph = graph(vec![node("a", &[]), going("child", &["a"], "example.com/backup")]);
        graph.remove("a");
        expect_eq(
            &verdict(&graph, "child", &[]),
            &Verdict::Keep,
            "its owner is gone; it is being deleted and waits for somebody's finalizer",
            "To delete it again changes nothing, and would be done again at every look.",
        );
    });
}

#[test]
fn a_reference_counts_by_uid_and_must_mean_what_it_says() {
    within(LIMIT, || {
        let mut liar = node("child", &[]);
        liar.owners = vec![OwnerReference { name: "someone-else".to_owned(), ..reference("a") }];
        let mut elsewhere = node("distant", &["a"]);
        elsewhere.key.namespace = "elsewhere".to_owned();
        let graph = graph(vec![node("a", &[]), liar.clone(), elsewhere.clone()]);
        let why = "A reference with the right uid and another name, or from another namespace, is wrong or a lie: only the server can tell.";
        expect_eq(&graph.owner(&liar, &liar.owners[0]), &Owner::Unknown, "a reference to a's uid by another name", why);
        expect_eq(
            &graph.owner(&elsewhere, &elsewhere.owners[0]),
            &Owner::Unknown,
            "a reference to a from another namespace",
            why,
        );
        let again = node("child", &["the-old-uid"]);
        expect_eq(
            &graph.owner(&again, &again.owners[0]),
            &Owner::Unknown,
            "a reference to a uid that nobody has",
            "A new object under an old name has another uid, and owns nothing.",
        );
    });
}

#[test]
fn in_the_foreground_the_owner_waits_for_those_that_block_it() {
    within(LIMIT, || {
        let mut unblocking = node("second", &["a"]);
        unblocking.owners[0].block_owner_deletion = None;
        let mut graph = graph(vec![node("a", &[]), node("first", &["a"]), unblocking]);
        let look = graph.put(going("a", &[], FOREGROUND));
        let why = "Foreground: the owner is the last to go, so whoever still sees it knows that something is left.";
        expect(
            look.is_superset(&uids(&["first", "second"])),
            &format!("a begins to go in the foreground: {look:?} are looked at"),
            "Its dependents go first, so they must be looked at.",
        );
        expect_eq(&verdict(&graph, "first", &[]), &Verdict::Collect, "a dependent whose only owner waits", why);
        expect_eq(&verdict(&graph, "a", &[]), &Verdict::Keep, "the owner, while a dependent blocks it", why);
        let look = graph.remove("first");
        expect(
            look.contains("a"),
            &format!("the last one that blocked is gone: {look:?} are looked at"),
            "The owner that waits must be looked at, or it waits for ever.",
        );
        expect_eq(
            &verdict(&graph, "a", &[]),
            &Verdict::Finalize(FOREGROUND),
            "the owner, with only a dependent that doesn't block",
            why,
        );
        graph.put(node("third", &["a"]));
        expect_eq(&verdict(&graph, "a", &[]), &Verdict::Keep, "the owner, when another one blocks it", why);
        let mut lenient = node("third", &["a"]);
        lenient.owners[0].block_owner_deletion = Some(false);
        let look = graph.put(lenient);
        expect(
            look.contains("a"),
            &format!("that one is still there, but has stopped blocking: {look:?} are looked at"),
            "The owner waits for nobody any more, and nothing else will tell.",
        );
    });
}

#[test]
fn a_dependent_with_dependents_goes_in_the_foreground_too() {
    within(LIMIT, || {
        let mut tree = graph(vec![going("a", &[], FOREGROUND), node("set", &["a"]), node("pod", &["set"])]);
        expect_eq(
            &verdict(&tree, "set", &[]),
            &Verdict::CollectInForeground { circle: false },
            "a ReplicaSet with a pod, whose Deployment waits",
            "If it went at once, the Deployment would be gone while its pods still run.",
        );
        tree.put(going("pod", &["set"], FOREGROUND));
        expect_eq(
            &verdict(&tree, "set", &[]),
            &Verdict::CollectInForeground { circle: true },
            "the same, where the dependent waits already",
            "Two objects that own each other would wait for each other for ever.",
        );
        tree.put(node("b", &[]));
        tree.put(node("shared", &["a", "b"]));
        expect_eq(
            &verdict(&tree, "shared", &[]),
            &Verdict::DropOwners(vec!["a".to_owned()]),
            "a dependent of a, which waits, and of b, which stays",
            "It lives on with b; and a needn't wait for it.",
        );
    });
}

#[test]
fn orphans_are_let_go_and_live_on() {
    within(LIMIT, || {
        let mut graph = graph(vec![node("a", &[]), node("child", &["a"])]);
        let look = graph.put(going("a", &[], ORPHAN));
        expect(
            look.contains("a"),
            &format!("a is to orphan its dependents: {look:?} are looked at"),
            "It waits until somebody lets go of them.",
        );
        expect_eq(
            &verdict(&graph, "a", &[]),
            &Verdict::Release(vec!["child".to_owned()]),
            "what is to be done about a",
            "The references go first. If a went first, its dependents would be garbage.",
        );
        graph.put(node("child", &[]));
        expect_eq(
            &verdict(&graph, "a", &[]),
            &Verdict::Release(Vec::new()),
            "what is to be done about a when nobody names it any more",
            "Now only the finalizer is left to take away.",
        );
        graph.remove("a");
        expect_eq(
            &verdict(&graph, "child", &[]),
            &Verdict::Keep,
            "the child, after a is gone",
            "It names no owner any more.",
        );
    });
}

#[test]
fn of_any_tree_exactly_what_has_lost_its_owners_goes() {
    within(LIMIT, || {
        for seed in seeds(200) {
            let mut rng = Rng::new(seed);
            let mut objects: BTreeMap<String, Node> = BTreeMap::new();
            for index in 0..15 {
                let count = if index < 4 { 0 } else { rng.below(3) };
                let owners: BTreeSet<_> = (0..count).map(|_| format!("o{}", rng.below(index))).collect();
                let owners: Vec<_> = owners.iter().map(String::as_str).collect();
                objects.insert(format!("o{index}"), node(&format!("o{index}"), &owners));
            }
            let begun = objects.clone();
            let mut graph = graph(objects.values().cloned().collect());
            let mut look: BTreeSet<String> = BTreeSet::new();
            let mut gone: BTreeSet<String> = BTreeSet::new();
            for root in ["o0", "o1"] {
                if rng.below(2) == 0 {
                    look.extend(graph.remove(root));
                    objects.remove(root);
                    gone.insert(root.to_owned());
                } else {
                    let node = going(root, &[], FOREGROUND);
                    look.extend(graph.put(node.clone()));
                    objects.insert(root.to_owned(), node);
                }
            }
            run(seed, &mut rng, &mut graph, &mut objects, look, &mut gone);
            // Whoever had owners, and lost all of them, is gone; everybody else is there.
            let mut expected: BTreeSet<String> = uids(&["o0", "o1"]);
            for (uid, node) in &begun {
                let orphaned = !node.owners.is_empty() && node.owners.iter().all(|owner| expected.contains(&owner.uid));
                if orphaned {
                    expected.insert(uid.clone());
                }
            }
            // Names sort as text, so one pass may miss what a later one finds.
            for _ in 0..begun.len() {
                let more: Vec<_> = begun
                    .iter()
                    .filter(|(_, node)| {
                        !node.owners.is_empty() && node.owners.iter().all(|owner| expected.contains(&owner.uid))
                    })
                    .map(|(uid, _)| uid.clone())
                    .collect();
                expected.extend(more);
            }
            expect_eq(
                &gone,
                &expected,
                &format!("seed {seed}: who is gone in the end"),
                "Exactly what has lost its last owner is garbage: one less is a leak, one more is somebody's data.",
            );
        }
    });
}

/// Looks at whoever is to be looked at, in any order, and does what the verdict says.
fn run(
    seed: u64,
    rng: &mut Rng,
    graph: &mut Graph,
    objects: &mut BTreeMap<String, Node>,
    mut look: BTreeSet<String>,
    gone: &mut BTreeSet<String>,
) {
    for _ in 0..2000 {
        let waiting: Vec<_> = look.iter().cloned().collect();
        if waiting.is_empty() {
            return;
        }
        let uid = rng.pick(&waiting).clone();
        look.remove(&uid);
        let Some(node) = graph.get(&uid).cloned() else { continue };
        match graph.verdict(&node, &HashMap::new()) {
            Verdict::Keep | Verdict::Release(_) => {}
            Verdict::Ask(owners) => {
                let unknown: Vec<_> = owners.iter().map(|owner| &owner.uid).collect();
                panic!("seed {seed}: {uid} asks about {unknown:?}, of which the graph has seen the end");
            }
            Verdict::Collect | Verdict::Finalize(_) => {
                let blocking =
                    objects.values().any(|other| node.deleting && other.owners.iter().any(|owner| owner.uid == uid));
                expect(
                    !blocking,
                    &format!("seed {seed}: {uid} goes while it has dependents, though it waited for them"),
                    "In the foreground, the owner is the last to go.",
                );
                objects.remove(&uid);
                gone.insert(uid.clone());
                look.extend(graph.remove(&uid));
            }
            Verdict::CollectInForeground { .. } => {
                let node = Node { deleting: true, finalizers: vec![FOREGROUND.to_owned()], ..node };
                objects.insert(uid, node.clone());
                look.extend(graph.put(node));
            }
            Verdict::DropOwners(dropped) => {
                let mut node = node;
                node.owners.retain(|owner| !dropped.contains(&owner.uid));
                objects.insert(uid, node.clone());
                look.extend(graph.put(node));
            }
        }
    }
    panic!("seed {seed}: the collector doesn't come to rest");
}
