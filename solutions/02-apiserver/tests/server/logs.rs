//! Logs: passed on from a kubelet, here one that only says who asked it for what.

use std::net::Ipv4Addr;

use futures::{AsyncBufReadExt, StreamExt};
use kubesmith_common::pki::{self, Authority};
use kubesmith_common::serve::{Peer, serve_tls};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use warp::Filter;

use crate::support::{Cluster, send};

/// A kubelet that answers with who asked, and with what; a followed log goes on until it is stopped.
async fn kubelet(cluster: &Cluster, stop: CancellationToken) -> u16 {
    let authority = Authority::open(&cluster.directory).unwrap();
    let serving = authority.serving("kubelet", &[Ipv4Addr::LOCALHOST.into()], &[]).unwrap();
    serving.write(&cluster.directory, "kubelet").unwrap();
    let path = |name: &str| cluster.directory.join(name);
    let tls = pki::server_config(&path("kubelet.crt"), &path("kubelet.key"), Some(&path("ca.crt"))).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let routes = warp::path::full()
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::ext::get::<Peer>())
        .map(|path: warp::path::FullPath, query: String, peer: Peer| {
            if query.contains("absent") {
                let refusal = "previous terminated container \"c\" in pod \"p\" not found";
                return warp::http::Response::builder().status(400).body(refusal.to_owned().into()).unwrap();
            }
            let who = peer.certificate.map(|certificate| certificate.common_name).unwrap_or_default();
            let first = format!("{who} asks for {} with {query}\n", path.as_str());
            let lines = futures::stream::iter([Ok::<_, std::io::Error>(first)]);
            if query.contains("follow") {
                return warp::Reply::into_response(warp::reply::stream(lines.chain(futures::stream::pending())));
            }
            warp::Reply::into_response(warp::reply::stream(lines))
        })
        .recover(async |_| Ok::<_, std::convert::Infallible>(warp::http::StatusCode::NOT_FOUND));
    tokio::spawn(serve_tls(listener, tls, routes, stop));
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_come_from_the_kubelet_as_it_sends_them() {
    let (cluster, stop) = (Cluster::start().await, CancellationToken::new());
    let port = kubelet(&cluster, stop.clone()).await;
    let status = json!({ "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
                         "daemonEndpoints": { "kubeletEndpoint": { "Port": port } } });
    cluster.post("/api/v1/nodes", json!({ "metadata": { "name": "one" }, "status": status })).await.unwrap();
    let pods = "/api/v1/namespaces/shop/pods";
    for (name, node) in [("p", Some("one")), ("elsewhere", Some("two")), ("waiting", None)] {
        let spec = json!({ "nodeName": node, "containers": [{ "name": "c", "image": "web" }] });
        cluster.post(pods, json!({ "metadata": { "name": name }, "spec": spec })).await.unwrap();
    }
    let log = async |path: &str| send(&cluster.client, "GET", &format!("{pods}/{path}"), String::new(), "").await;
    assert_eq!(
        log("p/log?tailLines=3").await.unwrap(),
        "kube-apiserver-kubelet-client asks for /containerLogs/shop/p/c with tailLines=3\n"
    );
    assert_eq!(log("waiting/log").await.unwrap(), "");
    let refused = log("p/log?previous=absent").await.unwrap_err();
    assert_eq!(refused.code, 400);
    assert_eq!(refused.status["message"], "previous terminated container \"c\" in pod \"p\" not found");
    assert_eq!(log("p/log?container=d").await.unwrap_err().code, 400);
    assert_eq!(log("elsewhere/log").await.unwrap_err().code, 404);

    let request = http::Request::get(format!("{pods}/p/log?follow=true")).body(Vec::new()).unwrap();
    let mut lines = Box::pin(cluster.client.request_stream(request).await.unwrap().lines());
    let first = lines.next().await.unwrap().unwrap();
    assert!(first.ends_with("with follow=true"), "{first}");
    let (rest, ()) = tokio::join!(lines.next(), cluster.stop());
    assert!(rest.is_none_or(|line| line.is_err()), "a followed log ends with the server");
    stop.cancel();
}
