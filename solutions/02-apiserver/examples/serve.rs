//! An API server to try things on: certificates and a kubeconfig in a directory of its own, everything
//! else in memory.
//!
//! ```text
//! cargo run -p kubesmith-apiserver --example serve -- [--dir DIR] [--port PORT] [--data-dir DIR]
//! kubectl --kubeconfig DIR/admin.kubeconfig get namespaces
//! ```
//!
//! `DIR` is `target/serve` unless it is given, the port 6443 (0 takes any that is free). Beside
//! `admin.kubeconfig` there is the CA (`ca.crt`, `ca.key`), for certificates of other users, and a token
//! of the same user for whoever would rather have one (`admin.token`).

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, FromArgMatches, Parser};
use kubesmith_apiserver::{Options, serve_on};
use kubesmith_common::lifecycle::{Lifecycle, until_signalled};
use kubesmith_common::pki::{self, Authority};
use kubesmith_store::Embedded;

#[derive(Parser)]
struct Flags {
    /// Where certificates and the kubeconfig go.
    #[arg(long, default_value = "target/serve")]
    dir: PathBuf,
    /// The port to serve on; 0 takes any that is free.
    #[arg(long, default_value_t = 6443)]
    port: u16,
    /// Where objects are kept; in memory without it.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let flags = Flags::parse();
    let shutdown = until_signalled()?;
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, flags.port)).await?;
    let server = format!("https://{}", listener.local_addr()?);

    pki::create_private_dir(&flags.dir)?;
    let authority = Authority::open(&flags.dir)?;
    let addresses: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(10, 96, 0, 1).into()];
    authority.serving("kube-apiserver", &addresses, &["localhost", "kubernetes"])?.write(&flags.dir, "apiserver")?;
    let admin = authority.client("kubernetes-admin", &["system:masters"])?;
    let kubeconfig = pki::kubeconfig(&server, authority.certificate(), "kubernetes-admin", &admin);
    pki::write_private(&flags.dir.join("admin.kubeconfig"), kubeconfig.as_bytes())?;

    let token = uuid::Uuid::new_v4().to_string();
    pki::write_private(&flags.dir.join("admin.token"), token.as_bytes())?;
    let line = format!("{token},kubernetes-admin,1,\"system:masters\"\n");
    pki::write_private(&flags.dir.join("tokens.csv"), line.as_bytes())?;

    let path = |name: &str| flags.dir.join(name).display().to_string();
    let arguments = [
        "apiserver".to_owned(),
        format!("--tls-cert-file={}", path("apiserver.crt")),
        format!("--tls-private-key-file={}", path("apiserver.key")),
        format!("--client-ca-file={}", path("ca.crt")),
        format!("--token-auth-file={}", path("tokens.csv")),
        "--advertise-address=127.0.0.1".to_owned(),
    ];
    let matches = Options::augment_args(clap::Command::new("apiserver")).try_get_matches_from(arguments)?;
    let options = Options::from_arg_matches(&matches)?;
    let store = Arc::new(match &flags.data_dir {
        Some(directory) => Embedded::open(directory, kubesmith_store::Options::default())?,
        None => Embedded::ephemeral(),
    });
    let file = flags.dir.join("admin.kubeconfig");
    let lifecycle = Lifecycle::new(shutdown, move |address| {
        println!("serving {address}; export KUBECONFIG={}", file.display());
    });
    serve_on(listener, options, store.clone(), lifecycle).await?;
    store.close().await;
    Ok(())
}
