//! `dev zoo`: the proof that every plausible mistake is caught by the test it names.

use anyhow::bail;

use crate::learn::course::Course;
use crate::learn::screen::{Screen, count};
use crate::learn::zoo::{Animal, animals};

/// Hunts every animal, or those that `name` chooses, and prints a table. True if all are caught.
///
/// # Errors
/// If the zoo can't be read, or `name` names nothing.
pub fn run(course: &Course, name: Option<&str>, screen: Screen) -> anyhow::Result<bool> {
    let chosen =
        |animal: &Animal| name.is_none_or(|name| animal.name == name || animal.chapter == chapter(course, name));
    let animals: Vec<Animal> = animals(&course.root)?.into_iter().filter(chosen).collect();
    if animals.is_empty()
        && let Some(name) = name
    {
        bail!("the zoo has no `{name}`");
    }
    let mut escaped = 0;
    for animal in &animals {
        screen.passing(&format!("  hunting {}", animal.name));
        let verdict = match animal.hunt(course, screen) {
            Ok(trial) if trial.failure.is_some() => Ok(screen.green("caught")),
            Ok(_) => Err(format!("survives {}", animal.caught_by)),
            Err(error) => Err(format!("{error:#}")),
        };
        screen.settled();
        let what = format!("{}/{}", animal.chapter, animal.name);
        match verdict {
            Ok(verdict) => println!("  {} {:<5} {what:<44} {verdict}", screen.green("✓"), animal.step),
            Err(why) => {
                escaped += 1;
                println!("  {} {:<5} {what:<44} {}", screen.red("✗"), animal.step, screen.red(&why));
            }
        }
    }
    let all = count(animals.len(), "animal");
    println!(
        "\n{}",
        if escaped == 0 { format!("{all}, all caught") } else { format!("{escaped} of {all} not caught") }
    );
    Ok(escaped == 0)
}

/// The directory's name of the chapter called `name` (`1`, `store`).
fn chapter<'a>(course: &'a Course, name: &'a str) -> &'a str {
    course.component(name).map_or(name, |chapter| &chapter.name)
}
