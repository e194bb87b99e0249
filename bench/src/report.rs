//! The numbers of a run, and the table people read.

use std::fmt::Write as _;
use std::time::Duration;

/// One measurement of one server with one workload.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Answers within the measurement.
    pub answers: u64,
    /// CPU time of the proxy for them.
    pub cpu: Duration,
    /// Time they took.
    pub wall: Duration,
    /// Connections the proxy closed meanwhile.
    pub reconnects: u64,
}

impl Sample {
    /// Microseconds of CPU per request.
    pub fn micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.answers as f64
    }

    fn rate(&self) -> f64 {
        self.answers as f64 / self.wall.as_secs_f64()
    }
}

/// The median; 0 of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

fn spread(values: &[f64], digits: usize) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // Two numbers with a minus sign beside a dash are hard to read.
    let between = if low < 0.0 { " to " } else { "–" };
    format!("{low:.digits$}{between}{high:.digits$}")
}

/// All measurements of one workload; index for index, the same round.
#[derive(Debug, Default)]
pub struct Row {
    pub name: &'static str,
    pub nginx: Vec<Sample>,
    pub ours: Vec<Sample>,
}

fn micros(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(Sample::micros).collect()
}

/// The median of the rounds, with the smallest and the largest.
pub fn cell(values: &[f64], digits: usize) -> String {
    if values.is_empty() {
        return "–".to_owned();
    }
    format!("{:.digits$} ({})", median(values), spread(values, digits))
}

fn rate(samples: &[Sample]) -> String {
    if samples.is_empty() {
        return "–".to_owned();
    }
    let rates: Vec<f64> = samples.iter().map(Sample::rate).collect();
    format!("{:.0}", median(&rates))
}

/// CPU and throughput, a Markdown table.
pub fn cpu_table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| CPU µs per request, median (min–max) | nginx | ours | ours / nginx | nginx req/s | ours req/s |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let (nginx, ours) = (micros(&row.nginx), micros(&row.ours));
        let ratios: Vec<f64> = ours
            .iter()
            .zip(&nginx)
            .map(|(ours, nginx)| ours / nginx)
            .collect();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            row.name,
            cell(&nginx, 1),
            cell(&ours, 1),
            cell(&ratios, 2),
            rate(&row.nginx),
            rate(&row.ours),
        );
    }
    out
}

/// Medians of one connection's exchange times, in microseconds, per round.
#[derive(Debug, Default)]
pub struct Latency {
    pub direct: Vec<f64>,
    pub nginx: Vec<f64>,
    pub ours: Vec<f64>,
}

/// What a proxy adds to an exchange, a Markdown table.
pub fn latency_table(latency: &Latency) -> String {
    let added = |through: &[f64]| -> Vec<f64> {
        let pairs = through.iter().zip(&latency.direct);
        pairs.map(|(through, direct)| through - direct).collect()
    };
    let mut out = String::from(
        "| One connection, 2 KB chat, µs | median (min–max of the rounds) | added |\n|---|--:|--:|\n",
    );
    let _ = writeln!(out, "| direct | {} | |", cell(&latency.direct, 0));
    for (name, through) in [
        ("through nginx", &latency.nginx),
        ("through ours", &latency.ours),
    ] {
        let _ = writeln!(
            out,
            "| {name} | {} | {} |",
            cell(through, 0),
            cell(&added(through), 0)
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[]), 0.0);
    }
    #[test]
    fn differences_below_zero_keep_their_largest() {
        assert_eq!(cell(&[-3.0, -1.0, -2.0], 1), "-2.0 (-3.0 to -1.0)");
        assert_eq!(cell(&[3.0, 1.0], 0), "2 (1–3)");
    }
}
