//! What happens when a learner's `todo!` is reached in a running cluster: that component ends, in one
//! sentence that names the step, and the rest of the cluster goes on.

use std::collections::BTreeSet;
use std::panic::{self, PanicHookInfo};
use std::sync::Mutex;

/// The components, by their chapter's number.
const COMPONENTS: [&str; 6] = ["store", "apiserver", "scheduler", "controllers", "kubelet", "proxy"];

/// How a component that runs alone ends when it reaches one.
pub const EXIT_CODE: u8 = 3;

/// From now on, a part that isn't written yet ends its component by `stop(component)`; any other
/// panic is logged.
pub fn watch(stop: impl Fn(&str) + Send + Sync + 'static) {
    let told = Mutex::new(BTreeSet::new());
    panic::set_hook(Box::new(move |info| match unwritten_step(info) {
        None => tracing::error!("{info}"),
        Some(step) => {
            let component = component(&step);
            let first = told.lock().is_ok_and(|mut told| told.insert(step.clone()));
            if first {
                println!("  {component:<16} ended: step {step} isn't written yet (cargo ks check {step})");
                if component == "store" {
                    println!("  {:<16} ended with it: the store is inside", "apiserver");
                }
            }
            stop(if component == "store" { "apiserver" } else { component });
        }
    }));
}

/// The step's number, if the panic is a part's `todo!("step 1.4: subscribe")`.
fn unwritten_step(info: &PanicHookInfo) -> Option<String> {
    step_in(info.payload_as_str()?)
}

fn step_in(message: &str) -> Option<String> {
    let (step, _) = message.strip_prefix("not yet implemented: step ")?.split_once(':')?;
    Some(step.to_owned())
}

fn component(step: &str) -> &'static str {
    let chapter = step.split('.').next().and_then(|number| number.parse::<usize>().ok());
    chapter.and_then(|number| COMPONENTS.get(number.checked_sub(1)?)).copied().unwrap_or("cluster")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_todo_names_its_step_and_component() {
        assert_eq!(step_in("not yet implemented: step 3.2: fits").as_deref(), Some("3.2"));
        assert_eq!(step_in("index out of bounds"), None);
        assert_eq!(component("3.2"), "scheduler");
        assert_eq!(component("9.1"), "cluster");
    }
}
