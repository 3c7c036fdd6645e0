//! Step 2.1, what a path means: names for everything that a request is about.

use kubesmith_apiserver::query::Query;
use kubesmith_apiserver::request::{RequestInfo, parse};
use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};

use crate::LIMIT;

/// What is read from a request, in the order of `kubectl auth can-i`: verb, group/version, resource,
/// subresource, namespace, name.
fn read(method: &str, path: &str, query: &str) -> String {
    let info = parse(method, path, &Query::parse(query));
    if !info.is_resource {
        return format!("{} {}, not about objects", info.verb, info.path);
    }
    let RequestInfo { verb, group, version, resource, subresource, namespace, name, .. } = info;
    format!("{verb} {resource:?}/{subresource:?} of {group:?} {version:?} in {namespace:?} named {name:?}")
}

fn check(cases: &[(&str, &str, &str)], why: &str) {
    for (method, path, expected) in cases {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        expect_eq(read(method, path, query).as_str(), expected, &format!("{method} {path} with query {query:?}"), why);
    }
}

#[test]
fn the_core_group_is_under_api_and_all_others_under_apis() {
    within(LIMIT, || {
        check(
            &[
                ("GET", "/api/v1/nodes/one", r#"get "nodes"/"" of "" "v1" in "" named "one""#),
                (
                    "GET",
                    "/apis/apps/v1/namespaces/shop/deployments/web",
                    r#"get "deployments"/"" of "apps" "v1" in "shop" named "web""#,
                ),
                (
                    "GET",
                    "/apis/storage.k8s.io/v1/storageclasses",
                    r#"list "storageclasses"/"" of "storage.k8s.io" "v1" in "" named """#,
                ),
            ],
            "The core group has no name, for historical reasons. Rules about who may do what name groups: a mistake \
             here gives one group's rights to another.",
        );
    });
}

#[test]
fn a_namespace_is_a_place_and_an_object() {
    within(LIMIT, || {
        check(
            &[
                ("GET", "/api/v1/namespaces", r#"list "namespaces"/"" of "" "v1" in "" named """#),
                ("GET", "/api/v1/namespaces/shop", r#"get "namespaces"/"" of "" "v1" in "shop" named "shop""#),
                ("GET", "/api/v1/namespaces/shop/pods", r#"list "pods"/"" of "" "v1" in "shop" named """#),
                ("GET", "/api/v1/namespaces/shop/pods/web", r#"get "pods"/"" of "" "v1" in "shop" named "web""#),
                (
                    "PUT",
                    "/api/v1/namespaces/shop/status",
                    r#"update "namespaces"/"status" of "" "v1" in "shop" named "shop""#,
                ),
                (
                    "PUT",
                    "/api/v1/namespaces/shop/finalize",
                    r#"update "namespaces"/"finalize" of "" "v1" in "shop" named "shop""#,
                ),
            ],
            "Whoever may do something in a namespace may do it to the namespace, too: that is why a namespace is in \
             itself. And `status` and `finalize` are parts of it, not resources in it.",
        );
    });
}

#[test]
fn a_subresource_is_a_part_of_an_object() {
    within(LIMIT, || {
        check(
            &[
                ("GET", "/api/v1/namespaces/shop/pods/web/log", r#"get "pods"/"log" of "" "v1" in "shop" named "web""#),
                (
                    "POST",
                    "/api/v1/namespaces/shop/pods/web/binding",
                    r#"create "pods"/"binding" of "" "v1" in "shop" named "web""#,
                ),
                (
                    "PATCH",
                    "/apis/apps/v1/namespaces/shop/deployments/web/scale",
                    r#"patch "deployments"/"scale" of "apps" "v1" in "shop" named "web""#,
                ),
                ("PUT", "/api/v1/nodes/one/status", r#"update "nodes"/"status" of "" "v1" in "" named "one""#),
                (
                    "GET",
                    "/api/v1/namespaces/shop/pods/web/proxy/metrics/all",
                    r#"get "pods"/"proxy" of "" "v1" in "shop" named "web""#,
                ),
            ],
            "A kubelet may write its node's status and nothing else of it: somebody who can't tell the two apart lets \
             every kubelet rewrite its own labels.",
        );
    });
}

#[test]
fn the_verb_depends_on_whether_there_is_a_name() {
    within(LIMIT, || {
        let all = "/api/v1/namespaces/shop/pods";
        let one = "/api/v1/namespaces/shop/pods/web";
        let verb = |method: &str, path: &str, query: &str| parse(method, path, &Query::parse(query)).verb;
        for (method, path, query, expected) in [
            ("GET", all, "", "list"),
            ("HEAD", all, "", "list"),
            ("GET", all, "watch=1", "watch"),
            ("GET", all, "watch=true&timeoutSeconds=1", "watch"),
            ("GET", all, "watch=false", "list"),
            ("GET", all, "watch=0", "list"),
            ("GET", one, "", "get"),
            ("GET", one, "watch=true", "get"),
            ("POST", all, "", "create"),
            ("PUT", one, "", "update"),
            ("PATCH", one, "", "patch"),
            ("DELETE", one, "", "delete"),
            ("DELETE", all, "", "deletecollection"),
            ("BREW", one, "", ""),
        ] {
            expect_eq(
                verb(method, path, query).as_str(),
                expected,
                &format!("the verb of {method} {path} with query {query:?}"),
                "Deleting one pod and deleting all of them are one slash apart in HTTP, so they are two verbs here.",
            );
        }
        expect_eq(
            verb("GET", "/api/v1/watch/namespaces/shop/pods", "").as_str(),
            "watch",
            "the verb of a path with /watch/ in front",
            "That is how watches were asked for before there was a parameter; some clients still do.",
        );
    });
}

#[test]
fn what_is_not_about_objects_is_a_plain_path() {
    within(LIMIT, || {
        for path in [
            "/",
            "/api",
            "/api/",
            "/api/v1",
            "/api/v1/",
            "/apis/apps/v1/",
            "/apis",
            "/apis/apps",
            "/apis/apps/v1",
            "/healthz",
            "/version",
            "",
        ] {
            expect_eq(
                read("GET", path, "").as_str(),
                &format!("get {path}, not about objects"),
                &format!("GET {path:?}"),
                "Discovery, health and version belong to no resource: rules about them name their paths.",
            );
        }
    });
}

#[test]
fn no_path_is_too_strange() {
    within(LIMIT, || {
        let pieces = ["api", "apis", "v1", "apps", "namespaces", "watch", "proxy", "status", "pods", "", "%", "ü", "."];
        for seed in seeds(500) {
            let mut rng = Rng::new(seed);
            let count = rng.below(9);
            let path: String = (0..count).map(|_| format!("/{}", rng.pick(&pieces))).collect();
            let method = *rng.pick(&["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"]);
            let info = parse(method, &path, &Query::default());
            expect(
                !info.is_resource || !info.version.is_empty() || path.contains("//"),
                &format!("seed {seed}: {method} {path} is read as {info:?}"),
                "A request about objects always says which version of the API it speaks.",
            );
        }
    });
}
