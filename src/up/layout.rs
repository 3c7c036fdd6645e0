//! Where a cluster keeps its things, and whose they are while it runs.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

use kubesmith_common::pki::create_private_dir;

/// A cluster's directory, held by this process alone until it is dropped.
pub struct DataDir {
    path: PathBuf,
    temporary: Option<TempDir>,
    _lock: Flock<File>,
}

impl DataDir {
    /// Takes the directory at `path`, made if it isn't there; `None` makes a temporary one that is
    /// deleted in the end.
    ///
    /// # Errors
    /// If it can't be made, or another cluster runs in it: the error says which process that is.
    pub fn take(path: Option<&Path>) -> Result<Self> {
        let temporary = path.is_none().then(temporary).transpose()?;
        let path = temporary.as_ref().map(TempDir::path).or(path).context("a directory")?;
        create_private_dir(path)?;
        let path = fs::canonicalize(path).with_context(|| format!("{}", path.display()))?;
        let lock = lock(&path)?;
        Ok(Self { path, temporary, _lock: lock })
    }

    /// The directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or directory in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether it is deleted in the end.
    pub fn is_ephemeral(&self) -> bool {
        self.temporary.is_some()
    }
}

/// The kubeconfig of the administrator, which people point `kubectl` at.
pub fn admin_kubeconfig(data: &Path) -> PathBuf {
    data.join("kubeconfig")
}

/// The socket over which `kubesmith node` speaks to a running cluster.
pub fn control_socket(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// A directory under a name that nobody can have prepared: the authority's key will lie in it.
fn temporary() -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("kubesmith-").permissions(fs::Permissions::from_mode(0o700));
    builder.tempdir().context("no temporary directory")
}

fn lock(directory: &Path) -> Result<Flock<File>> {
    let path = directory.join("lock");
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("{}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            lock.set_len(0)?;
            lock.rewind()?;
            write!(lock, "{}", std::process::id())?;
            Ok(lock)
        }
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder)?;
            bail!(
                "{} is in use by the cluster of process {}: stop that one, or take another directory with --data-dir",
                directory.display(),
                holder.trim(),
            );
        }
        Err((_, error)) => bail!("{}: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_in_use_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let held = DataDir::take(Some(directory.path())).unwrap();
        let refusal = DataDir::take(Some(directory.path())).err().unwrap().to_string();
        assert!(refusal.contains(&format!("process {}", std::process::id())), "{refusal}");
        drop(held);
        assert!(DataDir::take(Some(directory.path())).is_ok());
    }

    #[test]
    fn a_temporary_one_is_gone_in_the_end() {
        let data = DataDir::take(None).unwrap();
        let path = data.path().to_owned();
        assert!(path.is_dir());
        drop(data);
        assert!(!path.exists());
    }
}
