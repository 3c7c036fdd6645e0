//! How `kubesmith node` speaks to a running cluster: a line each way over a socket in its directory.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::layout;

/// What can be asked of a running cluster.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Request {
    /// Makes a node vanish as if unplugged: its heartbeats stop and its pods' processes die
    Stop {
        /// The node's name, as `kubectl get nodes` prints it
        name: String,
    },
    /// Plugs a node in again
    Start {
        /// The node's name
        name: String,
    },
}

impl Request {
    fn line(&self) -> String {
        match self {
            Self::Stop { name } => format!("stop {name}\n"),
            Self::Start { name } => format!("start {name}\n"),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let (verb, name) = line.trim().split_once(' ')?;
        let name = name.to_owned();
        match verb {
            "stop" => Some(Self::Stop { name }),
            "start" => Some(Self::Start { name }),
            _ => None,
        }
    }
}

/// Answers a request: what was done, or why not.
pub type Handler = Arc<dyn Fn(Request) -> Result<String, String> + Send + Sync>;

/// Takes requests for the cluster in `data` until `shutdown`.
///
/// # Errors
/// If the socket can't be made.
pub fn serve(data: &Path, handler: Handler, shutdown: CancellationToken) -> Result<()> {
    // Only the holder of the directory's lock gets here: a socket that is there is a dead one's.
    remove(data);
    let path = layout::control_socket(data);
    let listener = UnixListener::bind(&path).with_context(|| format!("{}", path.display()))?;
    tokio::spawn(async move {
        while let Some(Ok((stream, _))) = shutdown.run_until_cancelled(listener.accept()).await {
            let handler = handler.clone();
            tokio::spawn(async move {
                if let Err(error) = answer(stream, handler).await {
                    tracing::debug!(%error, "control connection");
                }
            });
        }
    });
    Ok(())
}

/// Removes the socket, if there is one.
pub fn remove(data: &Path) {
    let _ = std::fs::remove_file(layout::control_socket(data));
}

async fn answer(stream: UnixStream, handler: Handler) -> Result<()> {
    let (input, mut output) = stream.into_split();
    let line = BufReader::new(input).lines().next_line().await?.unwrap_or_default();
    let answer = match Request::parse(&line) {
        Some(request) => handler(request),
        None => Err(format!("not a request: {line:?}")),
    };
    let text = match answer {
        Ok(done) => format!("ok {done}\n"),
        Err(why) => format!("error {why}\n"),
    };
    output.write_all(text.as_bytes()).await?;
    Ok(())
}

/// Asks the cluster that runs in `data`; returns what it did.
///
/// # Errors
/// If no cluster runs there, or it refuses.
pub async fn ask(data: &Path, request: &Request) -> Result<String> {
    let path = layout::control_socket(data);
    let stream = UnixStream::connect(&path).await;
    let mut stream = stream.with_context(|| {
        format!("no cluster runs in {}: start one with `up`, or name its --data-dir", data.display())
    })?;
    stream.write_all(request.line().as_bytes()).await?;
    let answer = BufReader::new(stream).lines().next_line().await?.unwrap_or_default();
    match answer.split_once(' ') {
        Some(("ok", done)) => Ok(done.to_owned()),
        Some(("error", why)) => bail!("{why}"),
        _ => bail!("the cluster went away before it answered"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_answered_or_refused() {
        let directory = tempfile::tempdir().unwrap();
        let stop = |name: &str| Request::Stop { name: name.to_owned() };
        assert!(ask(directory.path(), &stop("a")).await.unwrap_err().to_string().contains("no cluster runs"));

        let handler: Handler = Arc::new(|request| match request {
            Request::Stop { name } if name == "a" => Ok("a is dark".to_owned()),
            other => Err(format!("unknown: {other:?}")),
        });
        serve(directory.path(), handler, CancellationToken::new()).unwrap();
        assert_eq!(ask(directory.path(), &stop("a")).await.unwrap(), "a is dark");
        assert!(ask(directory.path(), &stop("b")).await.unwrap_err().to_string().contains("unknown"));
    }
}
