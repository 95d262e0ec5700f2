//! Results as text on stdout: aligned tables, nothing that depends on a terminal.

use std::io::{self, Write};

use crate::evidence_report::EvidenceReport;
use crate::labels::Task;
use crate::metrics::summary::Metric;
use crate::report::EvaluationReport;
use crate::report::slices::{MIN_FOR_INTERVAL, SliceTable};

/// Writes to stdout; a closed pipe comes back as an error, which `exit` knows is none.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// `1 row`, `2 rows`.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// A table whose first column is text and whose other columns are numbers.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub fn render(&self) -> String {
        let n_columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..n_columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let padding = " ".repeat(widths[column] - cell.chars().count());
                match column {
                    0 => line.push_str(&format!("{cell}{padding}")),
                    _ => line.push_str(&format!("  {padding}{cell}")),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// The metrics that a person reads first.
fn headline(task: Task) -> &'static [Metric] {
    match task {
        Task::Single => {
            &[Metric::Accuracy, Metric::F1Macro, Metric::F1Weighted, Metric::LogLoss, Metric::Brier, Metric::Ece]
        }
        Task::Multi => &[
            Metric::F1Micro,
            Metric::F1Macro,
            Metric::F1Samples,
            Metric::SubsetAccuracy,
            Metric::MapMacro,
            Metric::LogLoss,
            Metric::Ece,
        ],
    }
}

/// What the check of evidence found, in words.
pub fn evidence(report: &EvidenceReport) -> String {
    let mut text = String::new();
    if let (Some(right), Some(chance)) = (report.in_right_paragraph, report.by_chance) {
        text.push_str(&format!(
            "\nevidence: the best passage lies in a paragraph of its label for {:.1} % of {} right labels (by chance {:.1} %)\n",
            100.0 * right,
            report.n_in_paragraphs,
            100.0 * chance
        ));
    }
    if let (Some(best), Some(another)) = (report.drop_without_evidence, report.drop_without_another) {
        text.push_str(&format!(
            "evidence: without its best passage the probability of a label falls by {best:.3}, without another passage by \
             {another:.3} (means over {} labels)\n",
            report.n_left_out
        ));
    }
    text
}

/// Slices that are listed at most.
const MAX_SHOWN_SLICES: usize = 20;

/// The slices of a column, the worst first.
pub fn slices(table: &SliceTable, report: &EvaluationReport) -> String {
    let Some(first) = table.slices.first() else { return String::new() };
    let overall = report.estimate(first.metric).and_then(|estimate| estimate.value);
    let has_intervals = table.slices.iter().any(|slice| slice.estimate.interval.is_some());
    let column = visible(&table.column);
    let mut header = vec![column.as_str(), "articles", first.metric.name()];
    if has_intervals {
        header.push("95 % interval");
    }
    let mut rows = Table::new(&header);
    for slice in table.slices.iter().take(MAX_SHOWN_SLICES) {
        let mut cells = vec![visible(&slice.value), slice.n.to_string(), number(slice.estimate.value)];
        cells.extend(slice.estimate.interval.map(|interval| format!("{:.3} to {:.3}", interval.low, interval.high)));
        rows.row(cells);
    }
    let mut text = format!("\n{}", rows.render());
    if table.slices.len() > MAX_SHOWN_SLICES {
        text.push_str(&format!("… {} more in --json\n", table.slices.len() - MAX_SHOWN_SLICES));
    }
    if let Some(overall) = overall.filter(|_| has_intervals) {
        let n_judged = table.slices.iter().filter(|slice| slice.n >= MIN_FOR_INTERVAL).count();
        text.push_str(&format!(
            "{} of {} with {MIN_FOR_INTERVAL} articles or more certainly below the {overall:.3} of all\n",
            table.below(overall).count(),
            counted(n_judged as u64, "slice")
        ));
    }
    text
}

/// Headline numbers and a row for every label.
pub fn report(report: &EvaluationReport) -> String {
    let has_intervals = report.estimates.iter().any(|(_, estimate)| estimate.interval.is_some());
    let mut metrics =
        Table::new(if has_intervals { &["metric", "value", "95 % interval"] } else { &["metric", "value"] });
    for &metric in headline(report.task) {
        let Some(estimate) = report.estimate(metric) else { continue };
        let mut cells = vec![metric.name().to_owned(), number(estimate.value)];
        if let Some(interval) = estimate.interval {
            cells.push(format!("{:.3} to {:.3}", interval.low, interval.high));
        }
        metrics.row(cells);
    }
    let mut text = metrics.render();
    if let Some(half) = report.at_half {
        let gain = |name: &str, half: f64| {
            let value = report.metric(name).unwrap_or(f64::NAN);
            format!("{name} {half:.3} ({:+.1} points by thresholds)", 100.0 * (value - half))
        };
        text.push_str(&format!(
            "with every threshold at 0.5: {}, {}\n",
            gain("f1_micro", half.f1_micro),
            gain("f1_macro", half.f1_macro)
        ));
    }
    text.push('\n');
    let with_threshold = report.per_label.iter().any(|(_, label)| label.threshold.is_some());
    let mut header = vec!["label", "support", "precision", "recall", "f1", "avg precision"];
    if with_threshold {
        header.push("threshold");
    }
    let mut labels = Table::new(&header);
    for (name, label) in &report.per_label {
        let mut cells = vec![
            visible(name),
            label.support.to_string(),
            format!("{:.3}", label.precision),
            format!("{:.3}", label.recall),
            format!("{:.3}", label.f1),
            number(label.average_precision),
        ];
        if with_threshold {
            cells.push(number(label.threshold));
        }
        labels.row(cells);
    }
    text.push_str(&labels.render());
    text
}

/// Three decimals, or a dash where there is no number.
pub fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
}

/// Text from outside without characters that could move the cursor or turn the direction of what follows.
pub fn visible(text: &str) -> String {
    let is_obeyed = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if is_obeyed(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_script() {
        let mut table = Table::new(&["label", "f1"]);
        table.row(vec!["Müh".into(), "0.5".into()]);
        table.row(vec!["торговля".into(), "10.25".into()]);
        assert_eq!(table.render(), "label        f1\nMüh         0.5\nторговля  10.25\n");
    }
}
