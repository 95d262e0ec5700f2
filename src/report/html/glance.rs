//! What to look at first, in sentences.

use super::{counted, escape, number};
use crate::labels::Task;
use crate::report::errors::ErrorCase;
use crate::report::extras::ReportExtras;
use crate::report::figures::Figures;
use crate::report::slices::Slice;
use crate::report::{EvaluationReport, LabelReport};

/// Labels named as the weakest.
const N_WEAKEST: usize = 3;

/// Labels of fewer articles are not called weak: their F1 is chance.
const MIN_SUPPORT: usize = 5;

/// The few findings that a reader would look for.
pub(super) fn glance(report: &EvaluationReport, extras: &ReportExtras<'_>, figures: &Figures) -> String {
    let findings =
        [weakest(report), most_frequent_mistake(report), worst_slice(extras), probabilities(figures), sure(extras)];
    let items: String = findings.into_iter().flatten().map(|finding| format!("<li>{finding}</li>\n")).collect();
    if items.is_empty() {
        return items;
    }
    format!("<h2 id=\"glance\">At a glance</h2>\n<ul class=\"glance\">\n{items}</ul>\n")
}

fn weakest(report: &EvaluationReport) -> Option<String> {
    let mut known: Vec<&(String, LabelReport)> =
        report.per_label.iter().filter(|(_, label)| label.support >= MIN_SUPPORT).collect();
    known.sort_by(|a, b| a.1.f1.total_cmp(&b.1.f1));
    let named = known.iter().take(N_WEAKEST.min(known.len() / 2)).map(|(name, label)| {
        let why = if label.precision < label.recall { "precision" } else { "recall" };
        let low = label.precision.min(label.recall);
        format!("<b>{}</b> (F1 {}, {why} {})", escape(name), number(label.f1), number(low))
    });
    let named: Vec<String> = named.collect();
    (!named.is_empty()).then(|| format!("Weakest labels: {}.", named.join(", ")))
}

fn most_frequent_mistake(report: &EvaluationReport) -> Option<String> {
    let multi = report.cooccurrence.as_ref().map(|cooccurrence| &cooccurrence.confused);
    let matrix = report.confusion_matrix.as_ref().or(multi)?;
    let wrong = super::entries(matrix).filter(|(_, t, p)| t != p);
    let (count, t, p) = wrong.fold((0, 0, 0), |best, found| if found.0 > best.0 { found } else { best });
    let (truth, label) = report.per_label.get(t)?;
    let (given, _) = report.per_label.get(p)?;
    let beside = match report.task {
        Task::Single => "instead",
        Task::Multi => "wrongly as well",
    };
    (count > 0).then(|| {
        format!(
            "Most frequent mistake: {count} of {} of <b>{}</b> were given <b>{}</b> {beside}.",
            counted(label.support, "article"),
            escape(truth),
            escape(given)
        )
    })
}

fn worst_slice(extras: &ReportExtras<'_>) -> Option<String> {
    // Without an interval there are too few articles to judge by.
    let told = |slice: &&Slice| slice.estimate.interval.is_some();
    let slices = extras.slices.iter().filter_map(|table| Some((table, table.slices.first().filter(told)?)));
    let worst = slices.filter_map(|(table, slice)| Some((table, slice, slice.estimate.value?)));
    let (table, slice, value) = worst.min_by(|a, b| a.2.total_cmp(&b.2))?;
    Some(format!(
        "Worst slice: {} <b>{}</b>, {} {} on {}.",
        escape(&table.column),
        escape(&slice.value),
        super::describe(slice.metric).0,
        number(value),
        counted(slice.n, "article")
    ))
}

fn probabilities(figures: &Figures) -> Option<String> {
    let (points, _) = figures.reliability.as_ref()?;
    let outside: Vec<f64> = points
        .iter()
        .filter(|point| !(point.interval.low..=point.interval.high).contains(&point.mean_probability))
        .map(|point| point.mean_probability - point.frequency)
        .collect();
    Some(match outside.len() {
        0 => "Probabilities mean frequencies, as far as these articles tell.".to_owned(),
        n => format!(
            "Probabilities differ from frequencies in {n} of {} bins; there they are {}.",
            points.len(),
            match (outside.iter().any(|gap| *gap > 0.0), outside.iter().any(|gap| *gap < 0.0)) {
                (true, false) => "too high",
                (false, true) => "too low",
                _ => "too high here and too low there",
            }
        ),
    })
}

/// How many listed mistakes are surprises.
fn sure(extras: &ReportExtras<'_>) -> Option<String> {
    let sure = |case: &&ErrorCase| case.found.wrong[0].severity() >= 0.9;
    let n = extras.errors.iter().filter(sure).count();
    (n > 0).then(|| {
        format!(
            "{} below {} at least 90 % sure: look whether the labels of the data are right.",
            counted(n, "mistake"),
            if n == 1 { "is" } else { "are" }
        )
    })
}
