//! `kubesmith get`: what kubectl does for `kubectl get pods`, step by step.

use std::path::PathBuf;

use super::client::{ApiClient, ClientError};
use super::discovery::{self, Group, GroupList, find};
use super::table::{Print, Table, print};

/// How a table is asked for; a server that can't make one may answer with the objects.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// What to get, and how to show it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What: pods, po, deployments.apps, or pod/NAME
    pub resource: String,
    /// Only the one of this name
    pub name: Option<String>,
    /// In this namespace; the context's if left out
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// In all namespaces
    #[arg(long, short = 'A', conflicts_with_all = ["namespace", "name"])]
    pub all_namespaces: bool,
    /// Only objects with these labels (app=web,tier!=cache)
    #[arg(long, short = 'l', conflicts_with = "name")]
    pub selector: Option<String>,
    /// More columns
    #[arg(long, short)]
    pub output: Option<Output>,
    /// Only the rows
    #[arg(long)]
    pub no_headers: bool,
    /// The kubeconfig; $KUBECONFIG or ~/.kube/config if left out
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context to use
    #[arg(long)]
    pub context: Option<String>,
}

/// How to show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// With all columns
    Wide,
}

/// Why nothing was got.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The request came to nothing.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server has nothing of that name.
    #[error("the server doesn't have a resource type \"{0}\"")]
    UnknownResource(String),
    /// Neither flag nor variable nor home directory says where a kubeconfig is.
    #[error("no kubeconfig: export KUBECONFIG, as `cargo ks up` prints it")]
    NoKubeconfig,
}

/// What `get` has to say: to standard output, and to standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The table.
    pub table: String,
    /// What there is to say when the table is empty.
    pub note: Option<String>,
}

/// Gets what `options` ask for.
///
/// # Errors
/// If there is no usable kubeconfig, no such resource, or the server refuses.
pub async fn run(options: &Options) -> Result<Answer, GetError> {
    let kubeconfig = options.kubeconfig.clone().or_else(default_kubeconfig).ok_or(GetError::NoKubeconfig)?;
    let client = ApiClient::from_kubeconfig(&kubeconfig, options.context.as_deref())?;
    let (resource, name) = match options.resource.split_once('/') {
        Some((resource, name)) if options.name.is_none() => (resource, Some(name)),
        _ => (options.resource.as_str(), options.name.as_deref()),
    };
    let found =
        find(&discover(&client).await?, resource).ok_or_else(|| GetError::UnknownResource(resource.to_owned()))?;
    let everywhere = options.all_namespaces && found.namespaced;
    let namespace = options.namespace.as_deref().unwrap_or(&client.namespace);
    let mut path = found.path((!everywhere).then_some(namespace), name);
    if let Some(selector) = &options.selector {
        path.push_str(&format!("?labelSelector={}", escaped(selector)));
    }
    let table: Table = client.get(&path, TABLE).await?;
    let how = Print {
        wide: options.output == Some(Output::Wide),
        with_namespace: everywhere,
        no_headers: options.no_headers,
    };
    let note = table.rows.is_empty().then(|| {
        if everywhere || !found.namespaced {
            "No resources found".to_owned()
        } else {
            format!("No resources found in {namespace} namespace.")
        }
    });
    Ok(Answer { table: print(&table, how), note })
}

/// Everything the server has: the core group first, then the others in the server's order.
async fn discover(client: &ApiClient) -> Result<Vec<Group>, ClientError> {
    let core: GroupList = client.get("/api", discovery::MEDIA_TYPE).await?;
    let others: GroupList = client.get("/apis", discovery::MEDIA_TYPE).await?;
    Ok(core.items.into_iter().chain(others.items).collect())
}

/// `$KUBECONFIG`, of several files the first that is there, or else `~/.kube/config`.
fn default_kubeconfig() -> Option<PathBuf> {
    if let Some(list) = std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
        let mut paths = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty());
        let first = paths.next();
        return first
            .as_ref()
            .filter(|path| path.exists())
            .cloned()
            .or_else(|| paths.find(|path| path.exists()))
            .or(first);
    }
    Some(PathBuf::from(std::env::var_os("HOME")?).join(".kube/config"))
}

/// A query's value, with everything escaped that could mean something else there.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => (byte as char).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_selector_is_one_value_in_a_query() {
        assert_eq!(escaped("app in (a,b)&limit=1"), "app%20in%20%28a%2Cb%29%26limit%3D1");
    }
}
