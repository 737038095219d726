//! What was measured, beside what is wanted.

use std::process::ExitCode;
use std::time::Duration;

/// One line of the table.
pub(crate) struct Row {
    pub what: &'static str,
    pub measured: f64,
    pub bound: f64,
    pub unit: &'static str,
    pub detail: String,
}

/// Prints the rows; with `--check` a missed bound fails the program.
pub(crate) fn show(rows: &[Row]) -> ExitCode {
    let check = std::env::args().any(|argument| argument == "--check");
    println!("\n{:<44} {:>10} {:>10}", "", "measured", "wanted");
    for row in rows {
        let Row {
            what,
            measured,
            bound,
            unit,
            detail,
        } = row;
        let verdict = if measured <= bound { "ok" } else { "MISSED" };
        println!(
            "{what:<44} {measured:>7.2} {unit:<2} {bound:>7.2} {unit:<2}  {verdict:<6} {detail}"
        );
    }
    let missed = rows.iter().any(|row| row.measured > row.bound);
    ExitCode::from(u8::from(check && missed))
}

#[allow(dead_code)]
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

pub(crate) fn spread(values: &[f64]) -> String {
    format!(
        "{:.2} to {:.2}; {} times",
        quantile(values, 0.0),
        quantile(values, 1.0),
        values.len()
    )
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}
