//! A mirror of the workspace in which some files are others.
//!
//! `target/mine/NAME/` looks like the repository: its entries are symbolic links to the real ones.
//! Only where a file is replaced are there real directories, and in them the replaced file. Because
//! the crates depend on each other by relative path, everything that is built in the mirror uses the
//! replaced files, and the repository itself stays as it is. A file is written only when its content
//! changes, so cargo rebuilds only what changed.
//!
//! Mirrors share the repository's target directory, so that nothing from outside is built twice. Their
//! own crates must not be mistaken for the repository's there, nor for those of another clone: each
//! mirror's crates have a version of their own (`0.1.0+mine.store.1f3a9c02`), and with it file names of
//! their own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::course::{Chapter, Course, Place};
use super::parts::PartId;

/// What the root package is called in a mirror: its program must not replace the one that runs.
pub const PROGRAM: &str = "kubesmith-mine";

/// What a mirror doesn't need from the repository's top.
const LEFT_OUT: [&str; 9] =
    [".git", ".kubesmith", ".progress.yaml", "Cargo.lock", "book", "chapters", "exercises", "target", "target-ci"];

/// The hash of the Cargo.lock that the mirror's was made from.
const LOCK_ORIGIN: &str = ".lock-origin";

/// Which of the parts that are still open are filled in from the solution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill<'a> {
    /// All: the learner's code runs, as far as there is any.
    All,
    /// All but this step's: a check of it fails until it is written, and for no other reason.
    AllBut(&'a str),
    /// None: a `todo!` that is reached ends what reached it.
    Nothing,
}

/// Replaced files: their path in the repository, and their text.
pub type Overlay = BTreeMap<PathBuf, String>;

/// A mirror, ready to be built in.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Its top directory.
    pub root: PathBuf,
    repository: PathBuf,
    target: PathBuf,
    /// Paths as the compiler says them, and as the learner knows them.
    renamed: Vec<(PathBuf, PathBuf)>,
}

/// How much of a component is the learner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Yours {
    /// Steps none of whose parts is open.
    pub yours: usize,
    /// All its steps.
    pub steps: usize,
}

impl std::fmt::Display for Yours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} steps yours", self.yours, self.steps)
    }
}

/// How many of a chapter's steps the learner has written.
///
/// # Errors
/// If a file can't be read or its markers are damaged.
pub fn yours(course: &Course, chapter: &Chapter) -> anyhow::Result<Yours> {
    let mut yours = 0;
    for step in &chapter.steps {
        let (learner, _) = course.sources(step)?;
        if !learner.parts().any(|part| part.id.step == step.id && part.is_open()) {
            yours += 1;
        }
    }
    Ok(Yours { yours, steps: chapter.steps.len() })
}

impl Mirror {
    /// A mirror with the learner's `components` (`store`, `scheduler`, …) in place of the solution's.
    /// Parts that are still open are filled in from the solution, unless `only_mine`.
    ///
    /// # Errors
    /// If a component is unknown, or a learner's file can't be read or is damaged.
    pub fn prepare(course: &Course, components: &[String], only_mine: bool) -> anyhow::Result<Self> {
        let mut places: Vec<&Place> = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for component in components {
            let chapter = course.component(component)?;
            let place = chapter.steps.first().map(super::course::Step::place);
            let place = place.with_context(|| format!("chapter {} has no steps yet", chapter.name))?;
            if !places.contains(&place) {
                places.push(place);
                names.push(&chapter.component);
            }
        }
        let (name, fill) = (names.join("+"), if only_mine { Fill::Nothing } else { Fill::All });
        Self::of_places(course, &name, &places, fill)
    }

    /// A mirror with the learner's files of one crate, as `check` builds it.
    ///
    /// # Errors
    /// If a learner's file can't be read or is damaged.
    pub fn of_place(course: &Course, place: &Place, fill: Fill<'_>) -> anyhow::Result<Self> {
        let chapter = course.everything().find(|step| step.place() == place).and_then(|step| course.chapter_of(step));
        let name = match chapter {
            Some(chapter) if place.target == "steps" => chapter.component.clone(),
            _ => place.package.clone(),
        };
        Self::of_places(course, &name, &[place], fill)
    }

    fn of_places(course: &Course, name: &str, places: &[&Place], fill: Fill<'_>) -> anyhow::Result<Self> {
        let mut overlay = Overlay::new();
        let mut renamed = Vec::new();
        for step in course.everything().filter(|step| places.contains(&step.place())) {
            let path = step.solution_file();
            if overlay.contains_key(&path) {
                continue;
            }
            let (learner, solution) = course.sources(step)?;
            let filled = |id: &PartId| match fill {
                Fill::All => true,
                Fill::AllBut(step) => id.step != step,
                Fill::Nothing => false,
            };
            let text = learner.fill(&solution, filled).with_context(|| path.display().to_string())?;
            overlay.insert(path.clone(), text);
            renamed.push((path, step.learner_file()));
        }
        let name = if fill == Fill::Nothing { format!("{name}-only") } else { name.to_owned() };
        Ok(Self { renamed, ..Self::lay(&course.root, &name, overlay)? })
    }

    /// A mirror of the repository at `repository` with the files of `overlay` in place of its own.
    ///
    /// # Errors
    /// If it can't be written, or the workspace's manifest isn't what it used to be.
    pub fn lay(repository: &Path, name: &str, mut overlay: Overlay) -> anyhow::Result<Self> {
        let root = repository.join("target/mine").join(name);
        let build = build_metadata(name, &root);
        let manifest = fs::read_to_string(repository.join("Cargo.toml")).context("Cargo.toml")?;
        overlay.insert("Cargo.toml".into(), manifest_for(&manifest, &build)?);
        let target = target_dir(repository)?;
        let mirror = Self { root, repository: repository.to_owned(), target, renamed: vec![] };
        mirror.lay_directory(Path::new(""), &overlay)?;
        mirror.lay_lock(&build)?;
        Ok(mirror)
    }

    fn lay_directory(&self, relative: &Path, overlay: &Overlay) -> anyhow::Result<()> {
        let here = self.root.join(relative);
        real_directory(&here).with_context(|| here.display().to_string())?;
        let mut wanted: Vec<OsString> = Vec::new();
        let original = self.repository.join(relative);
        for entry in fs::read_dir(&original).with_context(|| original.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name();
            let path = relative.join(&name);
            let at_top = relative.as_os_str().is_empty();
            if (at_top && LEFT_OUT.iter().any(|left_out| name == *left_out)) || overlay.contains_key(&path) {
                continue;
            }
            let was_laid = entry.file_type()?.is_dir()
                && fs::symlink_metadata(here.join(&name)).is_ok_and(|metadata| metadata.is_dir());
            if was_laid || overlay.keys().any(|replaced| replaced.starts_with(&path)) {
                self.lay_directory(&path, overlay)?;
            } else {
                show(&self.repository.join(&path), &here.join(&name))?;
            }
            wanted.push(name);
        }
        for (path, text) in overlay.iter().filter(|(path, _)| path.parent() == Some(relative)) {
            let name = path.file_name().unwrap_or_default();
            write_if_changed(&here.join(name), text)?;
            wanted.push(name.to_owned());
        }
        if relative.as_os_str().is_empty() {
            wanted.extend(["Cargo.lock".into(), LOCK_ORIGIN.into(), PROGRAM.into(), format!("{PROGRAM}.new").into()]);
        }
        for entry in fs::read_dir(&here)? {
            let entry = entry?;
            if !wanted.contains(&entry.file_name()) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// The lock file, with this mirror's names in it. Cargo then drops what the mirror doesn't need, so
    /// it is written again only when the repository's own has changed.
    fn lay_lock(&self, build: &str) -> anyhow::Result<()> {
        let text = fs::read_to_string(self.repository.join("Cargo.lock")).context("Cargo.lock")?;
        let hash = format!("{:x}", Sha256::digest(&text));
        let origin = self.root.join(LOCK_ORIGIN);
        let lock = self.root.join("Cargo.lock");
        if !lock.exists() || fs::read_to_string(&origin).ok().as_deref() != Some(&hash) {
            fs::write(&lock, lock_for(&text, build)).with_context(|| lock.display().to_string())?;
            fs::write(&origin, hash).with_context(|| origin.display().to_string())?;
        }
        Ok(())
    }

    /// A cargo command in this mirror.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.arg(subcommand).arg("--manifest-path").arg(self.root.join("Cargo.toml"));
        command.arg("--target-dir").arg(&self.target).current_dir(&self.repository);
        clean_environment(&mut command);
        command
    }

    /// What the compiler or a panic says, with the learner's files called by their own names.
    pub fn in_learners_words(&self, text: &str) -> String {
        let top = format!("{}/", self.root.display());
        let mut text = text.replace(&top, "");
        for (said, known) in &self.renamed {
            text = text.replace(&*said.to_string_lossy(), &known.to_string_lossy());
        }
        text
    }

    /// The learner's file that the compiler calls `path`, if it is one of theirs.
    pub fn learners_file(&self, path: &Path) -> Option<&Path> {
        self.renamed.iter().find(|(said, _)| said == path).map(|(_, known)| known.as_path())
    }
}

/// The target directory of the repository, as cargo has it.
fn target_dir(repository: &Path) -> io::Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(path) => Ok(std::env::current_dir()?.join(path)),
        None => Ok(repository.join("target")),
    }
}

/// Takes away what `cargo run` put into our environment: build scripts would see a change in it, and
/// cargo would build for no reason.
pub fn clean_environment(command: &mut Command) {
    const OURS: [&str; 6] = [
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_LINKS",
        "CARGO_MANIFEST_PATH",
        "CARGO_PRIMARY_PACKAGE",
    ];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_BIN_EXE_") || OURS.contains(&&*text) {
            command.env_remove(&name);
        }
    }
}

/// The workspace's manifest for a mirror: only the solutions are members, and names and versions are
/// the mirror's own.
fn manifest_for(manifest: &str, build: &str) -> anyhow::Result<String> {
    let mut out = String::new();
    let (mut section, mut list, mut members, mut versions) = (String::new(), None, 0, 0);
    for line in manifest.lines() {
        let trimmed = line.trim();
        if let Some(key) = list {
            // Inside `members = [ … ]` or `default-members = [ … ]`.
            if key == "members" && (trimmed.starts_with("\"solutions/") || trimmed == "]") {
                out.push_str(&format!("{line}\n"));
            }
            list = (trimmed != "]").then_some(key);
            continue;
        }
        if trimmed.starts_with('[') {
            section = trimmed.to_owned();
        }
        match (section.as_str(), trimmed) {
            ("[workspace]", "members = [") => {
                members += 1;
                list = Some("members");
                out.push_str("members = [\n");
            }
            ("[workspace]", "default-members = [") => list = Some("default-members"),
            ("[workspace.package]", _) if trimmed.starts_with("version = ") => {
                versions += 1;
                let version = trimmed.trim_start_matches("version = ").trim_matches('"');
                out.push_str(&format!("version = \"{}\"\n", version_for(version, build)));
            }
            ("[package]", "name = \"kubesmith\"") => out.push_str(&format!("name = \"{PROGRAM}\"\n")),
            ("[package]", _) if trimmed.starts_with("default-run") => {}
            _ => out.push_str(&format!("{line}\n")),
        }
    }
    if members != 1 || versions != 1 {
        bail!("Cargo.toml: the workspace's `members = [` (one a line) and `version` can't be found");
    }
    Ok(out)
}

/// What tells the crates of the mirror called `name` at `root` from all others that are built into the
/// same target directory.
fn build_metadata(name: &str, root: &Path) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let place = format!("{:x}", Sha256::digest(root.as_os_str().as_encoded_bytes()));
    format!("mine.{plain}.{}", &place[..8])
}

/// A version with build metadata, which nobody compares.
fn version_for(version: &str, build: &str) -> String {
    format!("{version}+{build}")
}

/// The lock file with the mirror's names and versions for the workspace's own packages: those without
/// a source.
fn lock_for(lock: &str, build: &str) -> String {
    let own = |block: &str| block.starts_with("[[package]]") && !block.contains("\nsource = ");
    let rename = |line: &str| match line.strip_prefix("version = \"") {
        Some(version) => format!("version = \"{}\"", version_for(version.trim_end_matches('"'), build)),
        None if line == "name = \"kubesmith\"" => format!("name = \"{PROGRAM}\""),
        None => line.to_owned(),
    };
    let block = |block: &str| {
        if own(block) { block.lines().map(rename).collect::<Vec<_>>().join("\n") } else { block.to_owned() }
    };
    lock.trim_end().split("\n\n").map(block).collect::<Vec<_>>().join("\n\n") + "\n"
}

fn real_directory(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_dir()) {
        fs::remove_file(path)?;
    }
    fs::create_dir_all(path)
}

/// Makes `place` say what `original` says. A link does; but where a replaced file has been, a link to
/// an older file would look unchanged to cargo, which compares times. There a copy takes its place.
fn show(original: &Path, place: &Path) -> anyhow::Result<()> {
    if fs::symlink_metadata(place).is_ok_and(|metadata| metadata.is_file()) {
        let text = fs::read_to_string(original).with_context(|| original.display().to_string())?;
        return write_if_changed(place, &text);
    }
    link(original, place)
}

fn link(original: &Path, link: &Path) -> anyhow::Result<()> {
    if fs::read_link(link).is_ok_and(|target| target == original) {
        return Ok(());
    }
    remove(link)?;
    std::os::unix::fs::symlink(original, link).with_context(|| link.display().to_string())
}

/// Writes a file unless it already says the same; never through a link into the repository.
fn write_if_changed(path: &Path, text: &str) -> anyhow::Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        remove(path)?;
    }
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// Removes whatever is at `path`, without following links.
fn remove(path: &Path) -> anyhow::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[workspace]\nresolver = \"3\"\nmembers = [\n    \"solutions/0*\",\n    \"book\",\n]\n\
        default-members = [\n    \".\",\n]\n\n[workspace.package]\nversion = \"0.1.0\"\n\n[package]\n\
        name = \"kubesmith\"\ndefault-run = \"kubesmith\"\n";

    #[test]
    fn a_mirrors_manifest_has_the_solutions_alone_and_its_own_names() {
        let expected = "[workspace]\nresolver = \"3\"\nmembers = [\n    \"solutions/0*\",\n]\n\n\
            [workspace.package]\nversion = \"0.1.0+mine.store-proxy\"\n\n[package]\nname = \"kubesmith-mine\"\n";
        assert_eq!(manifest_for(MANIFEST, "mine.store-proxy").unwrap(), expected);
        assert!(manifest_for("[workspace]\n", "x").is_err());
    }

    #[test]
    fn a_mirrors_lock_renames_only_our_own() {
        let lock = "version = 4\n\n[[package]]\nname = \"kubesmith\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n\n\
            [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry\"\n";
        let expected = "version = 4\n\n[[package]]\nname = \"kubesmith-mine\"\nversion = \"0.1.0+mine.x\"\n\
            dependencies = [\n \"a\",\n]\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry\"\n";
        assert_eq!(lock_for(lock, "mine.x"), expected);
    }

    #[test]
    fn two_clones_mirrors_are_never_the_same() {
        let build = |name: &str, root: &str| build_metadata(name, Path::new(root));
        assert!(build("store+proxy", "/a").starts_with("mine.store-proxy."));
        assert_ne!(build("store", "/a"), build("store", "/b"));
    }

    fn repository() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        fs::create_dir_all(at("solutions/01-store/src/deep")).unwrap();
        fs::create_dir_all(at("book")).unwrap();
        fs::write(at("Cargo.toml"), MANIFEST).unwrap();
        fs::write(at("Cargo.lock"), "version = 4\n").unwrap();
        for file in ["lib.rs", "a.rs", "deep/b.rs"] {
            fs::write(at("solutions/01-store/src").join(file), format!("given {file}")).unwrap();
        }
        directory
    }

    #[test]
    fn a_mirror_shows_the_repository_with_some_files_replaced() {
        let directory = repository();
        let overlay = Overlay::from([("solutions/01-store/src/a.rs".into(), "mine".to_owned())]);
        let mirror = Mirror::lay(directory.path(), "store", overlay.clone()).unwrap();
        let read = |path: &str| fs::read_to_string(mirror.root.join("solutions/01-store/src").join(path)).unwrap();
        assert_eq!(
            (read("a.rs"), read("lib.rs"), read("deep/b.rs")),
            ("mine".to_owned(), "given lib.rs".to_owned(), "given deep/b.rs".to_owned())
        );
        assert!(!mirror.root.join("book").exists());
        let written = || fs::metadata(mirror.root.join("solutions/01-store/src/a.rs")).unwrap().modified().unwrap();
        let first = written();
        Mirror::lay(directory.path(), "store", overlay).unwrap();
        assert_eq!(written(), first, "unchanged files are not written again");
    }

    #[test]
    fn a_file_that_is_no_longer_replaced_looks_newer_than_what_was_built_from_it() {
        let directory = repository();
        let path = "solutions/01-store/src/a.rs";
        let mirror = Mirror::lay(directory.path(), "x", Overlay::from([(path.into(), "mine".into())])).unwrap();
        let changed = || fs::metadata(mirror.root.join(path)).unwrap().modified().unwrap();
        let before = changed();
        Mirror::lay(directory.path(), "x", Overlay::new()).unwrap();
        assert_eq!(fs::read_to_string(mirror.root.join(path)).unwrap(), "given a.rs");
        assert!(changed() >= before);
    }

    #[test]
    fn a_mirror_never_writes_into_the_repository() {
        let directory = repository();
        Mirror::lay(directory.path(), "x", Overlay::new()).unwrap();
        let path = "solutions/01-store/src/deep/b.rs";
        let mirror = Mirror::lay(directory.path(), "x", Overlay::from([(path.into(), "mine".into())])).unwrap();
        assert_eq!(fs::read_to_string(mirror.root.join(path)).unwrap(), "mine");
        assert_eq!(fs::read_to_string(directory.path().join(path)).unwrap(), "given deep/b.rs");
        Mirror::lay(directory.path(), "x", Overlay::new()).unwrap();
        assert_eq!(fs::read_to_string(mirror.root.join(path)).unwrap(), "given deep/b.rs");
    }
}
