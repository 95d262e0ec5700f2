//! Curves of every label: one below the other, or the one that is picked.

use super::{UNDEFINED, controls, escape, grouped, label_options, number, number_or_dash};
use crate::report::figures::{Figures, LabelFigures};
use crate::report::{EvaluationReport, LabelReport};

/// Thresholds in the table of a label.
const LISTED_THRESHOLDS: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// More labels than these are printed only as far as they are shown.
const MAX_PRINTED: usize = 30;

pub(super) fn label_plots(report: &EvaluationReport, figures: &Figures) -> String {
    if figures.labels.is_empty() {
        return String::new();
    }
    let labels = figures.labels.iter().zip(&report.per_label).enumerate();
    let drawn: String = labels.map(|(i, (figures, (_, label)))| details(i, figures, label)).collect();
    let picker = format!(
        "<label>Label <select id=\"pick-label\">{}</select></label>",
        label_options(report, "All labels, one below the other")
    );
    format!(
        "<h2 id=\"curves\">Curves of a label</h2>\n\
         <p>First, how precision falls as more articles of the label are found; the dot is what the model does now. Second, what another \
         threshold would do{}. Third, how far apart the scores of articles with and without the label lie: every factor of ten is as high.</p>\n\
         {}<div class=\"curves{}\">\n{drawn}</div>\n",
        if report.per_label.iter().any(|(_, label)| label.threshold.is_some()) {
            "; the dotted line is the one in use"
        } else {
            ", were labels assigned by threshold and not by the highest probability"
        },
        controls(&picker, "label-picked"),
        if figures.labels.len() > MAX_PRINTED { " many" } else { "" },
    )
}

fn details(label_idx: usize, figures: &LabelFigures, label: &LabelReport) -> String {
    let plots = [("pr", &figures.precision_recall), ("th", &figures.sweep), ("sc", &figures.scores)];
    let plots = plots.map(|(kind, plot)| plot.inline(&format!("l{label_idx}-{kind}")));
    format!(
        "<details id=\"label-{label_idx}\" class=\"label-plots\">\n<summary><b>{}</b> <small>F1 {} · {} articles{}</small></summary>\n\
         <div class=\"plots\">{}</div>\n{}</details>\n",
        escape(&figures.name),
        number(label.f1),
        grouped(label.support as u64),
        label.threshold.map(|threshold| format!(" · threshold {threshold:.3}")).unwrap_or_default(),
        plots.concat(),
        table(figures, label),
    )
}

/// The curves in numbers.
fn table(figures: &LabelFigures, label: &LabelReport) -> String {
    let mut thresholds = LISTED_THRESHOLDS.to_vec();
    thresholds.extend(label.threshold);
    thresholds.sort_by(f64::total_cmp);
    let rows = thresholds.into_iter().map(|threshold| {
        let point = figures.curve.at(threshold);
        let is_used = label.threshold == Some(threshold);
        format!(
            "<tr{}><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            if is_used { " class=\"used\"" } else { "" },
            if is_used { format!("{threshold:.3} (in use)") } else { format!("{threshold}") },
            grouped(point.n_given as u64),
            if point.precision.is_some() { number_or_dash(point.precision) } else { UNDEFINED.to_owned() },
            number(point.recall),
            number(point.f1)
        )
    });
    format!(
        "<details class=\"numbers\">\n<summary>In numbers</summary>\n<div class=\"scroll\" role=\"region\" aria-label=\"Thresholds of {}\" \
         tabindex=\"0\">\n<table>\n<thead><tr><th scope=\"col\">Threshold</th><th scope=\"col\">Given</th><th scope=\"col\">Precision</th>\
         <th scope=\"col\">Recall</th><th scope=\"col\">F1</th></tr></thead>\n<tbody>\n{}</tbody>\n</table>\n</div>\n</details>\n",
        escape(&figures.name),
        rows.collect::<String>()
    )
}
