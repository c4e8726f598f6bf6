//! The table that is printed, bench.json, and the tables of docs/PERFORMANCE.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::stats::Sample;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less of it.
    Less,
    /// More of it.
    More,
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which table of docs/PERFORMANCE.md it belongs to.
    pub table: &'static str,
    /// What was measured, with its unit.
    pub title: String,
    better: Better,
    cells: BTreeMap<String, Cell>,
    /// What the short form on the first page calls it, if it is there.
    short: Option<&'static str>,
}

#[derive(Clone, Debug)]
enum Cell {
    Measured(Sample),
    Missing(String),
}

/// Rows as they were measured.
#[derive(Clone, Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
}

/// The columns of the tables that have one column for each daemon.
pub const COLUMNS: [&str; 4] = ["fwknopd pcap", "fwknopd -U", "knockd", "spad"];

impl Report {
    /// Begins a row, or goes on with it: samples of later rounds are added to those of earlier ones.
    pub fn row(&mut self, table: &'static str, title: impl Into<String>, better: Better) -> &mut Row {
        let title = title.into();
        let at =
            self.rows.iter().position(|row| row.table == table && row.title == title).unwrap_or_else(|| {
                self.rows.push(Row { table, title, better, cells: BTreeMap::new(), short: None });
                self.rows.len() - 1
            });
        &mut self.rows[at]
    }

    /// As it goes into bench.json.
    #[must_use]
    pub fn to_json(&self, machine: Value) -> Value {
        let cell = |(who, cell): (&String, &Cell)| match cell {
            Cell::Missing(why) => (who.clone(), json!({ "missing": why })),
            Cell::Measured(sample) => (
                who.clone(),
                json!({
                    "median": round(sample.median()),
                    "p5": round(sample.quantile(0.05)),
                    "p95": round(sample.quantile(0.95)),
                    "min": round(sample.quantile(0.0)),
                    "max": round(sample.quantile(1.0)),
                    "sum": round(sample.sum()),
                    "n": sample.len(),
                }),
            ),
        };
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let better = if row.better == Better::Less { "less" } else { "more" };
                let cells: serde_json::Map<_, _> = row.cells.iter().map(cell).collect();
                json!({ "table": row.table, "title": row.title, "better": better, "cells": cells, "short": row.short })
            })
            .collect();
        json!({ "machine": machine, "rows": rows })
    }
}

impl Row {
    /// Adds measurements.
    pub fn measured(&mut self, who: &str, values: impl IntoIterator<Item = f64>) {
        match self.cells.entry(who.to_owned()).or_insert_with(|| Cell::Measured(Sample::default())) {
            Cell::Measured(sample) => sample.extend(values),
            cell @ Cell::Missing(_) => *cell = Cell::Measured(values.into_iter().collect()),
        }
    }

    /// Puts it into the short form, under this name.
    pub const fn short(&mut self, name: &'static str) -> &mut Self {
        self.short = Some(name);
        self
    }

    /// Says why there is none.
    pub fn missing(&mut self, who: &str, why: impl Into<String>) {
        self.cells.entry(who.to_owned()).or_insert_with(|| Cell::Missing(why.into()));
    }
}

/// Three digits that count.
fn round(value: f64) -> Value {
    if !value.is_finite() {
        return Value::Null;
    }
    format!("{value:.3e}").parse::<f64>().map_or(Value::Null, |value| json!(value))
}

/// A number as people write it.
fn number(value: &Value) -> String {
    let Some(value) = value.as_f64() else { return "–".to_owned() };
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v < 0.1 => format!("{value:.4}"),
        v if v < 1.0 => format!("{value:.3}"),
        v if v < 10.0 => format!("{value:.2}"),
        v if v < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn show(cell: Option<&Value>) -> String {
    let Some(cell) = cell else { return "–".to_owned() };
    if let Some(why) = cell["missing"].as_str() {
        return format!("– ({why})");
    }
    let one = cell["n"] == json!(1) || cell["p5"] == cell["p95"];
    if one {
        return format!("{} n={}", number(&cell["median"]), cell["n"]);
    }
    format!("{} ({}..{}) n={}", number(&cell["median"]), number(&cell["p5"]), number(&cell["p95"]), cell["n"])
}

/// How many times better spad is than the best of the others, by the medians.
fn ratio(row: &Value) -> String {
    let median = |who: &str| row["cells"][who]["median"].as_f64();
    let Some(ours) = median("spad") else { return "–".to_owned() };
    let others = COLUMNS[..3].iter().filter_map(|who| median(who));
    let (best, ratio) = if row["better"] == json!("less") {
        let best = others.fold(f64::INFINITY, f64::min);
        (best, best / ours)
    } else {
        let best = others.fold(f64::NEG_INFINITY, f64::max);
        (best, ours / best)
    };
    match () {
        () if !best.is_finite() => "–".to_owned(),
        () if best == ours => "same".to_owned(),
        () if ours == 0.0 && row["better"] == json!("less") => "∞".to_owned(),
        () if !ratio.is_finite() => "–".to_owned(),
        () => format!("× {ratio:.2}"),
    }
}

/// The rows of one table in Markdown.
#[must_use]
pub fn markdown(report: &Value, table: &str) -> String {
    let rows: Vec<&Value> =
        report["rows"].as_array().into_iter().flatten().filter(|row| row["table"] == json!(table)).collect();
    let mut columns: Vec<&str> = COLUMNS.to_vec();
    let others = rows.iter().any(|row| COLUMNS[..3].iter().any(|who| !row["cells"][*who].is_null()));
    if !others {
        // A table about spad alone: its columns are what its cells are called.
        columns = Vec::new();
        for row in &rows {
            for name in row["cells"].as_object().into_iter().flat_map(|cells| cells.keys()) {
                if !columns.contains(&name.as_str()) {
                    columns.push(name);
                }
            }
        }
    }
    let mut text = String::from("| |");
    for column in &columns {
        let _ = write!(text, " {column} |");
    }
    if others {
        text.push_str(" spad against the best other |");
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(columns.len() + usize::from(others)));
    text.push('\n');
    for row in rows {
        let _ = write!(text, "| {} |", row["title"].as_str().unwrap_or_default());
        for column in &columns {
            let _ = write!(text, " {} |", show(row["cells"].get(*column)));
        }
        if others {
            let _ = write!(text, " {} |", ratio(row));
        }
        text.push('\n');
    }
    text
}

/// The short form in Markdown: medians of the rows that are in it.
#[must_use]
pub fn summary(report: &Value) -> String {
    let mut text = format!("| | {} |\n|---|", COLUMNS.join(" | "));
    text.push_str(&"---|".repeat(COLUMNS.len()));
    text.push('\n');
    for row in report["rows"].as_array().into_iter().flatten() {
        let Some(name) = row["short"].as_str() else { continue };
        let _ = write!(text, "| {name} |");
        for who in COLUMNS {
            let median = &row["cells"][who]["median"];
            let _ = write!(text, " {} |", number(median));
        }
        text.push('\n');
    }
    text
}

/// Names of all tables, in the order in which they were measured.
#[must_use]
pub fn tables(report: &Value) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for row in report["rows"].as_array().into_iter().flatten() {
        let name = row["table"].as_str().unwrap_or_default().to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Writes the tables between their markers in a page: `<!-- bench TABLE -->` to `<!-- end -->`; `summary` is the short form.
///
/// # Panics
/// When a file cannot be read or written, or a marker has no end.
pub fn fill(json: &Path, page: &Path) {
    let text = fs::read_to_string(json).unwrap_or_else(|e| panic!("{}: {e}", json.display()));
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", json.display()));
    let old = fs::read_to_string(page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
    let known = tables(&report);
    let (mut new, mut rest) = (String::new(), old.as_str());
    while let Some((before, after)) = rest.split_once("<!-- bench ") {
        let (table, after) = after.split_once(" -->").expect("a marker ends");
        let (was, after) = after.split_once("<!-- end -->").expect("a table ends");
        let machine = || format!("{}\n", report["machine"]["text"].as_str().unwrap_or_default());
        let inside = match table {
            "machine" if !report["machine"].is_null() => machine(),
            "summary" => summary(&report),
            _ if known.iter().any(|name| name == table) => markdown(&report, table),
            // A run of other tables leaves this one as it is.
            _ => was.trim_start_matches('\n').to_owned(),
        };
        new.push_str(&format!("{before}<!-- bench {table} -->\n{inside}<!-- end -->"));
        rest = after;
    }
    new.push_str(rest);
    fs::write(page, new).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
}
