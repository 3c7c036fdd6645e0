//! The proof that the book holds together: it is built, and every link in what comes out is followed.
//!
//! Nothing is fetched: a link to another site is only looked at for one thing, that no page needs it to
//! be read (scripts, styles and pictures are all in the book).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use mdbook_driver::MDBook;

use super::pages::{Step, chapters};

/// A page of the built book.
#[derive(Default)]
struct Page {
    text: String,
    ids: BTreeSet<String>,
    links: Vec<Link>,
}

/// An `href` or a `src`.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    target: String,
    /// It is loaded with the page, and not followed by a reader.
    loaded: bool,
}

/// Everything that is wrong with the book of the repository at `root`.
///
/// # Errors
/// If it can't be built.
pub fn problems(root: &Path) -> anyhow::Result<Vec<String>> {
    let directory = tempfile::tempdir()?;
    let mut book: MDBook = super::load(root)?;
    book.config.build.build_dir = directory.path().to_owned();
    book.build()?;
    let pages = read_pages(directory.path())?;
    let mut problems = includes(root)?;
    for (path, page) in &pages {
        for link in &page.links {
            problems.extend(follow(directory.path(), &pages, path, link));
        }
        if page.text.contains("{{#") {
            problems.push(format!("{path}: something between {{{{#…}}}} was not filled in"));
        }
    }
    for (name, chapter) in chapters(root)? {
        let path = format!("ch{name}.html");
        let Some(page) = pages.get(&path) else {
            problems.push(format!("{path} isn't there, and chapters/{name} is described"));
            continue;
        };
        problems.extend(chapter.steps.iter().chain(&chapter.exercises).filter_map(|step| missing(&path, page, step)));
    }
    problems.extend(unlisted(root)?);
    Ok(problems)
}

/// What a chapter's page lacks of a step: the heading that the runner names, or its command.
fn missing(path: &str, page: &Page, step: &Step) -> Option<String> {
    let command = format!("cargo ks check {}", step.id);
    let names_it = page
        .text
        .match_indices(&command)
        .any(|(at, _)| !page.text[at + command.len()..].starts_with(|c: char| c.is_ascii_alphanumeric()));
    if !page.ids.contains(&step.anchor) {
        Some(format!("{path} has no #{}, where {} is explained", step.anchor, step.id))
    } else if !names_it {
        Some(format!("{path} never says `{command}`"))
    } else {
        None
    }
}

/// What is wrong with a link on the page `from`.
fn follow(directory: &Path, pages: &BTreeMap<String, Page>, from: &str, link: &Link) -> Option<String> {
    let target = link.target.as_str();
    if target.contains("://") || target.starts_with("//") {
        return link.loaded.then(|| format!("{from} loads {target}: the book must need no network"));
    }
    if target.is_empty() || target.starts_with("data:") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let path = path.split('?').next().unwrap_or(path);
    let page = if path.is_empty() { from.to_owned() } else { resolve(from, path) };
    if !directory.join(&page).exists() {
        return Some(format!("{from}: {target} isn't there"));
    }
    let anchor = anchor.filter(|anchor| !anchor.is_empty())?;
    let found = pages.get(&page).is_none_or(|page| page.ids.contains(anchor));
    (!found).then(|| format!("{from}: {page} has no #{anchor}"))
}

/// `path`, as seen from the page `from`, from the book's top.
fn resolve(from: &str, path: &str) -> String {
    let mut resolved = PathBuf::from(from);
    resolved.pop();
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Normal(name) => resolved.push(name),
            _ => {}
        }
    }
    resolved.to_string_lossy().into_owned()
}

fn read_pages(directory: &Path) -> anyhow::Result<BTreeMap<String, Page>> {
    let mut pages = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(relative) = waiting.pop() {
        for entry in fs::read_dir(directory.join(&relative))? {
            let entry = entry?;
            let path = relative.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "html") && !path.ends_with("404.html") {
                let text = fs::read_to_string(directory.join(&path))?;
                pages.insert(path.to_string_lossy().into_owned(), read_page(text));
            }
        }
    }
    Ok(pages)
}

fn read_page(text: String) -> Page {
    let mut page = Page::default();
    for tag in text.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
        let name = tag.split(char::is_whitespace).next().unwrap_or_default();
        page.ids.extend(attribute(tag, "id").or_else(|| attribute(tag, "name").filter(|_| name == "a")));
        let loaded = name == "link" || name == "script" || name == "img";
        let targets = [attribute(tag, "href"), attribute(tag, "src")].into_iter().flatten();
        page.links.extend(targets.map(|target| Link { target, loaded }));
    }
    page.text = text;
    page
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, after) = tag.split_once(&format!(" {name}=\""))?;
    after.split('"').next().map(|value| value.replace("&amp;", "&"))
}

/// Included pieces of code whose file or anchor isn't there: mdBook would leave an empty box.
fn includes(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    for page in sources(root)? {
        let text = fs::read_to_string(root.join("book/src").join(&page)).with_context(|| page.clone())?;
        for rest in text.split("{{#include ").skip(1) {
            let argument = rest.split("}}").next().unwrap_or_default().trim();
            let (file, piece) = argument.split_once(':').unwrap_or((argument, ""));
            let Ok(code) = fs::read_to_string(root.join("book/src").join(file)) else {
                problems.push(format!("{page}: {file} can't be included: it isn't there"));
                continue;
            };
            let named = piece.starts_with(|c: char| c.is_ascii_alphabetic());
            let marked = |mark: &str| code.lines().any(|line| line.trim_end().ends_with(&format!("{mark}: {piece}")));
            if named && !(marked("ANCHOR") && marked("ANCHOR_END")) {
                problems.push(format!("{page}: {file} has no `ANCHOR: {piece}` … `ANCHOR_END: {piece}`"));
            }
        }
    }
    Ok(problems)
}

/// Pages that exist and that no table of contents leads to.
fn unlisted(root: &Path) -> anyhow::Result<Vec<String>> {
    let summary = fs::read_to_string(root.join("book/src/SUMMARY.md"))?;
    let listed = |page: &String| page == "SUMMARY.md" || summary.contains(&format!("({page})"));
    Ok(sources(root)?
        .into_iter()
        .filter(|page| !listed(page))
        .map(|page| format!("SUMMARY.md doesn't list {page}"))
        .collect())
}

/// The book's own pages.
fn sources(root: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(root.join("book/src")).context("book/src")?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut pages: Vec<String> = names.filter(|name| name.ends_with(".md")).collect();
    pages.sort();
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_from_where_they_stand() {
        assert_eq!(resolve("a/b.html", "../c.html"), "c.html");
        assert_eq!(resolve("a/b.html", "./d/c.html"), "a/d/c.html");
    }

    #[test]
    fn broken_links_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let page = "<h1 id=\"one\"></h1><a href=\"#one\"></a><a href=\"b.html#x\"></a><a href=\"c.html\"></a>\
            <script src=\"https://cdn/x.js\"></script><a href=\"https://example.com\"></a>";
        fs::write(directory.path().join("a.html"), page).unwrap();
        fs::write(directory.path().join("b.html"), "<p id=\"y\">").unwrap();
        let pages = read_pages(directory.path()).unwrap();
        let links = &pages["a.html"].links;
        let problems: Vec<String> =
            links.iter().filter_map(|link| follow(directory.path(), &pages, "a.html", link)).collect();
        assert_eq!(
            problems,
            [
                "a.html: b.html has no #x",
                "a.html: c.html isn't there",
                "a.html loads https://cdn/x.js: the book must need no network"
            ]
        );
    }
}
