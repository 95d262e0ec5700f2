//! Mistakes with their texts, to be read.

use super::{controls, escape, label_options, number, signed};
use crate::report::EvaluationReport;
use crate::report::errors::{ErrorCase, Mistake, SimilarArticle, WrongLabel};

pub(super) fn error_list(report: &EvaluationReport, errors: &[ErrorCase]) -> String {
    if errors.is_empty() {
        return String::new();
    }
    let items: String = errors.iter().enumerate().map(|(i, case)| item(report, case, i)).collect();
    let filters = format!(
        "<label>Label <select id=\"error-label\">{}</select></label> <label>Mistake <select id=\"error-kind\">\
         <option value=\"\">any</option><option value=\"extra\">wrongly given</option><option value=\"missing\">missed</option>\
         <option value=\"close\">close call</option></select></label>",
        label_options(report, "any")
    );
    format!(
        "<h2 id=\"errors\">Mistakes to read</h2>\n\
         <p>The surest mistakes first, at most three of a kind before others have their turn; then close calls. A sure mistake is often a \
         wrong label in the data.</p>\n{}<ol class=\"errors\">\n{items}</ol>\n",
        controls(&filters, "errors-shown")
    )
}

fn item(report: &EvaluationReport, case: &ErrorCase, number: usize) -> String {
    let wrong = &case.found.wrong;
    let labels: Vec<String> = wrong.iter().map(|own| own.label_idx.to_string()).collect();
    let has = |mistake| wrong.iter().any(|own| own.mistake == mistake);
    let kinds = [("extra", has(Mistake::Extra)), ("missing", has(Mistake::Missing)), ("close", case.found.is_close)];
    let kinds: Vec<&str> = kinds.into_iter().filter(|(_, has)| *has).map(|(kind, _)| kind).collect();
    let verdicts = wrong.iter().zip(&case.passages).map(|(own, passage)| verdict(report, own, passage.as_deref()));
    let title = case.title.as_deref().map(str::trim).filter(|title| !title.is_empty());
    format!(
        "<li data-labels=\" {} \" data-kinds=\"{}\">\n<article aria-labelledby=\"error-{number}\">\n\
         <h3 id=\"error-{number}\" lang=\"\" dir=\"auto\">{}</h3>\n<p class=\"subtitle\">id {}{}</p>\n\
         <ul class=\"verdicts\">\n{}</ul>\n<p class=\"excerpt\" lang=\"\" dir=\"auto\">{}</p>\n{}</article>\n</li>\n",
        labels.join(" "),
        kinds.join(" "),
        escape(title.unwrap_or(&case.id)),
        escape(&case.id),
        if case.found.is_close { " · close call" } else { "" },
        verdicts.collect::<String>(),
        clean(&case.excerpt),
        neighbours(&case.neighbours)
    )
}

fn verdict(report: &EvaluationReport, wrong: &WrongLabel, passage: Option<&str>) -> String {
    let name = report.per_label.get(wrong.label_idx).map(|(name, _)| escape(name)).unwrap_or_default();
    let (class, words, because) = match wrong.mistake {
        Mistake::Extra => ("extra", "wrongly given", "because of"),
        Mistake::Missing => ("missing", "missed", "best passage"),
    };
    let threshold = wrong.threshold.map(|threshold| format!(", threshold {threshold:.2}")).unwrap_or_default();
    let passage = passage.map(|passage| {
        format!(" <span class=\"passage\">{because} <q lang=\"\" dir=\"auto\">{}</q></span>", clean(passage))
    });
    format!(
        "<li class=\"{class}\"><span class=\"what\">{words}</span> <b>{name}</b> <small>probability {}{threshold}</small>{}</li>\n",
        number(wrong.probability),
        passage.unwrap_or_default()
    )
}

fn neighbours(neighbours: &[SimilarArticle]) -> String {
    if neighbours.is_empty() {
        return String::new();
    }
    let items = neighbours.iter().map(|own| {
        let title = own.title.as_deref().map(str::trim).filter(|title| !title.is_empty());
        let labels = if own.labels.is_empty() { "no label".to_owned() } else { own.labels.join(", ") };
        format!(
            "<li><span lang=\"\" dir=\"auto\">{}</span> <small>{} · similarity {}</small></li>\n",
            escape(title.unwrap_or(&own.id)),
            escape(&labels),
            signed(format!("{:.2}", own.similarity))
        )
    });
    format!(
        "<details>\n<summary>Most similar training articles</summary>\n<ul>\n{}</ul>\n</details>\n",
        items.collect::<String>()
    )
}

/// Text of articles in one line, escaped; white space that HTML cannot hold is a blank.
fn clean(text: &str) -> String {
    escape(&text.replace(|c: char| c.is_control() && c.is_whitespace(), " "))
}
