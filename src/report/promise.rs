//! How a promise was kept, as a section of the page.

use super::extras::Section;
use super::page::escape;
use crate::calibration::contract::{Kept, KeptShare, Promise};
use crate::labels::LabelSet;

/// The section; labels are those of the classifier.
pub fn section(kept: &Kept, labels: &LabelSet) -> Section {
    let (word, counted) = match kept.promise {
        Promise::Precision(_) => ("right", "Assigned"),
        Promise::Recall(_) => ("found", "Articles"),
    };
    let row = |name: &str, share: &KeptShare| {
        let dash = || "–".to_owned();
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escape(name),
            share.n,
            share.n_right,
            share.share.map_or_else(dash, |share| format!("{share:.3}")),
            share.interval.map_or_else(dash, |[low, high]| format!("{low:.3} to {high:.3}")),
        )
    };
    let rows: String = std::iter::once(row("all labels", &kept.all))
        .chain(labels.names().zip(&kept.per_label).map(|(name, share)| row(name, share)))
        .collect();
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let html = format!(
        "<p>Promised: {}, with a risk of {} that it fails. {} of the articles here need no person, {} are for review; {} without a person was \
         expected.</p>\n<div class=\"scroll\" role=\"region\" aria-label=\"How the promise was kept\" tabindex=\"0\">\n<table>\n\
         <caption><span>Of what was promised, how much is {word}.</span></caption>\n<thead><tr><th scope=\"col\">Label</th>\
         <th scope=\"col\">{counted}</th><th scope=\"col\">Of these {word}</th><th scope=\"col\">Share</th>\
         <th scope=\"col\">95 % interval</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n",
        escape(&kept.promise.to_string()),
        kept.delta,
        percent(kept.came.coverage),
        percent(kept.came.review_load),
        percent(kept.expected.coverage),
    );
    Section { title: "How the promise was kept".to_owned(), html }
}
