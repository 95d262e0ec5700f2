//! Slices, calibration, map, settings.

use super::{controls, counted, escape, grouped, label_options, number, number_or_dash, range};
use crate::report::EvaluationReport;
use crate::report::figures::Figures;
use crate::report::slices::{Slice, SliceTable};

/// Slices of a column that are shown before the rest is folded away.
const N_OPEN: usize = 12;

pub(super) fn slices(tables: &[SliceTable]) -> String {
    let tables: String = tables.iter().filter(|table| !table.slices.is_empty()).map(slice_table).collect();
    if tables.is_empty() {
        return tables;
    }
    format!("<h2 id=\"slices\">Slices</h2>\n<p>Parts of the articles, the worst first.</p>\n{tables}")
}

fn slice_table(table: &SliceTable) -> String {
    let column = escape(&table.column);
    let (open, folded) = table.slices.split_at(table.slices.len().min(N_OPEN));
    let rows = |slices: &[Slice]| {
        let metric = slices.first().map(|slice| super::describe(slice.metric).0).unwrap_or_default();
        format!(
            "<div class=\"scroll\" role=\"region\" aria-label=\"Slices by {column}\" tabindex=\"0\">\n<table class=\"slices\" data-sortable>\n\
             <thead><tr><th scope=\"col\">{column}</th><th scope=\"col\">Articles</th><th scope=\"col\">{metric}</th>\
             <th scope=\"col\">Interval</th></tr></thead>\n<tbody>\n{}</tbody>\n</table>\n</div>\n",
            slices.iter().map(slice_row).collect::<String>()
        )
    };
    let rest = match folded.len() {
        0 => String::new(),
        n => format!("<details>\n<summary>{} more</summary>\n{}</details>\n", grouped(n as u64), rows(folded)),
    };
    format!("<h3>By {column}</h3>\n{}{rest}", rows(open))
}

fn slice_row(slice: &Slice) -> String {
    let value = escape(&slice.value);
    let interval = slice.estimate.interval.map(|interval| {
        let drawn = if slice.metric.is_loss() {
            String::new()
        } else {
            range(slice.estimate.value, interval.low, interval.high)
        };
        format!("{drawn}{} to {}", number(interval.low), number(interval.high))
    });
    format!(
        "<tr><th scope=\"row\" title=\"{value}\">{value}</th><td>{}</td><td>{}</td><td class=\"interval\">{}</td></tr>\n",
        grouped(slice.n as u64),
        number_or_dash(slice.estimate.value),
        interval.unwrap_or_default()
    )
}

pub(super) fn calibration(figures: &Figures) -> String {
    let Some((points, plot)) = &figures.reliability else { return String::new() };
    let rows = points.iter().map(|point| {
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{} to {}</td><td>{}</td></tr>\n",
            number(point.mean_probability),
            number(point.frequency),
            number(point.interval.low),
            number(point.interval.high),
            grouped(point.n as u64)
        )
    });
    format!(
        "<h2 id=\"calibration\">Probabilities and frequencies</h2>\n<p>{}</p>\n<div class=\"plots one\">{}</div>\n\
         <details class=\"numbers\">\n<summary>In numbers</summary>\n\
         <div class=\"scroll\" role=\"region\" aria-label=\"Bins of the reliability diagram\" tabindex=\"0\">\n<table>\n\
         <thead><tr><th scope=\"col\">Stated</th><th scope=\"col\">Came true</th><th scope=\"col\">95 % interval</th>\
         <th scope=\"col\">Decisions</th></tr></thead>\n<tbody>\n{}</tbody>\n</table>\n</div>\n</details>\n",
        escape(&plot.description),
        plot.inline("reliability"),
        rows.collect::<String>()
    )
}

pub(super) fn map(report: &EvaluationReport, figures: &Figures) -> String {
    let Some(maps) = &figures.maps else { return String::new() };
    let shown = match maps.n_articles == maps.points.len() {
        true => "All articles".to_owned(),
        false => {
            format!("{} of {}, evenly spaced,", grouped(maps.points.len() as u64), counted(maps.n_articles, "article"))
        }
    };
    let figures = maps.plots.iter().map(|(name, _, plot)| {
        let caption = escape(&plot.title);
        let description = escape(&plot.description);
        format!(
            "<figure>\n{}<figcaption><b>{caption}</b> {description}</figcaption>\n</figure>\n",
            plot.inline(&format!("map-{name}"))
        )
    });
    let filters = format!(
        "<label>Show label <select id=\"map-label\">{}</select></label> \
         <label><input type=\"checkbox\" id=\"map-wrong\"> mistakes only</label>",
        label_options(report, "all")
    );
    format!(
        "<h2 id=\"map\">Map of the articles</h2>\n<p>{shown} by their embeddings: what lies together reads alike to the encoder. Point at \
         one for its id, title and labels.</p>\n{}<div class=\"plots maps\">\n{}</div>\n",
        controls(&filters, "map-shown"),
        figures.collect::<String>()
    )
}

pub(super) fn settings(settings: &[(String, String)]) -> String {
    if settings.is_empty() {
        return String::new();
    }
    let rows = settings
        .iter()
        .map(|(name, value)| format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escape(name), escape(value)));
    format!(
        "<h2 id=\"settings\">How this was made</h2>\n<div class=\"scroll\" role=\"region\" aria-label=\"Settings\" tabindex=\"0\">\n\
         <table class=\"settings\">\n<thead><tr><th scope=\"col\">Setting</th><th scope=\"col\">Value</th></tr></thead>\n<tbody>\n{}</tbody>\n\
         </table>\n</div>\n",
        rows.collect::<String>()
    )
}
