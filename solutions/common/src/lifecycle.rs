//! How a component is told to stop, and says that it serves.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

/// Given to every component's `run`: one half says when to stop, the other that it is up.
#[derive(Clone)]
pub struct Lifecycle {
    /// Cancelled when the component should end: finish what is under way, then return.
    pub shutdown: CancellationToken,
    /// Cancelled, together with `shutdown`, when the component should end as if its machine had lost
    /// its power: at once, with its processes, and without telling anybody.
    pub unplugged: CancellationToken,
    started: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Lifecycle {
    /// A lifecycle that ends with `shutdown` and reports what it serves to `started`.
    pub fn new(shutdown: CancellationToken, started: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { shutdown, unplugged: CancellationToken::new(), started: Arc::new(started) }
    }

    /// The same, that can also be unplugged. Whoever cancels `unplugged` then cancels `shutdown`.
    pub fn with_unplugged(self, unplugged: CancellationToken) -> Self {
        Self { unplugged, ..self }
    }

    /// A lifecycle that nobody listens to, for tests.
    pub fn detached() -> Self {
        Self::new(CancellationToken::new(), |_| {})
    }

    /// Called once by a component when it does its job; `line` says where or what, in a few words
    /// ("https://127.0.0.1:6443", "11 controllers").
    pub fn started(&self, line: &str) {
        (self.started)(line);
    }
}

/// A token that is cancelled by Ctrl-C or SIGTERM.
///
/// # Errors
/// If the process may not install signal handlers.
pub fn until_signalled() -> std::io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        cancel.cancel();
    });
    Ok(token)
}
