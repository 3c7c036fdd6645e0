//! A table from the server, as kubectl prints it.
//!
//! Asked for `application/json;as=Table;g=meta.k8s.io;v=v1`, an API server answers with columns and
//! cells instead of objects. So a client can print kinds that it has never heard of, custom ones too.
//! Upstream: `k8s.io/cli-runtime/pkg/printers/tableprinter.go`, and its tabwriter for the widths.

use serde::Deserialize;
use serde_json::Value;

/// How many blanks stand at least between two columns.
const PADDING: usize = 3;

/// How wide a column is at least, with its padding.
const MINIMUM: usize = 6;

/// `meta.k8s.io/v1` Table.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Table {
    /// What the columns are called.
    pub column_definitions: Vec<Column>,
    /// A row for each object.
    pub rows: Vec<Row>,
}

// ANCHOR: table
/// A column of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Column {
    /// Its heading, as it is written in the API: `Node`.
    pub name: String,
    /// 0 for what is always shown, more for what is shown only by `-o wide`.
    pub priority: i32,
}

/// A row of a table.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Row {
    /// A value for each column.
    pub cells: Vec<Value>,
    /// The object that the row is about; only its metadata, unless all of it was asked for.
    pub object: Value,
}
// ANCHOR_END: table

/// What of a table is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Print {
    /// All columns, not only the most important.
    pub wide: bool,
    /// Begin each row with its object's namespace.
    pub with_namespace: bool,
    /// Only the rows.
    pub no_headers: bool,
}

/// A table as aligned text: upper-case headings, then a line for each row; nothing at all for a table
/// without rows.
pub fn print(table: &Table, how: Print) -> String {
    // >>> step 7.2: print
    if table.rows.is_empty() {
        return String::new();
    }
    let columns = shown(table, how);
    let mut lines = Vec::new();
    if !how.no_headers {
        let headings = columns.iter().map(|column| table.column_definitions[*column].name.to_uppercase());
        let namespace = how.with_namespace.then(|| "NAMESPACE".to_owned());
        lines.push(namespace.into_iter().chain(headings).collect());
    }
    for row in &table.rows {
        let cells = columns.iter().map(|column| cell(row.cells.get(*column).unwrap_or(&Value::Null)));
        let namespace = how.with_namespace.then(|| cell(&row.object["metadata"]["namespace"]));
        lines.push(namespace.into_iter().chain(cells).collect());
    }
    align(&lines)
    // <<< step 7.2: print
}

/// Which columns are printed, by their place in the table.
pub fn shown(table: &Table, how: Print) -> Vec<usize> {
    // >>> step 7.2: shown
    let columns = table.column_definitions.iter().enumerate();
    columns.filter(|(_, column)| how.wide || column.priority == 0).map(|(place, _)| place).collect()
    // <<< step 7.2: shown
}

/// A cell's text: nothing for null; of several lines the first and `...`; and a terminal's escape
/// character as `^[`, so that no object's text can move anybody's cursor.
pub fn cell(value: &Value) -> String {
    // >>> step 7.2: cell
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => return other.to_string(),
    };
    let first = text.split(['\n', '\r', '\u{c}']).next().unwrap_or_default();
    let more = if first.len() < text.len() { "..." } else { "" };
    format!("{}{more}", first.replace('\u{1b}', "^["))
    // <<< step 7.2: cell
}

/// Lines of cells, aligned. A column is as wide as its widest cell and three blanks, and at least six;
/// the last cell of a line has nothing after it.
pub fn align(lines: &[Vec<String>]) -> String {
    // >>> step 7.2: align
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let widest = lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
        (widest.unwrap_or(0) + PADDING).max(MINIMUM)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let last = column + 1 == line.len();
            let blanks = if last { 0 } else { widths[column] - cell.chars().count() };
            text.push_str(cell);
            text.push_str(&" ".repeat(blanks));
        }
        text.push('\n');
    }
    text
    // <<< step 7.2: align
}
