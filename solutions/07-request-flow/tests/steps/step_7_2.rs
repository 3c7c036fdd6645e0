//! 7.2: printing the server's tables.

use std::time::Duration;

use kubesmith_checks::{Rng, expect_eq, seeds, within};
use kubesmith_request_flow::table::{Column, Print, Row, Table, cell, print, shown};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(10);

fn pods() -> Table {
    let table = json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1",
        "columnDefinitions": [
            {"name": "Name", "type": "string", "format": "name", "priority": 0},
            {"name": "Ready", "type": "string", "priority": 0},
            {"name": "Restarts", "type": "string", "priority": 0},
            {"name": "Age", "type": "string", "priority": 0},
            {"name": "Node", "type": "string", "priority": 1},
        ],
        "rows": [
            {"cells": ["web-5d8c-hx2ql", "1/1", "0", "5m", "node-1"], "object": {"metadata": {"namespace": "default"}}},
            {"cells": ["db-0", "0/1", "3 (2m ago)", "1h", "node-2"], "object": {"metadata": {"namespace": "a"}}},
        ],
    });
    serde_json::from_value(table).expect("a table")
}

fn lines(table: &Table, how: Print) -> Vec<String> {
    print(table, how).lines().map(str::to_owned).collect()
}

#[test]
fn columns_stand_under_their_headings() {
    within(LIMIT, || {
        let expected = [
            "NAME             READY   RESTARTS     AGE",
            "web-5d8c-hx2ql   1/1     0            5m",
            "db-0             0/1     3 (2m ago)   1h",
        ];
        let why = "A column is as wide as its widest cell and three blanks; nothing stands after the last.";
        expect_eq(&lines(&pods(), Print::default()), &expected.map(str::to_owned).to_vec(), "kubectl get pods", why);
    });
}

#[test]
fn less_important_columns_are_for_the_wide_output() {
    within(LIMIT, || {
        let wide = Print { wide: true, ..Print::default() };
        let why = "A priority above 0 means: only if somebody asks for more.";
        expect_eq(&shown(&pods(), Print::default()), &vec![0, 1, 2, 3], "the columns", why);
        expect_eq(&shown(&pods(), wide), &vec![0, 1, 2, 3, 4], "the columns with -o wide", why);
        let first = lines(&pods(), wide).first().cloned().unwrap_or_default();
        let expected = "NAME             READY   RESTARTS     AGE   NODE";
        expect_eq(first.as_str(), expected, "the headings with -o wide", why);
    });
}

#[test]
fn the_namespace_comes_first_when_there_are_many() {
    within(LIMIT, || {
        let expected = [
            "NAMESPACE   NAME             READY   RESTARTS     AGE",
            "default     web-5d8c-hx2ql   1/1     0            5m",
            "a           db-0             0/1     3 (2m ago)   1h",
        ];
        let how = Print { with_namespace: true, ..Print::default() };
        let why = "No column of the server's says it: it is in each row's object.";
        expect_eq(&lines(&pods(), how), &expected.map(str::to_owned).to_vec(), "kubectl get pods -A", why);
    });
}

#[test]
fn without_headings_only_the_rows_are_aligned() {
    within(LIMIT, || {
        let expected = ["web-5d8c-hx2ql   1/1   0            5m", "db-0             0/1   3 (2m ago)   1h"];
        let how = Print { no_headers: true, ..Print::default() };
        let why = "A heading that isn't printed takes no room either.";
        expect_eq(&lines(&pods(), how), &expected.map(str::to_owned).to_vec(), "--no-headers", why);
    });
}

#[test]
fn a_narrow_column_is_still_six_wide() {
    within(LIMIT, || {
        let table = table(&["A", "B"], vec![vec![json!(1), json!("x")]]);
        let expected = vec!["A     B".to_owned(), "1     x".to_owned()];
        expect_eq(
            &lines(&table, Print::default()),
            &expected,
            "two columns of one letter",
            "So has kubectl always printed them.",
        );
        let table = self::table(&["ÄÖÜ", "B"], vec![vec![json!(1), json!("x")]]);
        let expected = vec!["ÄÖÜ   B".to_owned(), "1     x".to_owned()];
        let why = "Three letters and three blanks are six, however many bytes the letters take.";
        expect_eq(&lines(&table, Print::default()), &expected, "a heading with umlauts", why);
    });
}

#[test]
fn an_empty_table_prints_nothing() {
    within(LIMIT, || {
        let why = "Headings over nothing look like an answer; `No resources found` is said elsewhere.";
        expect_eq(print(&table(&["Name"], vec![]), Print::default()).as_str(), "", "no rows", why);
    });
}

#[test]
fn a_cell_is_one_line_and_moves_no_cursor() {
    within(LIMIT, || {
        let why = "Whoever may write a label must not be able to write on your terminal.";
        expect_eq(cell(&json!("a\u{1b}[31mred")).as_str(), "a^[[31mred", "an escape character", why);
        let why = "A line break would end the row; that there is more is said.";
        for text in ["one\ntwo", "one\r\ntwo", "one\u{c}", "one\n"] {
            expect_eq(cell(&json!(text)).as_str(), "one...", &format!("{text:?}"), why);
        }
        let why = "null is nothing known, and the word would look like something.";
        expect_eq(cell(&Value::Null).as_str(), "", "null", why);
        for (value, text) in [(json!(3), "3"), (json!(true), "true"), (json!(0.5), "0.5"), (json!("<none>"), "<none>")]
        {
            expect_eq(cell(&value).as_str(), text, &format!("{value}"), "Anything else is what it is.");
        }
    });
}

#[test]
fn a_row_with_too_few_or_too_many_cells_harms_nobody() {
    within(LIMIT, || {
        let rows = vec![vec![json!("a")], vec![json!("b"), json!("c"), json!("d")]];
        let expected: Vec<String> = ["NAME   X", "a      ", "b      c"].map(str::to_owned).to_vec();
        let why = "The columns are what the definitions say; a server that is wrong must not make a client panic.";
        expect_eq(&lines(&table(&["Name", "X"], rows), Print::default()), &expected, "one cell, and three", why);
    });
}

#[test]
fn every_column_begins_at_one_place_in_all_lines() {
    within(LIMIT, || {
        for seed in seeds(200) {
            let mut rng = Rng::new(seed);
            let width = 1 + rng.below(5) as usize;
            let names: Vec<String> = (0..width).map(|_| word(&mut rng)).collect();
            let rows = (0..1 + rng.below(6)).map(|_| (0..width).map(|_| json!(word(&mut rng))).collect()).collect();
            let table = table(&names.iter().map(String::as_str).collect::<Vec<_>>(), rows);
            let starts: Vec<Vec<usize>> = lines(&table, Print::default()).iter().map(|line| starts(line)).collect();
            let first = starts.first().cloned().unwrap_or_default();
            for (row, starts) in starts.iter().enumerate() {
                let what = format!("seed {seed}: where the words of line {row} begin, as in the headings");
                expect_eq(starts, &first, &what, "Characters are counted, not bytes: ü is one.");
            }
        }
    });
}

/// A word of letters, some of which take more than a byte.
fn word(rng: &mut Rng) -> String {
    (0..1 + rng.below(9)).map(|_| *rng.pick(&['a', 'b', 'é', 'ü', '水'])).collect()
}

/// Where the words of a line begin, in characters.
fn starts(line: &str) -> Vec<usize> {
    let characters: Vec<char> = line.chars().collect();
    let begins = |place: &usize| characters[*place] != ' ' && (*place == 0 || characters[place - 1] == ' ');
    (0..characters.len()).filter(begins).collect()
}

fn table(columns: &[&str], rows: Vec<Vec<Value>>) -> Table {
    Table {
        column_definitions: columns.iter().map(|name| Column { name: (*name).to_owned(), priority: 0 }).collect(),
        rows: rows.into_iter().map(|cells| Row { cells, object: Value::Null }).collect(),
    }
}
