//! `dev starters`: what the learner gets, written from what the solution is.
//!
//! A learner's crate has the files with marked parts, each part replaced by a `todo!`; a `lib.rs` that
//! takes every other module from the solution by `#[path]`; and the solution's `Cargo.toml` under
//! another name. Nothing of it is written by hand, so nothing of it can drift.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::learn::course::{Course, Place, Step};
use crate::learn::parts::Source;
use crate::learn::snapshots;

/// Generated files: path in the repository, and text.
type Files = BTreeMap<PathBuf, String>;

/// Says which files aren't what [`write`] would write. True if there are none.
///
/// # Errors
/// If a solution can't be read.
pub fn check(course: &Course) -> anyhow::Result<bool> {
    let files = generate(course)?;
    let differs =
        |(path, text): &(&PathBuf, &String)| fs::read_to_string(course.root.join(path)).ok().as_ref() != Some(*text);
    let mut wrong: Vec<String> = files.iter().filter(differs).map(|(path, _)| path.display().to_string()).collect();
    wrong.extend(strays(course, &files)?.iter().map(|path| format!("{} (nothing writes it)", path.display())));
    if wrong.is_empty() {
        println!("{} starter files are what the solutions make them", files.len());
        return Ok(true);
    }
    println!("not what the solutions make them (`cargo ks dev starters` writes them):");
    for line in &wrong {
        println!("  {line}");
    }
    Ok(false)
}

/// Writes every starter file that isn't there as it should be. True if it could.
///
/// # Errors
/// If a solution can't be read, or a file holds somebody's work and `force` isn't given.
pub fn write(course: &Course, force: bool) -> anyhow::Result<bool> {
    let files = generate(course)?;
    if !force {
        refuse_to_overwrite(course)?;
    }
    for (path, text) in &files {
        let full = course.root.join(path);
        if fs::read_to_string(&full).ok().as_ref() == Some(text) {
            continue;
        }
        fs::create_dir_all(full.parent().unwrap_or(&course.root))?;
        fs::write(&full, text).with_context(|| path.display().to_string())?;
        println!("{}", path.display());
    }
    Ok(true)
}

/// A part that somebody has written is a learner's work: this command must not be how it is lost.
fn refuse_to_overwrite(course: &Course) -> anyhow::Result<()> {
    let mut checked = BTreeSet::new();
    for step in course.everything() {
        let file = step.learner_file();
        if !checked.insert(file.clone()) {
            continue;
        }
        let Ok(text) = fs::read_to_string(course.root.join(&file)) else { continue };
        let written = match Source::parse(&text) {
            Ok(source) => source.parts().find(|part| !part.is_open()).map(|part| format!("`{}` is written", part.id)),
            Err(damage) => Some(damage.to_string()),
        };
        if let Some(written) = written {
            bail!(
                "{}: {written}, and would be overwritten by the starter; --force does it all the same",
                file.display()
            );
        }
    }
    Ok(())
}

/// All that is generated.
fn generate(course: &Course) -> anyhow::Result<Files> {
    let mut files = Files::new();
    for chapter in &course.chapters {
        for place in chapter.places() {
            let steps: Vec<&Step> = chapter.everything().filter(|step| step.place() == place).collect();
            generate_crate(course, place, &steps, &mut files).with_context(|| place.solution.display().to_string())?;
        }
    }
    files.insert(snapshots::FILE.into(), snapshots::inventory(&course.root)?);
    Ok(files)
}

fn generate_crate(course: &Course, place: &Place, steps: &[&Step], files: &mut Files) -> anyhow::Result<()> {
    let mut own: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for step in steps {
        let solution = course.solution(step)?;
        if !solution.parts().any(|part| part.id.step == step.id) {
            bail!("{} has no part of {} {}", step.file.display(), step.kind(), step.id);
        }
        own.entry(module_of(&step.file)?).or_default().push(&step.id);
        files.insert(step.learner_file(), solution.blank(|_| true));
    }
    for (module, ids) in &own {
        let step = steps.iter().find(|step| step.id == ids[0]).context("a step")?;
        let solution = course.solution(step)?;
        let stranger = solution.parts().find(|part| !ids.contains(&part.id.step.as_str()));
        if let Some(part) = stranger {
            bail!("src/{module}.rs: chapter.yaml has no step for `{}`", part.id);
        }
    }
    refuse_undescribed(course, place, &own)?;
    let read = |file: &str| {
        let path = place.solution.join(file);
        fs::read_to_string(course.root.join(&path)).with_context(|| path.display().to_string())
    };
    let source = course.root.join(&place.solution).join("src");
    files.insert(place.learner.join("src/lib.rs"), lib(&read("src/lib.rs")?, place, &own, &source)?);
    let has = |file: &str| course.root.join(&place.solution).join(file).exists();
    let manifest = manifest(&read("Cargo.toml")?, place, has("build.rs"), has(&format!("tests/{}", place.target)));
    files.insert(place.learner.join("Cargo.toml"), manifest);
    Ok(())
}

/// A marked part in a file that no step names would be given to the learner with its solution in it.
fn refuse_undescribed(course: &Course, place: &Place, own: &BTreeMap<String, Vec<&str>>) -> anyhow::Result<()> {
    let directory = course.root.join(&place.solution).join("src");
    for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        let module = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_none_or(|extension| extension != "rs") || own.contains_key(&module) {
            continue;
        }
        let source = Source::parse(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())?;
        if let Some(part) = source.parts().next() {
            bail!("src/{module}.rs: chapter.yaml has no step for `{}`", part.id);
        }
    }
    Ok(())
}

/// The module that a step's file is: `revision` for `src/revision.rs`.
fn module_of(file: &Path) -> anyhow::Result<String> {
    let module = file.strip_prefix("src").ok().and_then(|name| name.to_str()?.strip_suffix(".rs"));
    match module {
        Some(module) if !module.contains('/') && module != "lib" => Ok(module.to_owned()),
        _ => bail!("{}: a step's file lies directly in src/ and isn't lib.rs", file.display()),
    }
}

/// The learner's `lib.rs`: the solution's, with every given module taken from there.
fn lib(solution: &str, place: &Place, own: &BTreeMap<String, Vec<&str>>, source: &Path) -> anyhow::Result<String> {
    let given = format!("../../../{}/src", place.solution.display());
    let mut out = format!(
        "// Written by `cargo ks dev starters` from {}/src/lib.rs.\n//\n// Yours, in this directory:\n",
        place.solution.display()
    );
    for (module, ids) in own {
        out.push_str(&format!("//   {:<20} {}\n", format!("{module}.rs"), ids.join(", ")));
    }
    out.push_str("// All other modules are given: they are the solution's, by their path.\n\n");
    out.push_str("#![allow(unused, missing_docs, clippy::all)]\n\n");
    for line in solution.lines() {
        match module_declared(line) {
            Some((visibility, module)) if !own.contains_key(module) => {
                out.push_str(&take_given(visibility, module, &given, source)?);
            }
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    Ok(out)
}

/// A declaration of the given `module`.
///
/// A file that is named by `#[path]` looks for its own modules beside itself. One that keeps them in a
/// directory of its name is therefore declared inside a module whose `#[path]` is the directory.
fn take_given(visibility: &str, module: &str, given: &str, source: &Path) -> anyhow::Result<String> {
    let in_directory = source.join(module).join("mod.rs").exists();
    let has_submodules = source.join(module).is_dir();
    if in_directory {
        Ok(format!("#[path = \"{given}/{module}/mod.rs\"]\n{visibility}mod {module};\n"))
    } else if !source.join(format!("{module}.rs")).exists() {
        bail!("src/lib.rs declares the module {module}, and there is no file for it");
    } else if has_submodules {
        Ok(format!(
            "#[path = \"{given}\"]\nmod given_{module} {{\n    use super::*;\n    pub mod {module};\n}}\n\
             {visibility}use given_{module}::{module};\n"
        ))
    } else {
        Ok(format!("#[path = \"{given}/{module}.rs\"]\n{visibility}mod {module};\n"))
    }
}

/// Reads `pub mod name;`: the visibility as written, with its blank, and the name.
fn module_declared(line: &str) -> Option<(&str, &str)> {
    let declaration = line.strip_suffix(';')?;
    let (visibility, name) = match declaration.strip_prefix("mod ") {
        Some(name) => ("", name),
        None => {
            let (visibility, name) = declaration.split_once(" mod ")?;
            (visibility.starts_with("pub")).then_some((&line[..visibility.len() + 1], name))?
        }
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then_some((visibility, name))
}

/// The learner's `Cargo.toml`: the solution's under another name, with the solution's tests.
fn manifest(solution: &str, place: &Place, has_build_script: bool, has_tests: bool) -> String {
    let mut out = format!("# Written by `cargo ks dev starters` from {}/Cargo.toml.\n", place.solution.display());
    let mut kept = true;
    for line in solution.lines() {
        if line.starts_with('[') {
            kept = !line.starts_with("[[") && line != "[lints]" && line != "[lib]";
        }
        if !kept {
            continue;
        }
        if *line == format!("name = \"{}\"", place.package) {
            out.push_str(&format!("name = \"{}-mine\"\npublish = false\n", place.package));
            if has_build_script {
                out.push_str(&format!("build = \"../../{}/build.rs\"\n", place.solution.display()));
            }
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    out.push_str(&format!("\n\n[lib]\nname = \"{}\"\n", place.package.replace('-', "_")));
    if has_tests {
        let (target, solution) = (place.target, place.solution.display());
        out.push_str(&format!("\n[[test]]\nname = \"{target}\"\npath = \"../../{solution}/tests/{target}/main.rs\"\n"));
    }
    out
}

/// Rust files in the learner's crates that nothing generates.
fn strays(course: &Course, files: &Files) -> anyhow::Result<Vec<PathBuf>> {
    let mut strays = Vec::new();
    for place in course.chapters.iter().flat_map(|chapter| chapter.places()) {
        let directory = place.learner.join("src");
        let Ok(entries) = fs::read_dir(course.root.join(&directory)) else { continue };
        for entry in entries {
            let path = directory.join(entry?.file_name());
            if path.extension().is_some_and(|extension| extension == "rs") && !files.contains_key(&path) {
                strays.push(path);
            }
        }
    }
    Ok(strays)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            learner: "chapters/01-store".into(),
            solution: "solutions/01-store".into(),
            package: "kubesmith-store".into(),
            target: "steps",
        }
    }

    #[test]
    fn module_declarations_are_told_from_everything_else() {
        assert_eq!(module_declared("mod a;"), Some(("", "a")));
        assert_eq!(module_declared("pub(crate) mod a_1;"), Some(("pub(crate) ", "a_1")));
        for line in ["use a::b;", "// mod a;", "mod a {", "    mod a;", "pub use mod a;x"] {
            assert_eq!(module_declared(line), None, "{line}");
        }
    }

    #[test]
    fn a_learners_lib_takes_the_given_from_the_solution() {
        let directory = tempfile::tempdir().unwrap();
        for file in ["yours.rs", "plain.rs", "deep.rs", "deep/x.rs", "folder/mod.rs"] {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let own = BTreeMap::from([("yours".to_owned(), vec!["1.1", "1.2"])]);
        let text = "//! Docs.\nmod yours;\nmod plain;\npub mod deep;\npub mod folder;\npub use plain::A;\n";
        let lib = lib(text, &place(), &own, directory.path()).unwrap();
        let given = "../../../solutions/01-store/src";
        for expected in [
            "//   yours.rs             1.1, 1.2\n".to_owned(),
            "//! Docs.\nmod yours;\n".to_owned(),
            format!("#[path = \"{given}/plain.rs\"]\nmod plain;\n"),
            format!("#[path = \"{given}\"]\nmod given_deep {{\n    use super::*;\n    pub mod deep;\n}}\n"),
            "pub use given_deep::deep;\n".to_owned(),
            format!("#[path = \"{given}/folder/mod.rs\"]\npub mod folder;\n"),
        ] {
            assert!(lib.contains(&expected), "{expected} isn't in\n{lib}");
        }
    }

    #[test]
    fn a_learners_manifest_is_the_solutions_under_another_name() {
        let solution = "[package]\nname = \"kubesmith-store\"\nversion.workspace = true\n\n[dependencies]\n\
            serde.workspace = true\n\n[[bench]]\nname = \"b\"\n\n[lints]\nworkspace = true\n";
        let expected = "# Written by `cargo ks dev starters` from solutions/01-store/Cargo.toml.\n[package]\n\
            name = \"kubesmith-store-mine\"\npublish = false\nversion.workspace = true\n\n[dependencies]\n\
            serde.workspace = true\n\n[lib]\nname = \"kubesmith_store\"\n\n[[test]]\nname = \"steps\"\n\
            path = \"../../solutions/01-store/tests/steps/main.rs\"\n";
        assert_eq!(manifest(solution, &place(), false, true), expected);
    }

    #[test]
    fn a_steps_file_is_flat() {
        assert_eq!(module_of(Path::new("src/revision.rs")).unwrap(), "revision");
        for file in ["src/lib.rs", "src/a/b.rs", "revision.rs", "src/x.txt"] {
            assert!(module_of(Path::new(file)).is_err(), "{file}");
        }
    }
}
