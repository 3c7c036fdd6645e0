//! How a step's test explains itself when it fails.
//!
//! A learner meets these messages far more often than any page of the book, so a step's tests do not
//! end in a bare `assert_eq!`. They say what was expected, what came, and why it matters, and a test
//! that draws random cases says how to draw the same ones again:
//!
//! ```
//! use kubesmith_checks::{expect_eq, seeds, within};
//! use std::time::Duration;
//!
//! within(Duration::from_secs(5), || {
//!     for seed in seeds(3) {
//!         expect_eq(&(seed % 1), &0, &format!("seed {seed}: a remainder by one"), "One divides everything.");
//!     }
//! });
//! ```
//!
//! The runner (`cargo ks check`) adds the step, the invariant, the page in the book and the next hint.

use std::fmt::Debug;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc;
use std::time::Duration;

/// The environment variable by which `cargo ks check --seed N` replays one seed.
pub const SEED_VARIABLE: &str = "KUBESMITH_SEED";

/// Panics, in the learner's words, unless `got` equals `expected`.
///
/// `what` names the case ("watcher from revision 12"), `why` is one sentence about what goes wrong
/// in a cluster when this does.
#[track_caller]
pub fn expect_eq<T: PartialEq + Debug + ?Sized>(got: &T, expected: &T, what: &str, why: &str) {
    if got != expected {
        panic!("{what}\n    got       {got:?}\n    expected  {expected:?}\n{why}");
    }
}

/// Panics, in the learner's words, unless `holds`.
#[track_caller]
pub fn expect(holds: bool, what: &str, why: &str) {
    if !holds {
        panic!("{what}\n{why}");
    }
}

/// The seeds a randomised test runs: `KUBESMITH_SEED` alone when it is set, else 1 to `count`.
///
/// Seeds are the same in every run, so that a failure seen once is seen again.
pub fn seeds(count: u64) -> Vec<u64> {
    match std::env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (1..=count).collect(),
    }
}

/// Runs a test's body, and fails it if it has not ended within `limit`: a learner's loop that never
/// ends must not hang the check.
///
/// # Panics
/// With the body's own panic, or with a message that says the body never ended.
pub fn within<R: Send + 'static>(limit: Duration, body: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || {
        // The receiver is gone only when the limit has passed; the result interests nobody then.
        let _ = done.send(panic::catch_unwind(AssertUnwindSafe(body)));
    });
    match wait.recv_timeout(limit) {
        Ok(Ok(result)) => result,
        Ok(Err(cause)) => panic::resume_unwind(cause),
        Err(_) => panic!(
            "this has not ended after {limit:?}\nSomething waits for ever: a loop without an end, or a lock taken twice."
        ),
    }
}

/// A small deterministic random number generator (SplitMix64), so that a seed means the same case on
/// every machine and in every version of every library.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator whose every number follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, any of 2⁶⁴.
    #[allow(clippy::should_implement_trait, reason = "numbers without end: nobody iterates over them")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hang_becomes_a_message() {
        let cause = panic::catch_unwind(|| {
            within(Duration::from_millis(20), || {
                loop {
                    std::thread::park()
                }
            })
        })
        .unwrap_err();
        assert!(cause.downcast_ref::<String>().unwrap().starts_with("this has not ended"));
    }

    #[test]
    fn a_panic_inside_comes_out() {
        let cause = panic::catch_unwind(|| within(Duration::from_secs(5), || panic!("step 1.1"))).unwrap_err();
        assert_eq!(*cause.downcast_ref::<&str>().unwrap(), "step 1.1");
    }

    #[test]
    fn a_seed_means_the_same_numbers() {
        let draw = |seed| {
            let mut r = Rng::new(seed);
            [r.next(), r.next()]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
