//! The book, built and checked by a program of the repository: nothing needs to be installed beforehand.
//!
//! The text is plain mdBook. Two things are added: [`pages`] fills in what `chapter.yaml` and the zoo
//! describe, so that the book never says anything else than the runner; [`check`] proves that every
//! link, anchor and included piece of code is there.

mod check;
mod pages;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use mdbook_driver::MDBook;

/// Builds or checks Kubesmith's book.
#[derive(Parser)]
#[command(name = "kubesmith-book")]
enum Command {
    /// Write book/book/index.html and what belongs to it
    Build,
    /// Prove that every link, anchor, step and included file of the book is there
    Check,
}

fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Build => {
            load(&repository())?.build()?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check => {
            let problems = check::problems(&repository())?;
            for problem in &problems {
                println!("{problem}");
            }
            if problems.is_empty() {
                println!("the book holds together");
            }
            Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// The repository's top: this crate lies in its `book/`.
fn repository() -> std::path::PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The book of the repository at `root`, with the pages' own directives.
fn load(root: &Path) -> anyhow::Result<MDBook> {
    let mut book = MDBook::load(root.join("book")).context("book/")?;
    book.with_preprocessor(pages::Pages::new(root)?);
    Ok(book)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_book_holds_together() {
        let problems = super::check::problems(&super::repository()).unwrap();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}
