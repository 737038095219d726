//! Measurements and their bounds, as a table and as JSON.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// One line of the table.
pub(crate) struct Row {
    what: String,
    unit: &'static str,
    /// The median or, for two sides, the ratio of their medians.
    measured: f64,
    /// The upper limit.
    bound: Option<f64>,
    sides: Vec<Side>,
}

/// The measurements of one side.
struct Side {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
}

impl Row {
    /// Creates a row with the median of `values`.
    pub(crate) fn median(what: impl Into<String>, unit: &'static str, values: Vec<f64>) -> Self {
        let measured = median(&values);
        Self {
            what: what.into(),
            unit,
            measured,
            bound: None,
            sides: vec![Side::new(String::new(), unit, values)],
        }
    }

    /// Creates a row with the median of the first side divided by that of the second.
    pub(crate) fn ratio(
        what: impl Into<String>,
        unit: &'static str,
        (name, values): (&str, &[f64]),
        (beside_name, beside): (&str, &[f64]),
    ) -> Self {
        Self {
            what: what.into(),
            unit: "x",
            measured: median(values) / median(beside),
            bound: None,
            sides: vec![
                Side::new(name.to_owned(), unit, values.to_vec()),
                Side::new(beside_name.to_owned(), unit, beside.to_vec()),
            ],
        }
    }

    pub(crate) fn at_most(self, bound: f64) -> Self {
        let bound = Some(bound);
        Self { bound, ..self }
    }

    pub(crate) fn is_missed(&self) -> bool {
        self.bound.is_some_and(|bound| self.measured > bound)
    }

    pub(crate) fn show(&self) {
        let wanted = self.bound.map_or(String::new(), |bound| {
            let verdict = if self.is_missed() { "MISSED" } else { "ok" };
            format!("<= {:<6} {verdict}", digits(bound))
        });
        let sides: Vec<_> = self.sides.iter().map(Side::summary).collect();
        println!(
            "  {:<58} {:>9} {:<6} {wanted:<17} {}",
            self.what,
            digits(self.measured),
            self.unit,
            sides.join("; ")
        );
    }

    fn to_json(&self) -> Value {
        let sides = self.sides.iter().map(|side| {
            json!({
                "name": side.name, "unit": side.unit, "times": side.values.len(), "median": median(&side.values),
                "lowest": quantile(&side.values, 0.0), "highest": quantile(&side.values, 1.0),
            })
        });
        json!({
            "what": self.what, "measured": self.measured, "unit": self.unit, "wanted": self.bound, "missed": self.is_missed(),
            "sides": sides.collect::<Vec<_>>(),
        })
    }
}

impl Side {
    fn new(name: String, unit: &'static str, values: Vec<f64>) -> Self {
        Self { name, unit, values }
    }

    fn summary(&self) -> String {
        let (lowest, highest) = (quantile(&self.values, 0.0), quantile(&self.values, 1.0));
        let spread = format!("{} to {}", digits(lowest), digits(highest));
        match (self.name.as_str(), self.values.len()) {
            ("", 1) => String::new(),
            ("", times) => format!("{spread}, {times} times"),
            (name, 1) => format!("{name} {} {}", digits(lowest), self.unit),
            (name, times) => {
                let middle = digits(median(&self.values));
                format!("{name} {middle} {} ({spread}, {times} times)", self.unit)
            }
        }
    }
}

/// Writes all rows to the build folder.
pub(crate) fn write(groups: &[(&str, Vec<Row>)]) {
    let all: serde_json::Map<String, Value> = groups
        .iter()
        .map(|(name, rows)| {
            let rows: Vec<_> = rows.iter().map(Row::to_json).collect();
            ((*name).to_owned(), json!(rows))
        })
        .collect();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench-bridge.json");
    fs::write(&path, serde_json::to_vec_pretty(&all).unwrap()).unwrap();
    println!("full results: {}", path.display());
}

/// Returns the seconds that `work` takes.
pub(crate) fn timed(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

/// Runs the sides in turn, rotating which goes first; returns the values of each.
pub(crate) fn in_turn<const N: usize>(
    turns: usize,
    sides: [&mut dyn FnMut() -> f64; N],
) -> [Vec<f64>; N] {
    let mut values = [(); N].map(|()| Vec::with_capacity(turns));
    for turn in 0..turns {
        for place in 0..N {
            let side = (turn + place) % N;
            values[side].push(sides[side]());
        }
    }
    values
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// Formats a value to three significant digits.
fn digits(value: f64) -> String {
    let places = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else if value.abs() >= 0.1 || value == 0.0 {
        2
    } else {
        4
    };
    format!("{value:.places$}")
}
