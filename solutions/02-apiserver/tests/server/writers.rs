//! Many writers, one object: nobody's write is lost.

use std::sync::Arc;

use futures::future::join_all;
use serde_json::json;

use crate::support::{Cluster, config_map};

const WRITERS: usize = 16;
const WRITES: usize = 10;
const MAPS: &str = "/api/v1/namespaces/shop/configmaps";

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_retry_on_conflict_lose_no_update() {
    let cluster = Arc::new(Cluster::start().await);
    cluster.post(MAPS, config_map("counter", json!({}), json!({ "n": "0" }))).await.unwrap();
    let path = format!("{MAPS}/counter");
    let writers = (0..WRITERS).map(|_| {
        let (cluster, path) = (cluster.clone(), path.clone());
        tokio::spawn(async move {
            let (mut done, mut conflicts) = (0, 0);
            while done < WRITES {
                let mut counter = cluster.get(&path).await.unwrap();
                let n: usize = counter["data"]["n"].as_str().unwrap().parse().unwrap();
                counter["data"]["n"] = json!((n + 1).to_string());
                match cluster.put(&path, counter).await {
                    Ok(_) => done += 1,
                    Err(refused) => {
                        assert_eq!((refused.code, refused.reason()), (409, "Conflict"), "{refused:?}");
                        conflicts += 1;
                    }
                }
            }
            conflicts
        })
    });
    let conflicts: usize = join_all(writers).await.into_iter().map(Result::unwrap).sum();
    assert!(conflicts > 0, "so many writers never met: this test proves nothing");
    let counter = cluster.get(&path).await.unwrap();
    assert_eq!(counter["data"]["n"], (WRITERS * WRITES).to_string());
    Arc::into_inner(cluster).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_need_no_retry_and_lose_nothing_either() {
    let cluster = Arc::new(Cluster::start().await);
    cluster.post(MAPS, config_map("shared", json!({}), json!({}))).await.unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let cluster = cluster.clone();
        tokio::spawn(async move {
            for write in 0..WRITES {
                let patch = json!({ "data": { format!("key-{writer}-{write}"): "there" } });
                cluster.patch(&format!("{MAPS}/shared"), patch).await.unwrap();
            }
        })
    });
    join_all(writers).await.into_iter().for_each(Result::unwrap);
    let shared = cluster.get(&format!("{MAPS}/shared")).await.unwrap();
    assert_eq!(shared["data"].as_object().unwrap().len(), WRITERS * WRITES);
    Arc::into_inner(cluster).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_create_or_bind_exactly_one_succeeds() {
    let cluster = Arc::new(Cluster::start().await);
    let pods = "/api/v1/namespaces/shop/pods";
    let pod = json!({ "metadata": { "name": "p" }, "spec": { "containers": [{ "name": "c", "image": "web" }] } });
    let creates = (0..WRITERS).map(|_| cluster.post(pods, pod.clone()));
    let created = join_all(creates).await;
    assert_eq!(created.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(created.iter().flat_map(|result| result.as_ref().err()).all(|refused| refused.reason() == "AlreadyExists"));
    let binds = (0..WRITERS).map(|node| {
        let cluster = cluster.clone();
        async move {
            let target = json!({ "kind": "Node", "name": format!("node-{node}") });
            cluster.post(&format!("{pods}/p/binding"), json!({ "metadata": { "name": "p" }, "target": target })).await
        }
    });
    let bound = join_all(binds).await;
    let winners: Vec<usize> = (0..WRITERS).filter(|node| bound[*node].is_ok()).collect();
    assert_eq!(winners.len(), 1, "a pod runs on one node");
    let pod = cluster.get(&format!("{pods}/p")).await.unwrap();
    assert_eq!(pod["spec"]["nodeName"], format!("node-{}", winners[0]));
    Arc::into_inner(cluster).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_made_at_the_same_time_get_different_addresses() {
    let cluster = Cluster::start().await;
    let creates = (0..WRITERS).map(|n| {
        let spec = json!({ "type": "NodePort", "ports": [{ "port": 80 }] });
        cluster
            .post("/api/v1/namespaces/shop/services", json!({ "metadata": { "name": format!("s{n}") }, "spec": spec }))
    });
    let services: Vec<_> = join_all(creates).await.into_iter().map(Result::unwrap).collect();
    let distinct = |value: &dyn Fn(&serde_json::Value) -> String| {
        services.iter().map(value).collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!(distinct(&|service| service["spec"]["clusterIP"].to_string()), WRITERS);
    assert_eq!(distinct(&|service| service["spec"]["ports"][0]["nodePort"].to_string()), WRITERS);
    cluster.stop().await;
}
