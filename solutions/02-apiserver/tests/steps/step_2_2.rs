//! Step 2.2, which objects are meant: label selectors.

use std::collections::BTreeMap;

use kubesmith_apiserver::selector::LabelSelector;
use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};

use crate::LIMIT;

type Labels<'a> = BTreeMap<&'a str, &'a str>;

fn selects(selector: &str, labels: &Labels<'_>) -> bool {
    match LabelSelector::parse(selector) {
        Ok(parsed) => parsed.matches(|name| labels.get(name).copied()),
        Err(why) => panic!("the selector {selector:?} is fine, and was refused: {why}"),
    }
}

fn check(selector: &str, yes: &[&[(&str, &str)]], no: &[&[(&str, &str)]], why: &str) {
    for (objects, expected) in [(yes, true), (no, false)] {
        for labels in objects {
            let labels: Labels<'_> = labels.iter().copied().collect();
            let what = format!("does {selector:?} select an object with labels {labels:?}?");
            expect_eq(&selects(selector, &labels), &expected, &what, why);
        }
    }
}

const WEB: &[(&str, &str)] = &[("app", "web")];
const SHOP: &[(&str, &str)] = &[("app", "shop"), ("tier", "front")];
const EMPTY: &[(&str, &str)] = &[("app", "")];
const NONE: &[(&str, &str)] = &[];

#[test]
fn equal_and_not_equal() {
    within(LIMIT, || {
        let why = "A Service that selects too much sends its clients to somebody else's pods.";
        check("app=web", &[WEB], &[SHOP, EMPTY, NONE], why);
        check("app==web", &[WEB], &[SHOP, EMPTY, NONE], why);
        check("app=", &[EMPTY], &[WEB, NONE], why);
        let why = "Who isn't labelled at all isn't labelled so: `!=` selects it.";
        check("app!=web", &[SHOP, EMPTY, NONE], &[WEB], why);
        check("tier!=back", &[WEB, SHOP, NONE], &[], why);
    });
}

#[test]
fn one_of_several_or_none_of_them() {
    within(LIMIT, || {
        let why = "A set of values is what one `=` can't say; its opposite holds for whoever has no such label.";
        check("app in (web, shop)", &[WEB, SHOP], &[EMPTY, NONE], why);
        check("app notin (web,shop)", &[EMPTY, NONE], &[WEB, SHOP], why);
        check("app in (web,)", &[WEB, EMPTY], &[SHOP, NONE], why);
        check("app in ()", &[EMPTY], &[WEB, NONE], why);
        let keyword: &[(&str, &str)] = &[("in", "in")];
        check("in in (in)", &[keyword], &[NONE], "`in` is a word like any other where a key or a value stands.");
    });
}

#[test]
fn there_or_not_there() {
    within(LIMIT, || {
        let why = "A label without a value is there, too.";
        check("tier", &[SHOP], &[WEB, NONE], why);
        check("app", &[WEB, SHOP, EMPTY], &[NONE], why);
        check("!tier", &[WEB, NONE], &[SHOP], why);
    });
}

#[test]
fn numbers_are_compared_as_numbers() {
    within(LIMIT, || {
        let (nine, ten, text): (&[_], &[_], &[_]) = (&[("n", "9")], &[("n", "10")], &[("n", "many")]);
        let why = "As texts, 9 is above 10; and what isn't a number is neither above nor below one.";
        check("n>9", &[ten], &[nine, text, NONE], why);
        check("n<10", &[nine], &[ten, text, NONE], why);
    });
}

#[test]
fn all_requirements_must_hold_and_none_select_everything() {
    within(LIMIT, || {
        let why = "The commas are ands. Without any requirement, none can fail.";
        check("app=shop,tier=front", &[SHOP], &[WEB, NONE], why);
        check("app,!tier , app!=shop", &[WEB], &[SHOP, NONE], why);
        check("", &[WEB, SHOP, NONE], &[], why);
    });
}

#[test]
fn what_is_no_selector_is_refused_in_words_that_say_where() {
    within(LIMIT, || {
        for (selector, expected) in [
            ("a in", "unable to parse requirement: found '' expected: '('"),
            ("a,", "found '', expected: identifier after ','"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            (",a", "found ',', expected: !, identifier, or 'end of string'"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("!a=b", "found '=', expected: ',' or 'end of string'"),
            ("!a in (b)", "found 'in', expected: ',' or 'end of string'"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ] {
            let got = LabelSelector::parse(selector).map(|parsed| format!("{parsed:?}"));
            expect_eq(
                &got,
                &Err(expected.to_owned()),
                &format!("the selector {selector:?}"),
                "A selector that is half understood selects too much. Refuse it, and say what is wrong.",
            );
        }
        for selector in ["a/b/c", "-a", "a-", "example.com/", "app in (web),ü"] {
            let got = LabelSelector::parse(selector).map(|parsed| format!("{parsed:?}"));
            expect(
                got.as_ref().is_err_and(|cause| cause.starts_with("unable to parse requirement: <nil>: Invalid value")),
                &format!("the selector {selector:?}, with a key that no label can have, gave {got:?}"),
                "It could only ever select nothing: a typo that nobody would notice.",
            );
        }
    });
}

/// A requirement as text, and whether it holds.
fn draw(rng: &mut Rng, labels: &Labels<'_>) -> (String, bool) {
    let key = *rng.pick(&["app", "tier", "n"]);
    let value = labels.get(key).copied();
    let (one, two) = (*rng.pick(&["", "web", "front", "7"]), *rng.pick(&["shop", "12"]));
    let listed = value == Some(one) || value == Some(two);
    match rng.below(6) {
        0 => (format!("{key}={one}"), value == Some(one)),
        1 => (format!("{key} != {one}"), value != Some(one)),
        2 => (format!("{key} in ({one},{two})"), listed),
        3 => (format!("{key} notin ( {one} , {two} )"), !listed),
        4 => (key.to_owned(), value.is_some()),
        _ => (format!("!{key}"), value.is_none()),
    }
}

#[test]
fn whatever_is_said_is_meant() {
    within(LIMIT, || {
        for seed in seeds(300) {
            let mut rng = Rng::new(seed);
            let mut labels = Labels::new();
            for (key, values) in [("app", ["web", "shop"]), ("tier", ["front", ""]), ("n", ["7", "12"])] {
                if rng.below(3) > 0 {
                    labels.insert(key, *rng.pick(&values));
                }
            }
            let count = rng.below(4);
            let drawn: Vec<(String, bool)> = (0..count).map(|_| draw(&mut rng, &labels)).collect();
            let selector = drawn.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(",");
            expect_eq(
                &selects(&selector, &labels),
                &drawn.iter().all(|(_, holds)| *holds),
                &format!("seed {seed}: does {selector:?} select an object with labels {labels:?}?"),
                "A list and the watch after it must agree on which objects are meant, or an object is lost between them.",
            );
        }
    });
}
