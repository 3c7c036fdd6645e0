//! The learning loop as a learner meets it: the program, in a copy of the repository.
//!
//! Only the store's crate is built, with the target directory of the test itself, so that nothing from
//! outside is built twice.

#![allow(clippy::unwrap_used)] // A test's unwrap is its assertion.

#[path = "support/learner.rs"]
mod learner;

use std::fs;
use std::process::Command;

use learner::{Clone, repository};

/// The files with steps in a chapter or among the exercises: the learner's, and the solution's.
fn step_files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for (learner, solution) in [("chapters", "solutions"), ("exercises", "solutions/exercises")] {
        for entry in fs::read_dir(repository().join(learner)).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            for file in fs::read_dir(entry.path().join("src")).into_iter().flatten().flatten() {
                let file = file.file_name().into_string().unwrap();
                if file != "lib.rs" && file.ends_with(".rs") {
                    files.push((format!("{learner}/{name}/src/{file}"), format!("{solution}/{name}/src/{file}")));
                }
            }
        }
    }
    files
}

/// The numbers of all steps and exercises, from `list`.
fn ids(clone: &Clone) -> Vec<String> {
    let list = clone.ks(&["list"]);
    list.green(&[]);
    let lines = list.text.lines().filter_map(|line| line.trim().strip_prefix('·'));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn starters_are_what_the_solutions_make_them() {
    let clone = Clone::new("starters");
    clone.ks(&["dev", "starters", "--check"]).green(&["are what the solutions make them"]);
    clone.edit("chapters/01-store/src/revision.rs", "todo!(\"step 1.1: put\")", "unreachable!()");
    clone.ks(&["dev", "starters", "--check"]).red(&["chapters/01-store/src/revision.rs"]);
    clone.ks(&["dev", "starters"]).red(&["`step 1.1: put` is written", "--force"]);
    assert!(clone.read("chapters/01-store/src/revision.rs").contains("unreachable!()"));
    clone.ks(&["dev", "starters", "--force"]).green(&["chapters/01-store/src/revision.rs"]);
    clone.ks(&["dev", "starters", "--check"]).green(&[]);
}

#[test]
fn solving_everything_makes_the_solution_and_resetting_it_the_starter() {
    let clone = Clone::new("round-trip");
    let ids = ids(&clone);
    assert!(ids.len() >= 7, "{ids:?}");
    for id in &ids {
        clone.ks(&["solve", id]).green(&["has the solution of"]);
        clone.ks(&["diff", id]).green(&["your part is the solution's"]);
    }
    for (learner, solution) in step_files() {
        assert_eq!(clone.read(&learner), clone.read(&solution), "{learner}");
    }
    for id in &ids {
        clone.ks(&["reset", id]).green(&["is as it was at the start", "is kept in"]);
    }
    clone.ks(&["dev", "starters", "--check"]).green(&[]);
}

#[test]
fn damaged_markers_are_named_and_come_back_without_loss() {
    let clone = Clone::new("damage");
    let file = "chapters/01-store/src/txn.rs";
    clone.ks(&["solve", "1.3"]).green(&[]);
    clone.edit(file, "// <<< step 1.3: holds", "");
    for command in ["check", "solve", "diff"] {
        clone.ks(&[command, "1.3"]).red(&[file, "step 1.3: holds", "cargo ks reset 1.3"]);
    }
    let damaged = clone.read(file);
    clone.ks(&["reset", "1.3"]).green(&["written anew", "txn.rs.bak"]);
    assert_eq!(clone.read("chapters/01-store/src/txn.rs.bak"), damaged);
    clone.ks(&["diff", "1.3"]).green(&["todo!(\"step 1.3: holds\")"]);
    fs::remove_file(clone.root.join(file)).unwrap();
    clone.ks(&["check", "1.3"]).red(&[file, "cargo ks reset 1.3"]);
    clone.ks(&["reset", "1.3"]).green(&[]);
    clone.ks(&["dev", "starters", "--check"]).green(&[]);
}

#[test]
fn hints_come_one_by_one_and_progress_outlives_an_update() {
    let clone = Clone::new("hints");
    fs::write(clone.root.join(".progress.yaml"), "steps: {'99.9': {solved: true}, '1.1': {solved: true}}\n").unwrap();
    clone.ks(&[]).green(&["next: step 1.2", "cargo ks check 1.2"]);
    let first = clone.ks(&["hint"]);
    first.green(&["step 1.2", "  1. ", "2 hints left"]);
    assert!(!first.text.contains("  2. "));
    clone.ks(&["hint", "1.2"]).green(&["  2. ", "1 hint left"]);
    clone.ks(&["hint"]).green(&["  3. ", "cargo ks solve 1.2"]);
    assert!(clone.read(".progress.yaml").contains("99.9"));
    clone.ks(&["list"]).green(&["✓ 1.1"]);
    fs::write(clone.root.join(".progress.yaml"), "steps: [").unwrap();
    clone.ks(&["list"]).red(&[".progress.yaml", "delete it"]);
}

#[test]
fn what_is_not_there_is_said() {
    let clone = Clone::new("words");
    clone.ks(&["check", "9.9"]).red(&["there is no step 9.9", "cargo ks list"]);
    clone.ks(&["break", "no-such-animal"]).red(&["no-such-animal", "cargo ks break --list"]);
    clone.ks(&["break", "--list"]).green(&["one-too-late", "1.4"]);
    let snapshot = "solutions/exercises/01-store/tests/exercises/snapshots/exercises__exercise_1_a__deployment.snap";
    clone.edit(snapshot, "Running", "running");
    clone.ks(&["check", "1.a"]).red(&[snapshot, "git checkout --"]);
    let elsewhere =
        Command::new(assert_cmd::cargo::cargo_bin!("kubesmith")).current_dir(std::env::temp_dir()).output().unwrap();
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("isn't inside a clone"));
}

#[test]
fn a_step_goes_from_red_to_green() {
    let clone = Clone::new("loop");
    let file = "chapters/01-store/src/txn.rs";

    // The first check is red, says that it should be, and where to go from there.
    let open =
        ["`step` isn't written yet (chapters/01-store/src/txn.rs:", "invariant  ", "ch01-store#", "cargo ks hint 1.3"];
    clone.ks(&["check", "1.3"]).red(&open).says(&["fail (expected: you haven't written it yet)", "✗ "]);
    clone.ks(&["check", "1.3"]).red(&open).says(&["(still to write: step, holds, perform, refuse_duplicates)"]);

    // A compiler error is at the learner's own line.
    let line = 1 + clone.read(file).lines().position(|line| line.contains("todo!(\"step 1.3: step\")")).unwrap();
    clone.edit(file, "todo!(\"step 1.3: step\")", "let succeeded: bool = 1; todo!()");
    clone.ks(&["check", "1.3"]).red(&["doesn't compile yet", &format!("{file}:{line}:"), "mismatched types"]);
    // Another step is told whose part that is.
    clone.ks(&["check", "1.1"]).red(&["`step 1.3: step` doesn't compile either", "cargo ks reset 1.3"]);

    // A wrong solution is told what was expected and what came, and a panic where it was.
    clone.ks(&["solve", "1.3"]).green(&["is kept in"]);
    clone.edit(
        file,
        "        let mut write = self.write();",
        "        println!(\"I was here\"); let mut write = self.write();",
    );
    clone.edit(file, "refuse_duplicates(&txn.failure)?;", "");
    clone.ks(&["check", "1.3"]).red(&["1 of 8 tests fails", "✗ ", "got ", "expected ", "invariant"]);
    clone.edit(file, "refuse_duplicates(&txn.success)?;", "let none: Vec<u8> = vec![]; let _ = none[0];");
    clone.ks(&["check", "1.3"]).red(&["stopped at chapters/01-store/src/txn.rs:", "index out of bounds"]);

    // Solved: green, remembered, and what is next. Nothing else was asked for.
    clone.ks(&["solve", "1.3"]).green(&[]);
    clone.ks(&["check", "1.3"]).green(&["✓ all 8 tests pass", "next: step 1.4"]);
    clone.ks(&["list"]).green(&["✓ 1.3"]);
    clone.ks(&["check"]).red(&["step 1.1"]);
    // With nothing filled in, another step's `todo!` is reached and named.
    clone.ks(&["check", "1.3", "--only-mine"]).red(&["this needs `step 1.1: "]);
}

#[test]
fn a_mistake_is_caught_by_its_test_and_shown_afterwards() {
    let clone = Clone::new("loop-zoo");
    let said = clone.ks(&["break", "one-too-late"]);
    said.green(&["Predict:", "✗ list then watch", "got ", "The mistake:", "+++ b/solutions/01-store/src/watch.rs"]);
    assert!(said.text.find("Predict:") < said.text.find("The mistake:"), "{}", said.text);
    clone.ks(&["dev", "zoo", "one-too-late"]).green(&["1 animal, all caught"]);
    // An animal that is no mistake at all survives, and that is a failure.
    let patch = "tests/zoo/01-store/one-too-late.patch";
    clone.edit(patch, "history.since(from + 1)", "history.since(from + 0)");
    clone.ks(&["dev", "zoo", "one-too-late"]).red(&["survives"]);
    clone.edit(patch, "let range = KeyRange", "let ranges = KeyRange");
    clone.ks(&["dev", "zoo", "one-too-late"]).red(&["doesn't fit"]);
}
