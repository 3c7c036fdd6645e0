//! Shipped snapshots are compared with, never accepted: each has its hash in `solutions/snapshots.sha256`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::course::Place;

/// The file with the hashes, as `sha256sum` writes and checks it.
pub const FILE: &str = "solutions/snapshots.sha256";

/// Refuses to go on if a snapshot of this crate isn't the one that was shipped.
///
/// # Errors
/// Names the first changed or missing snapshot and the way to get it back.
pub fn verify(root: &Path, place: &Place) -> anyhow::Result<()> {
    for (path, hash) in shipped(root)? {
        if path.starts_with(&place.solution) && hash_of(&root.join(&path)).ok().as_ref() != Some(&hash) {
            let path = path.display();
            bail!("{path} isn't the snapshot that was shipped.\n`git checkout -- {path}` restores it.");
        }
    }
    Ok(())
}

fn shipped(root: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let text = match fs::read_to_string(root.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error).context(FILE),
    };
    let entry = |line: &str| line.split_once("  ").map(|(hash, path)| (PathBuf::from(path), hash.to_owned()));
    text.lines().map(|line| entry(line).with_context(|| format!("{FILE}: `{line}` isn't `HASH  PATH`"))).collect()
}

/// The text of [`FILE`] for the snapshots that are there now.
///
/// # Errors
/// If a directory or a snapshot can't be read.
pub fn inventory(root: &Path) -> anyhow::Result<String> {
    let mut found = Vec::new();
    collect(root, Path::new("solutions"), &mut found)?;
    found.sort();
    let line = |path: &PathBuf| Ok(format!("{}  {}\n", hash_of(&root.join(path))?, path.display()));
    found.iter().map(line).collect()
}

fn collect(root: &Path, directory: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(root.join(directory)).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(root, &path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "snap") {
            found.push(path);
        }
    }
    Ok(())
}

fn hash_of(path: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    Ok(format!("{:x}", Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_snapshot_is_named_with_the_way_back() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let snapshots = root.join("solutions/01-store/tests/snapshots");
        fs::create_dir_all(&snapshots).unwrap();
        fs::write(snapshots.join("a.snap"), "one").unwrap();
        fs::write(root.join(FILE), inventory(root).unwrap()).unwrap();
        let place = |solution: &str| Place { solution: solution.into(), ..Place::default() };
        verify(root, &place("solutions/01-store")).unwrap();
        fs::write(snapshots.join("a.snap"), "two").unwrap();
        let refusal = verify(root, &place("solutions/01-store")).unwrap_err().to_string();
        assert!(refusal.contains("git checkout -- solutions/01-store/tests/snapshots/a.snap"), "{refusal}");
        verify(root, &place("solutions/02-apiserver")).unwrap();
    }
}
