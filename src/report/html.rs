//! A report as one HTML page that needs nothing else: no network, no other file. Its script sorts, filters and picks; without it all is
//! there, one below the other.

mod error_list;
mod glance;
mod label_plots;
mod overview;

use super::extras::ReportExtras;
use super::figures::Figures;
use super::page::{escape, page_with_script};
use super::{AtHalf, EvaluationReport, LabelReport};
use crate::labels::Task;
use crate::metrics::summary::Metric;

/// Lines in a list of the most frequent confusions, or of the pairs most unlike the truth.
const LISTED_PAIRS: usize = 8;

/// Share of a heat cell's colour from which its number needs the light (in the dark, the dark) ink to be read.
const HOT_SHARE: f64 = 0.5;

/// Shown where a metric is undefined.
const UNDEFINED: &str = "–";

/// The page. `title` heads it; like every label name it may hold any text and is escaped. What `extras` and `figures` lack has no
/// section.
pub fn render(report: &EvaluationReport, title: &str, extras: &ReportExtras<'_>, figures: &Figures) -> String {
    let title = escape(title);
    let others = extras
        .sections
        .iter()
        .enumerate()
        .map(|(i, section)| format!("<h2 id=\"more-{i}\">{}</h2>\n{}\n", escape(&section.title), section.html));
    let sections = [
        headline(report),
        thresholds(report),
        glance::glance(report, extras, figures),
        labels(report, !figures.labels.is_empty()),
        label_plots::label_plots(report, figures),
        confusions(report),
        together(report),
        overview::slices(extras.slices),
        overview::calibration(figures),
        error_list::error_list(report, &extras.errors),
        overview::map(report, figures),
        averages(report),
        others.collect(),
        overview::settings(&extras.settings),
    ]
    .concat();
    let main = format!(
        "<h1>{title}</h1>\n<p class=\"subtitle\">{subtitle}</p>\n{contents}{sections}\
         <footer>topicwire {version}. Precision, recall and F1 are 0 where there is nothing to divide by. Labels that no \
         article has count as 0 in macro F1 and are left out of mean average precision and ROC-AUC.</footer>\n",
        subtitle = subtitle(report),
        contents = contents(&sections),
        version = env!("CARGO_PKG_VERSION"),
    );
    let css = concat!(include_str!("plots/plot.css"), include_str!("report.css"));
    page_with_script(&title, css, &main, include_str!("report.js"))
}

/// Links to the sections, found by their headings.
fn contents(sections: &str) -> String {
    let items = sections.split("<h2 id=\"").skip(1).filter_map(|rest| {
        let (id, rest) = rest.split_once("\">")?;
        let (heading, _) = rest.split_once("</h2>")?;
        Some(format!("<li><a href=\"#{id}\">{heading}</a></li>\n"))
    });
    format!("<nav class=\"contents\" aria-label=\"Sections\">\n<ul>\n{}</ul>\n</nav>\n", items.collect::<String>())
}

fn subtitle(report: &EvaluationReport) -> String {
    let task = match report.task {
        Task::Single => "one label per article",
        Task::Multi => "any number of labels per article",
    };
    let intervals = report.bootstrap.map(|settings| {
        let percent = (settings.confidence * 1000.0).round() / 10.0;
        format!(" · {percent} % intervals from {} bootstrap resamples", grouped(settings.n_resamples as u64))
    });
    let counts = format!("{} · {}", counted(report.n, "article"), counted(report.per_label.len(), "label"));
    format!("{counts} · {task}{}", intervals.unwrap_or_default())
}

/// The few numbers to look at first.
fn headline(report: &EvaluationReport) -> String {
    let first = match report.task {
        Task::Single => Metric::Accuracy,
        Task::Multi => Metric::F1Micro,
    };
    let last = match report.task {
        Task::Single => Metric::Ece,
        Task::Multi => Metric::SubsetAccuracy,
    };
    let tiles = [first, Metric::F1Macro, Metric::MapMacro, last].into_iter().filter_map(|metric| {
        let estimate = report.estimate(metric)?;
        let interval = estimate.interval.map(|interval| {
            let drawn = (!metric.is_loss()).then(|| range(estimate.value, interval.low, interval.high));
            format!(
                "{}<span class=\"interval\">{} to {}</span>",
                drawn.unwrap_or_default(),
                number(interval.low),
                number(interval.high)
            )
        });
        Some(format!(
            "<li><span class=\"name\">{}</span><span class=\"value\">{}</span>{}</li>\n",
            describe(metric).0,
            number_or_dash(estimate.value),
            interval.unwrap_or_default()
        ))
    });
    format!("<ul class=\"headline\">\n{}</ul>\n", tiles.collect::<String>())
}

/// What thresholds of their own gain the labels.
fn thresholds(report: &EvaluationReport) -> String {
    let (Some(AtHalf { f1_micro, f1_macro }), Some(micro), Some(macros)) =
        (report.at_half, report.metric(Metric::F1Micro.name()), report.metric(Metric::F1Macro.name()))
    else {
        return String::new();
    };
    if report.per_label.iter().all(|(_, label)| label.threshold.is_none()) {
        return String::new();
    }
    let gain = |now: f64, at_half: f64| format!("{} ({})", number(at_half), signed(format!("{:+.3}", now - at_half)));
    format!(
        "<p class=\"gain\">With a threshold of 0.5 for every label, micro F1 would be {} and macro F1 {}; in brackets, what the \
         thresholds of this model gain.</p>\n",
        gain(micro, f1_micro),
        gain(macros, f1_macro)
    )
}

fn averages(report: &EvaluationReport) -> String {
    let with_intervals = report.bootstrap.is_some();
    let rows = report.estimates.iter().map(|(metric, estimate)| {
        let (title, note) = describe(*metric);
        let interval = match estimate.interval {
            Some(interval) => format!("<td>{} to {}</td>", number(interval.low), number(interval.high)),
            None if with_intervals => format!("<td>{UNDEFINED}</td>"),
            None => String::new(),
        };
        format!(
            "<tr><th scope=\"row\">{title}<small>{note}</small></th><td>{}</td>{interval}</tr>\n",
            number_or_dash(estimate.value)
        )
    });
    let interval_header = if with_intervals { "<th scope=\"col\">Interval</th>" } else { "" };
    format!(
        "<h2 id=\"averages\">All metrics</h2>\n<div class=\"scroll\" role=\"region\" aria-label=\"Averaged metrics\" tabindex=\"0\">\n<table class=\"averages\">\n\
         <thead><tr><th scope=\"col\">Metric</th><th scope=\"col\">Value</th>{interval_header}</tr></thead>\n<tbody>\n{}</tbody>\n</table>\n</div>\n",
        rows.collect::<String>()
    )
}

fn labels(report: &EvaluationReport, are_drawn: bool) -> String {
    let with_thresholds = report.per_label.iter().any(|(_, label)| label.threshold.is_some());
    let rows = report
        .per_label
        .iter()
        .enumerate()
        .map(|(i, (name, label))| label_row(are_drawn.then_some(i), name, label, with_thresholds));
    let unseen = report.per_label.iter().filter(|(_, label)| label.support == 0).count();
    let caption = match unseen {
        0 => "In the order of the model's labels.".to_owned(),
        _ => format!(
            "In the order of the model's labels. {} in grey: no article here has {}, so nothing can be said about {}.",
            counted(unseen, "label"),
            if unseen == 1 { "it" } else { "them" },
            if unseen == 1 { "it" } else { "them" }
        ),
    };
    let threshold_header = if with_thresholds { "<th scope=\"col\">Threshold</th>" } else { "" };
    format!(
        "<h2 id=\"labels\">Each label</h2>\n{}<div class=\"scroll\" role=\"region\" aria-label=\"Metrics of each label\" tabindex=\"0\">\n\
         <table class=\"labels\" data-sortable>\n<caption><span>{caption}</span></caption>\n<thead><tr><th scope=\"col\">Label</th><th scope=\"col\">Articles</th>\
         <th scope=\"col\">F1</th><th scope=\"col\">Precision</th><th scope=\"col\">Recall</th>\
         <th scope=\"col\">Average precision</th><th scope=\"col\">ROC-AUC</th>{threshold_header}</tr></thead>\n\
         <tbody>\n{}</tbody>\n</table>\n</div>\n",
        controls(
            "<label>Find a label <input type=\"search\" id=\"find-label\" autocomplete=\"off\"></label>",
            "labels-shown"
        ),
        rows.collect::<String>()
    )
}

fn label_row(drawn_as: Option<usize>, name: &str, label: &LabelReport, with_thresholds: bool) -> String {
    let name = escape(name);
    let shown = match drawn_as {
        Some(label_idx) => format!("<a href=\"#label-{label_idx}\">{name}</a>"),
        None => name.clone(),
    };
    let threshold = match with_thresholds {
        true => format!("<td>{}</td>", number_or_dash(label.threshold)),
        false => String::new(),
    };
    format!(
        "<tr{unseen}><th scope=\"row\" title=\"{name}\">{shown}</th><td>{support}</td>\
         <td class=\"meter\"><span><span class=\"bar\" aria-hidden=\"true\"><span style=\"width:{width:.1}%\"></span></span>{f1}</span></td>\
         <td>{precision}</td><td>{recall}</td><td>{average_precision}</td><td>{roc_auc}</td>{threshold}</tr>\n",
        unseen = if label.support == 0 { " class=\"unseen\"" } else { "" },
        support = grouped(label.support as u64),
        width = 100.0 * label.f1.clamp(0.0, 1.0),
        f1 = number(label.f1),
        precision = number(label.precision),
        recall = number(label.recall),
        average_precision = number_or_dash(label.average_precision),
        roc_auc = number_or_dash(label.roc_auc),
    )
}

/// What was taken for what: the heat table, and its largest wrong entries in words.
fn confusions(report: &EvaluationReport) -> String {
    let multi = report.cooccurrence.as_ref().map(|cooccurrence| &cooccurrence.confused);
    let Some(matrix) = report.confusion_matrix.as_ref().or(multi) else { return String::new() };
    let (title, meaning) = match report.task {
        Task::Single => (
            "Confusion matrix",
            "Each row holds the articles of one label, each column those that were given it. The diagonal is right.",
        ),
        Task::Multi => (
            "Wrong labels beside right ones",
            "Each row holds the articles of one label; a column tells how many of them were wrongly given that label as \
             well. The diagonal counts those that were rightly given the label of the row.",
        ),
    };
    let mut wrong: Vec<(u64, usize, usize)> = entries(matrix).filter(|&(count, t, p)| t != p && count > 0).collect();
    wrong.sort_by_key(|&(count, t, p)| (std::cmp::Reverse(count), t, p));
    let name = |idx: usize| report.per_label.get(idx).map(|(name, _)| escape(name)).unwrap_or_default();
    let support = |idx: usize| report.per_label.get(idx).map_or(0, |(_, label)| label.support);
    let line = |&(count, t, p): &(u64, usize, usize)| {
        format!(
            "<li><b>{}</b> given to {} of {} of <b>{}</b></li>\n",
            name(p),
            grouped(count),
            counted(support(t), "article"),
            name(t)
        )
    };
    let lines: String = wrong.iter().take(LISTED_PAIRS).map(line).collect();
    let list = match lines.as_str() {
        "" => "<p>No article was given a wrong label.</p>\n".to_owned(),
        lines => format!("<p>The most frequent mistakes:</p>\n<ul class=\"pairs\">\n{lines}</ul>\n"),
    };
    format!("<h2 id=\"confusions\">{title}</h2>\n{list}{}", heat_table(report, matrix, title, meaning))
}

fn heat_table(report: &EvaluationReport, matrix: &[Vec<u64>], title: &str, meaning: &str) -> String {
    let headers = report.per_label.iter().map(|(name, _)| {
        let name = escape(name);
        format!("<th scope=\"col\" title=\"{name}\"><span>{name}</span></th>")
    });
    let rows = report.per_label.iter().zip(matrix).enumerate().map(|(t, ((name, label), counts))| {
        let cells = counts.iter().enumerate().map(|(p, &count)| heat_cell(count, label.support, t == p));
        let name = escape(name);
        format!("<tr><th scope=\"row\" title=\"{name}\">{name}</th>{}</tr>\n", cells.collect::<String>())
    });
    format!(
        "<div class=\"scroll\" role=\"region\" aria-label=\"{title}\" tabindex=\"0\">\n<table class=\"heat\">\n\
         <caption><span>{meaning} Colour: share of the row's articles.</span></caption>\n\
         <thead><tr><th scope=\"col\">has ↓ given →</th>{}</tr></thead>\n<tbody>\n{}</tbody>\n</table>\n</div>\n",
        headers.collect::<String>(),
        rows.collect::<String>()
    )
}

fn heat_cell(count: u64, row_total: usize, is_hit: bool) -> String {
    if count == 0 {
        return "<td>·</td>".to_owned();
    }
    let share = (count as f64 / row_total.max(1) as f64).min(1.0);
    // Even a single mistake among thousands of articles shows a tint.
    let tint = 12.0 + 88.0 * share;
    let hot = if tint >= 100.0 * HOT_SHARE { " hot" } else { "" };
    let kind = if is_hit { "hit" } else { "miss" };
    format!("<td class=\"{kind}{hot}\" style=\"--share:{tint:.0}%\">{}</td>", grouped(count))
}

/// Pairs of labels that the predictions join more or less often than the truth does.
fn together(report: &EvaluationReport) -> String {
    let Some(cooccurrence) = &report.cooccurrence else { return String::new() };
    let predicted = |i: usize, j: usize| cooccurrence.predicted.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0);
    let mut pairs: Vec<(u64, u64, usize, usize)> = entries(&cooccurrence.truth)
        .filter(|&(_, i, j)| i < j)
        .map(|(truth, i, j)| (truth, predicted(i, j), i, j))
        .filter(|&(truth, predicted, ..)| truth != predicted)
        .collect();
    pairs.sort_by_key(|&(truth, predicted, i, j)| (std::cmp::Reverse(truth.abs_diff(predicted)), i, j));
    let name = |idx: usize| report.per_label.get(idx).map(|(name, _)| escape(name)).unwrap_or_default();
    let row = |&(truth, predicted, i, j): &(u64, u64, usize, usize)| {
        let difference = i128::from(predicted) - i128::from(truth);
        format!(
            "<tr><th scope=\"row\">{} and {}</th><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            name(i),
            name(j),
            grouped(truth),
            grouped(predicted),
            signed(format!("{difference:+}"))
        )
    };
    let rows: String = pairs.iter().take(LISTED_PAIRS).map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<h2 id=\"together\">Labels that occur together</h2>\n<div class=\"scroll\" role=\"region\" aria-label=\"Pairs of labels\" tabindex=\"0\">\n\
         <table>\n<caption><span>The pairs whose predicted number of articles is furthest from the true one.</span></caption>\n\
         <thead><tr><th scope=\"col\">Pair</th><th scope=\"col\">Have both</th><th scope=\"col\">Were given both</th>\
         <th scope=\"col\">Difference</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n"
    )
}

/// Controls that need the script, which shows them, and a place where it tells how much is shown.
fn controls(inside: &str, status_id: &str) -> String {
    format!(
        "<div class=\"controls\" hidden>{inside} <span id=\"{status_id}\" role=\"status\" class=\"subtitle\"></span></div>\n"
    )
}

/// A choice among the labels, by number.
fn label_options(report: &EvaluationReport, first: &str) -> String {
    let names = report.per_label.iter().enumerate();
    let names = names.map(|(i, (name, _))| format!("<option value=\"{i}\">{}</option>", escape(name)));
    format!("<option value=\"\">{first}</option>{}", names.collect::<String>())
}

/// The entries of a matrix with their row and column.
fn entries(matrix: &[Vec<u64>]) -> impl Iterator<Item = (u64, usize, usize)> {
    matrix.iter().enumerate().flat_map(|(i, row)| row.iter().enumerate().map(move |(j, &count)| (count, i, j)))
}

/// A line from 0 to 1 with the interval and the value on it.
fn range(value: Option<f64>, low: f64, high: f64) -> String {
    // The ends are round, so the line keeps a margin of 4 on either side of 200 units.
    let x = |value: f64| 4.0 + 192.0 * value.clamp(0.0, 1.0);
    let dot = value.map(|value| format!("<circle cx=\"{:.1}\" cy=\"5\" r=\"2.5\"/>", x(value)));
    format!(
        "<svg class=\"range\" viewBox=\"0 0 200 10\" preserveAspectRatio=\"xMinYMid meet\" aria-hidden=\"true\">\
         <line class=\"track\" x1=\"4\" x2=\"196\" y1=\"5\" y2=\"5\"/>\
         <line class=\"span\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"5\" y2=\"5\"/>{}</svg>",
        x(low),
        x(high),
        dot.unwrap_or_default()
    )
}

/// A metric's title and what it says, for readers who are not at home in the field.
fn describe(metric: Metric) -> (&'static str, &'static str) {
    match metric {
        Metric::Accuracy => ("Accuracy", "Share of articles with the right label."),
        Metric::SubsetAccuracy => ("Subset accuracy", "Share of articles with exactly the right set of labels."),
        Metric::F1Micro => ("F1, micro", "F1 over all decisions together; frequent labels weigh most."),
        Metric::F1Macro => ("F1, macro", "Mean F1 of the labels; rare ones weigh as much as frequent ones."),
        Metric::F1Weighted => ("F1, weighted", "Mean F1 of the labels, weighted by their number of articles."),
        Metric::F1Samples => ("F1, samples", "Mean F1 of the articles' sets of labels."),
        Metric::PrecisionMicro => ("Precision, micro", "Share of the labels given that are right."),
        Metric::PrecisionMacro => ("Precision, macro", "Mean precision of the labels."),
        Metric::RecallMicro => ("Recall, micro", "Share of the true labels that were given."),
        Metric::RecallMacro => ("Recall, macro", "Mean recall of the labels."),
        Metric::HammingLoss => ("Hamming loss", "Share of all yes-or-no decisions that are wrong. Lower is better."),
        Metric::RocAucMacro => {
            ("ROC-AUC, macro", "How often an article with a label scores above one without it, mean over labels.")
        }
        Metric::MapMacro => {
            ("Mean average precision", "How well each label ranks its own articles first, whatever the threshold.")
        }
        Metric::LogLoss => ("Log-loss", "Surprise at the truth under the probabilities. Lower is better."),
        Metric::Brier => ("Brier score", "Mean squared error of the probabilities. Lower is better."),
        Metric::Ece => (
            "Calibration error",
            "How far probabilities are from frequencies, on average over 15 bins (ECE). Lower is better.",
        ),
    }
}

fn number(value: f64) -> String {
    format!("{value:.3}")
}

fn number_or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| UNDEFINED.to_owned(), number)
}

/// A number with its sign as a minus and not a hyphen.
fn signed(number: String) -> String {
    number.replace('-', "−")
}

/// `1 article`, `2,000 articles`.
fn counted(n: usize, noun: &str) -> String {
    format!("{} {noun}{}", grouped(n as u64), if n == 1 { "" } else { "s" })
}

/// Digits in groups of three.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let mut groups: Vec<&str> = if first > 0 { vec![&digits[..first]] } else { Vec::new() };
    groups.extend((first..digits.len()).step_by(3).map(|start| &digits[start..start + 3]));
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::labels::{LabelId, LabelSet, Targets};
    use crate::metrics::bootstrap::{BootstrapSettings, Interval};
    use crate::report::errors::{ErrorCase, SimilarArticle, most_instructive};
    use crate::report::extras::{MapArticles, Section};
    use crate::report::slices::{Slice, SliceTable};
    use crate::report::{Estimate, EvaluationInput};

    const HOSTILE: &str = "<script>alert('x')</script>\"&\u{0}";

    fn page(single: bool) -> String {
        let labels = LabelSet::from_names(["trade", HOSTILE, "absent"]).unwrap();
        let targets = match single {
            true => Targets::Single([0, 1, 0].map(LabelId).to_vec()),
            false => Targets::Multi(vec![vec![LabelId(0), LabelId(1)], vec![LabelId(1)], vec![LabelId(0)]]),
        };
        let probabilities = array![[0.6, 0.3, 0.1], [0.4, 0.5, 0.1], [0.2, 0.7, 0.1]];
        let decisions = array![[true, false, false], [false, true, false], [false, true, false]];
        let input = EvaluationInput {
            labels: &labels,
            targets: &targets,
            probabilities: probabilities.view(),
            decisions: decisions.view(),
            thresholds: (!single).then_some(&[0.5, 0.4, 0.9]),
        };
        let report = EvaluationReport::new(input, Some(BootstrapSettings::default())).unwrap();
        let extras = hostile_extras(input);
        let figures = Figures::new(&report, &extras).unwrap();
        render(&report, HOSTILE, &extras, &figures)
    }

    /// Everything that can come from outside is hostile.
    fn hostile_extras(input: EvaluationInput<'_>) -> ReportExtras<'_> {
        let found = most_instructive(&input, 40).unwrap();
        let neighbour = SimilarArticle {
            id: HOSTILE.into(),
            title: Some(HOSTILE.into()),
            labels: vec![HOSTILE.into()],
            similarity: -0.5,
        };
        let errors = found.into_iter().map(|found| ErrorCase {
            id: HOSTILE.into(),
            title: Some(HOSTILE.into()),
            excerpt: HOSTILE.into(),
            passages: vec![Some(HOSTILE.into()); found.wrong.len()],
            neighbours: vec![neighbour.clone(); 2],
            found,
        });
        let mut map = MapArticles::default();
        for i in 0..3 {
            map.push(HOSTILE, Some(HOSTILE), &[i as f32, 1.0]);
        }
        ReportExtras {
            input: Some(input),
            map,
            errors: errors.collect(),
            settings: vec![(HOSTILE.into(), HOSTILE.into())],
            sections: vec![Section { title: HOSTILE.into(), html: "<p>more</p>".into() }],
            ..ReportExtras::default()
        }
    }

    #[test]
    fn slices_stand_worst_first_and_are_escaped() {
        let slice = |value: &str, f1: f64| Slice {
            value: value.into(),
            n: 1200,
            metric: Metric::F1Micro,
            estimate: Estimate { value: Some(f1), interval: Some(Interval { low: f1 - 0.1, high: f1 + 0.1 }) },
        };
        let tables = [SliceTable { column: "<b>".into(), slices: vec![slice(HOSTILE, 0.5), slice("b", 0.9)] }];
        let html = overview::slices(&tables);
        assert!(html.contains("<h3>By &lt;b&gt;</h3>") && !html.contains("<script"));
        assert!(html.contains("<td>1,200</td>") && html.contains("0.400 to 0.600"));
        assert_eq!(overview::slices(&[]), "");
    }

    #[test]
    fn a_page_without_extras_has_no_empty_sections() {
        let report = single_report();
        let page = render(&report, "m", &ReportExtras::default(), &Figures::default());
        for absent in ["id=\"errors\"", "id=\"map\"", "id=\"slices\"", "id=\"curves\"", "id=\"settings\"", "#label-0"] {
            assert!(
                !page.split_once("</nav>").unwrap().1.split_once("<script>").unwrap().0.contains(absent),
                "{absent}"
            );
        }
    }

    fn single_report() -> EvaluationReport {
        let probabilities = array![[0.6, 0.4], [0.4, 0.6]];
        let decisions = probabilities.mapv(|p| p > 0.5);
        let input = EvaluationInput {
            labels: &LabelSet::from_names(["a", "b"]).unwrap(),
            targets: &Targets::Single(vec![LabelId(0), LabelId(1)]),
            probabilities: probabilities.view(),
            decisions: decisions.view(),
            thresholds: None,
        };
        EvaluationReport::new(input, None).unwrap()
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        for single in [true, false] {
            let page = page(single);
            let scripts: Vec<_> = page.to_lowercase().match_indices("<script").map(|(at, _)| at).collect();
            assert_eq!(scripts.len(), 1, "a script tag got through");
            assert!(page[scripts[0]..].starts_with(concat!("<script>", include_str!("report.js"), "</script>")));
            let escaped = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;\u{fffd}";
            assert!(page.contains(&format!("<title>{escaped}</title>")));
            assert!(page.contains(&format!("<th scope=\"row\" title=\"{escaped}\">{escaped}</th>")));
            assert!(!page.contains('\u{0}'));
        }
    }

    #[test]
    fn the_page_loads_nothing_and_its_tags_are_balanced() {
        for single in [true, false] {
            let page = page(single);
            for outside in ["http:", "https:", " src=", "@import", "url(", " on"] {
                let own_script = page.split_once("<script>").unwrap();
                let (head, body) = own_script.0.split_once("</style>").unwrap();
                let inside = if outside == " on" { body.contains(" onclick=") } else { page.contains(outside) };
                assert!(!inside && head.contains("default-src 'none'"), "{outside}");
            }
            assert_eq!(page.matches(" href=\"").count(), page.matches(" href=\"#").count());
            for tag in [
                "small", "table", "thead", "tbody", "tr", "th", "td", "caption", "ul", "li", "span", "svg", "div", "p",
                "h2", "h3", "details", "summary", "select", "option", "label", "title", "desc", "text", "article", "q",
                "nav",
            ] {
                let page = page.split_once("<script>").unwrap().0;
                let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
                assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
            }
        }
    }

    #[test]
    fn the_page_shows_what_the_task_has() {
        let (single, multi) = (page(true), page(false));
        assert!(single.contains(">Confusion matrix</h2>") && !single.contains("occur together"));
        assert!(multi.contains(">Wrong labels beside right ones</h2>") && multi.contains("occur together"));
        assert!(multi.contains("With a threshold of 0.5") && !single.contains("With a threshold of 0.5"));
        assert!(multi.contains("1 label in grey: no article here has it"));
        assert!(multi.contains("95 % intervals from 1,000 bootstrap resamples"));
        assert!(single.contains("given to 1 of 2 articles of <b>trade</b>"));
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        let grouped_of = [0, 12, 123, 1234, 123_456, 1_234_567].map(grouped);
        assert_eq!(grouped_of, ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
    }
}
