//! The gate: who comes in, and with what.

use kubesmith_common::pki::{self, Authority};
use serde_json::json;

use crate::support::{Cluster, client, send};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_more_than_health_and_version() {
    let cluster = Cluster::start().await;
    let authority = Authority::open(&cluster.directory).unwrap();
    let nobody = authority.client("nobody", &[]).unwrap();
    let kubeconfig =
        pki::kubeconfig(&format!("https://{}", cluster.address), authority.certificate(), "nobody", &nobody);
    let plain: String =
        kubeconfig.lines().filter(|line| !line.contains("client-")).map(|line| format!("{line}\n")).collect();
    let anonymous = client(&plain.replace("  user:\n", "  user: {}\n")).await;
    for path in ["/healthz", "/livez", "/readyz?verbose", "/version", "/readyz/etcd"] {
        assert!(send(&anonymous, "GET", path, String::new(), "").await.is_ok(), "{path}");
    }
    for path in ["/api", "/apis/apps/v1", "/api/v1/namespaces/shop/pods", "/openapi/v3", "/nowhere"] {
        let refused = send(&anonymous, "GET", path, String::new(), "").await.unwrap_err();
        assert_eq!((refused.code, refused.reason()), (403, "Forbidden"), "{path}");
        assert!(refused.status["message"].as_str().unwrap().contains("User \"system:anonymous\" cannot"));
    }
    let token = plain.replace("  user:\n", "  user:\n    token: wrong\n");
    let stranger = client(&token).await;
    assert_eq!(send(&stranger, "GET", "/version", String::new(), "").await.unwrap_err().code, 401);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_an_object_is_refused_and_says_why() {
    let cluster = Cluster::start().await;
    let maps = "/api/v1/namespaces/shop/configmaps";
    let raw = async |method: &str, path: &str, body: String, media: &str| {
        send(&cluster.client, method, path, body, media).await.unwrap_err().code
    };
    assert_eq!(raw("POST", maps, "{oops".to_owned(), "application/json").await, 400);
    assert_eq!(raw("POST", maps, "x".to_owned(), "text/plain").await, 415);
    let large = json!({ "metadata": { "name": "m" }, "data": { "a": "x".repeat(4 << 20) } }).to_string();
    assert_eq!(raw("POST", maps, large, "application/json").await, 413);
    assert_eq!(raw("POST", maps, "[".repeat(100_000), "application/json").await, 400);
    assert_eq!(raw("PATCH", &format!("{maps}/m"), "{}".to_owned(), "application/json").await, 415);
    assert_eq!(raw("PUT", maps, "{}".to_owned(), "application/json").await, 405);
    assert_eq!(raw("POST", "/api/v1/configmaps", "{}".to_owned(), "application/json").await, 405);
    assert_eq!(raw("DELETE", "/api/v1/configmaps", String::new(), "").await, 405);
    assert_eq!(raw("GET", "/apis/apps/v9/deployments", String::new(), "").await, 404);
    for path in ["/api/v1/namespaces/shop/pods/a/exec?command=sh", "/api/v1/nodes/n/proxy"] {
        assert_eq!(raw("GET", path, String::new(), "").await, 501, "{path}");
    }
    cluster.stop().await;
}
