//! `get` against a server over TLS, as the whole of it is used.

#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

use std::path::PathBuf;
use std::sync::Arc;

use kubesmith_common::{pki, serve};
use kubesmith_request_flow::client::ClientError;
use kubesmith_request_flow::get::{GetError, Options, run};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use warp::Filter;
use warp::http::StatusCode;

struct Server {
    directory: tempfile::TempDir,
    shutdown: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Server {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let authority = pki::Authority::open(path).unwrap();
        authority.serving("api", &["127.0.0.1".parse().unwrap()], &[]).unwrap().write(path, "api").unwrap();
        let tls = pki::server_config(&path.join("api.crt"), &path.join("api.key"), Some(&path.join("ca.crt"))).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("https://{}", listener.local_addr().unwrap());
        let ann = authority.client("ann", &[]).unwrap();
        let kubeconfig = pki::kubeconfig(&server, authority.certificate(), "ann", &ann);
        std::fs::write(path.join("kubeconfig"), kubeconfig).unwrap();
        let routes = warp::path::full()
            .and(warp::header::<String>("accept"))
            .and(warp::ext::optional::<serve::Peer>())
            .and(warp::query::<std::collections::HashMap<String, String>>())
            .map(|path: warp::path::FullPath, accept: String, peer: Option<serve::Peer>, query| {
                let user = peer.and_then(|peer| peer.certificate).map(|certificate| certificate.common_name);
                let (status, body) = answer(path.as_str(), &accept, user.as_deref(), &query);
                warp::reply::with_status(warp::reply::json(&body), status)
            })
            .recover(|_| async { Ok::<_, std::convert::Infallible>(StatusCode::BAD_REQUEST) });
        let shutdown = CancellationToken::new();
        tokio::spawn(serve::serve_tls(listener, Arc::clone(&tls), routes, shutdown.clone()));
        Self { directory, shutdown }
    }

    fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    fn options(&self, resource: &str) -> Options {
        Options {
            resource: resource.to_owned(),
            name: None,
            namespace: None,
            all_namespaces: false,
            selector: None,
            output: None,
            no_headers: false,
            kubeconfig: Some(self.kubeconfig()),
            context: None,
        }
    }
}

fn answer(
    path: &str,
    accept: &str,
    user: Option<&str>,
    query: &std::collections::HashMap<String, String>,
) -> (StatusCode, Value) {
    let pods =
        json!({"resource": "pods", "responseKind": {"kind": "Pod"}, "scope": "Namespaced", "shortNames": ["po"]});
    let table =
        |rows: Value| json!({"kind": "Table", "columnDefinitions": [{"name": "Name", "priority": 0}], "rows": rows});
    let row = |name: &str| json!({"cells": [name], "object": {"metadata": {"namespace": "default"}}});
    match (path, user) {
        (_, None) => (StatusCode::UNAUTHORIZED, json!({"kind": "Status", "reason": "Unauthorized", "code": 401})),
        ("/api", _) => (StatusCode::OK, json!({"items": [{"versions": [{"version": "v1", "resources": [pods]}]}]})),
        ("/apis", _) => (StatusCode::OK, json!({"items": []})),
        ("/api/v1/namespaces/default/pods", Some(user)) if accept.contains("as=Table") => {
            let name = query.get("labelSelector").map_or(user, String::as_str);
            (StatusCode::OK, table(json!([row(name)])))
        }
        ("/api/v1/pods", _) => (StatusCode::OK, table(json!([row("web")]))),
        ("/api/v1/namespaces/empty/pods", _) => (StatusCode::OK, table(json!([]))),
        _ => {
            let message = "pods \"nope\" not found";
            let status =
                json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": message, "code": 404});
            (StatusCode::NOT_FOUND, status)
        }
    }
}

#[tokio::test]
async fn a_table_comes_from_file_to_screen() {
    let server = Server::start().await;
    let answer = run(&server.options("po")).await.unwrap();
    assert_eq!((answer.table.as_str(), answer.note), ("NAME\nann\n", None));
    let selected = Options { selector: Some("app in (a,b)".to_owned()), ..server.options("po") };
    assert_eq!(run(&selected).await.unwrap().table, "NAME\napp in (a,b)\n");
    let everywhere = Options { all_namespaces: true, ..server.options("pods") };
    assert_eq!(run(&everywhere).await.unwrap().table, "NAMESPACE   NAME\ndefault     web\n");
}

#[tokio::test]
async fn nothing_and_refusals_are_said_in_words() {
    let server = Server::start().await;
    let empty = Options { namespace: Some("empty".to_owned()), ..server.options("pods") };
    assert_eq!(run(&empty).await.unwrap().note.as_deref(), Some("No resources found in empty namespace."));
    let refusal = run(&server.options("podz/nope")).await.unwrap_err();
    assert_eq!(refusal.to_string(), "the server doesn't have a resource type \"podz\"");
    let refusal = run(&server.options("pods/nope")).await.unwrap_err();
    assert_eq!(refusal.to_string(), "Error from server (NotFound): pods \"nope\" not found");
    let nowhere = Options { kubeconfig: Some("/nowhere/config".into()), ..server.options("pods") };
    assert!(matches!(run(&nowhere).await, Err(GetError::Client(ClientError::NoKubeconfig { .. }))));
}

#[tokio::test]
async fn a_server_that_is_gone_is_named() {
    let server = Server::start().await;
    let options = server.options("pods");
    let text = std::fs::read_to_string(server.kubeconfig()).unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = text.lines().find_map(|line| line.trim().strip_prefix("server: ")).unwrap();
    std::fs::write(server.kubeconfig(), text.replace(address, &format!("https://{closed}"))).unwrap();
    let refusal = run(&options).await.unwrap_err().to_string();
    assert!(refusal.contains(&closed.to_string()), "{refusal}");
}
