//! Where am I, what is next: the bare `cargo ks`, `list` and `hint`.

use super::check::next_step;
use super::course::{Chapter, Course, Step};
use super::progress::Progress;
use super::screen::{Screen, count, duration};

/// How wide a title is before what stands to its right.
const TITLE: usize = 44;

struct Sum {
    done: usize,
    all: usize,
    minutes: u32,
}

fn sum<'a>(steps: impl Iterator<Item = &'a Step>, progress: &Progress) -> Sum {
    steps.fold(Sum { done: 0, all: 0, minutes: 0 }, |sum, step| {
        let solved = progress.is_solved(&step.id);
        let minutes = if solved { 0 } else { step.minutes };
        Sum { done: sum.done + usize::from(solved), all: sum.all + 1, minutes: sum.minutes + minutes }
    })
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} done", self.done, self.all)?;
        if self.minutes > 0 {
            write!(f, "  {} left", duration(self.minutes))?;
        }
        Ok(())
    }
}

/// Shows every chapter on a line, and the next step.
pub fn overview(course: &Course, progress: &Progress, screen: Screen) {
    println!("{}: build your own Kubernetes, one component at a time.\n", screen.bold("Kubesmith"));
    for chapter in &course.chapters {
        println!("  {}", chapter_line(chapter, progress, screen));
    }
    println!();
    show_next(course, progress, None, screen);
    let command = |text| screen.command(text);
    println!("\n{}   the whole cluster, to try      {}   every step", command("cargo ks up"), command("cargo ks list"));
    println!(
        "{} the book                       {}   all commands",
        command("cargo ks book"),
        command("cargo ks --help")
    );
}

fn chapter_line(chapter: &Chapter, progress: &Progress, screen: Screen) -> String {
    let title = format!("{:<TITLE$}", format!("{}  {}", chapter.chapter.trim_start_matches('0'), chapter.title));
    format!("{}{}", screen.bold(&title), sum(chapter.everything(), progress))
}

/// Says what to do next, after the step called `after`.
pub fn show_next(course: &Course, progress: &Progress, after: Option<&str>, screen: Screen) {
    let Some(step) = next_step(course, progress, after) else {
        if course.chapters.is_empty() {
            println!("there are no chapters here yet");
        } else {
            println!("{}", screen.green("Everything is solved: the whole cluster is yours."));
            let all: Vec<&str> = course.chapters.iter().map(|chapter| chapter.component.as_str()).collect();
            println!("{}", screen.command(&format!("cargo ks up --only-mine --mine {}", all.join(","))));
        }
        return;
    };
    println!(
        "next: {}  {} {}",
        screen.bold(&format!("{} {}", step.kind(), step.id)),
        step.title,
        screen.dim(&format!("· {}", duration(step.minutes)))
    );
    println!("      read   {} in the book ({})", step.page(), screen.command("cargo ks book"));
    println!("      write  {} in {}", step.functions.join(", "), step.learner_file().display());
    println!("      check  {}", screen.command(&format!("cargo ks check {}", step.id)));
}

/// Shows every step and exercise: done or not, and its minutes.
pub fn list(course: &Course, progress: &Progress, screen: Screen) {
    for chapter in &course.chapters {
        println!("{}", chapter_line(chapter, progress, screen));
        println!("  {}", screen.dim(&chapter.intro));
        for step in chapter.everything() {
            let mark = if progress.is_solved(&step.id) { screen.green("✓") } else { "·".to_owned() };
            let what = if step.kind() == "exercise" { "  exercise" } else { "" };
            let title = format!("{:<width$}", step.title, width = TITLE - 10);
            println!("  {mark} {:<5} {title} {:>6}{}", step.id, duration(step.minutes), screen.dim(what));
        }
        println!();
    }
    println!("{}{}", screen.bold(&format!("{:<TITLE$}", "all")), sum(course.everything(), progress));
}

/// Shows the hints given so far and the next one, and remembers that.
///
/// # Errors
/// If the progress can't be written.
pub fn hint(step: &Step, progress: &mut Progress, screen: Screen) -> anyhow::Result<()> {
    let shown = (progress.of(&step.id).hints + 1).min(step.hints.len());
    println!("{}  {}\n", screen.bold(&format!("{} {}", step.kind(), step.id)), step.title);
    for (index, hint) in step.hints.iter().take(shown).enumerate() {
        println!("  {}. {}\n", index + 1, hint.trim().replace('\n', "\n     "));
    }
    progress.update(&step.id, |record| record.hints = shown)?;
    match step.hints.len() - shown {
        0 => println!(
            "That was the last. {} puts the solution into your file; {} compares.",
            screen.command(&format!("cargo ks solve {}", step.id)),
            screen.command(&format!("cargo ks diff {}", step.id))
        ),
        left => println!("{} left.", count(left, "hint")),
    }
    Ok(())
}
