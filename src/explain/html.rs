//! Explanations as one HTML page that needs nothing else: no script, no network, no other file.

use super::{Explanation, LabelExplanation, Neighbour, Vote, WordPull};
use crate::report::page::{escape, page};
use crate::text::article_passages::Field;
use crate::views::ViewKind;

/// Colours of labels in `explain.css`; a page with more labels uses them in turn.
const N_COLOURS: usize = 6;

/// The page. Like all that comes from articles, the model's name may hold any text and is escaped.
pub fn render(explanations: &[Explanation], model: &str) -> String {
    let model = escape(model);
    let articles: String = explanations.iter().enumerate().map(|(i, own)| article(own, i + 1)).collect();
    let (title, contents) = match explanations {
        [only] => (format!("{} · why its labels", name(only)), String::new()),
        several => (format!("{} articles · why their labels", several.len()), contents(several)),
    };
    let main = format!(
        "<h1>Why these labels <span>model {model}</span></h1>\n{contents}{articles}\
         <footer>topicwire {version}. A passage's score is the probability of the label were there no more to read; a view's \
         probability is that of the label were this the only view. A word's number is what it adds to the label's log-odds.\
         </footer>\n",
        version = env!("CARGO_PKG_VERSION"),
    );
    page(&title, include_str!("explain.css"), &main)
}

/// Links to several articles.
fn contents(explanations: &[Explanation]) -> String {
    let items = explanations.iter().enumerate().map(|(i, explanation)| {
        let labels: Vec<String> = explanation.labels.iter().map(|label| escape(&label.label)).collect();
        let labels = labels.join(", ");
        format!("<li><a href=\"#article-{}\">{}</a> <small>{labels}</small></li>\n", i + 1, name(explanation))
    });
    format!("<nav aria-label=\"Articles\">\n<ol>\n{}</ol>\n</nav>\n", items.collect::<String>())
}

/// The title, or the id where there is none.
fn name(explanation: &Explanation) -> String {
    let title = explanation.title.as_deref().map(str::trim).filter(|title| !title.is_empty());
    escape(title.unwrap_or(&explanation.id))
}

fn article(explanation: &Explanation, number: usize) -> String {
    let title = explanation.segments(Field::Title);
    let title = title.iter().map(|segment| marked(explanation, segment.text, &segment.labels, &segment.ends));
    let title = Some(title.collect::<String>()).filter(|title| !title.trim().is_empty());
    let details: String = explanation.labels.iter().enumerate().map(|(i, label)| details(label, i)).collect();
    format!(
        "<article id=\"article-{number}\" aria-labelledby=\"title-{number}\">\n\
         <h2 id=\"title-{number}\" lang=\"\" dir=\"auto\">{title}</h2>\n<p class=\"subtitle\">id {id}</p>\n{labels}\
         <h3>Text</h3>\n<div class=\"text\" lang=\"\">\n{text}</div>\n<h3>Reasons</h3>\n<div class=\"reasons\">\n{details}</div>\n\
         {neighbours}</article>\n",
        title = title.unwrap_or_else(|| name(explanation)),
        id = escape(&explanation.id),
        labels = labels(explanation),
        text = text(explanation),
        neighbours = neighbours(&explanation.neighbours),
    )
}

/// The labels with their colours: results and legend in one.
fn labels(explanation: &Explanation) -> String {
    let rows = explanation.labels.iter().enumerate().map(|(label_idx, label)| {
        let verdict = match (label.assigned, label.threshold) {
            (true, Some(threshold)) => format!("assigned <small>from {threshold:.3} on</small>"),
            (false, Some(threshold)) => format!("not assigned <small>below {threshold:.3}</small>"),
            (true, None) => "assigned".to_owned(),
            (false, None) => "not assigned".to_owned(),
        };
        format!(
            "<tr class=\"{colour}\"><th scope=\"row\">{chip}</th>{meter}<td>{verdict}</td></tr>\n",
            colour = colour(label_idx),
            chip = chip(label, label_idx),
            meter = meter(label.probability, label.threshold, 3),
        )
    });
    let meaning = match explanation.labels.iter().any(|label| label.threshold.is_some()) {
        true => "A label is assigned where its probability reaches the threshold, the line across the bar.",
        false => "The most probable label is assigned.",
    };
    format!(
        "<div class=\"scroll\" role=\"region\" aria-label=\"Labels\" tabindex=\"0\">\n<table class=\"labels\">\n\
         <caption><span>{meaning} In the text, the passages that carry a label have its colour.</span></caption>\n\
         <thead><tr><th scope=\"col\">Label</th><th scope=\"col\">Probability</th><th scope=\"col\">Verdict</th>\
         </tr></thead>\n<tbody>\n{}</tbody>\n</table>\n</div>\n",
        rows.collect::<String>()
    )
}

/// The text in paragraphs, parted by blank lines; evidence is marked.
fn text(explanation: &Explanation) -> String {
    let mut paragraphs = vec![String::new()];
    for segment in explanation.segments(Field::Text) {
        let pieces = split_at_blank_lines(segment.text);
        let last = pieces.len() - 1;
        for (i, piece) in pieces.into_iter().enumerate() {
            if i > 0 {
                paragraphs.push(String::new());
            }
            let ends = if i == last { &segment.ends[..] } else { &[] };
            paragraphs.last_mut().expect("there is a first").push_str(&marked(
                explanation,
                piece,
                &segment.labels,
                ends,
            ));
        }
    }
    let filled = paragraphs.iter().filter(|paragraph| !paragraph.trim().is_empty());
    filled.map(|paragraph| format!("<p dir=\"auto\">{paragraph}</p>\n")).collect()
}

/// The parts of a text between its blank lines, one at least. Parts at the ends may be empty, and then a neighbour begins or ends there.
fn split_at_blank_lines(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut blanks: Option<(usize, usize)> = None;
    for (at, c) in text.char_indices().chain([(text.len(), '.')]) {
        if c.is_whitespace() {
            blanks.get_or_insert((at, 0)).1 += usize::from(c == '\n');
        } else if let Some((from, n_line_feeds)) = blanks.take()
            && n_line_feeds > 1
        {
            parts.push(&text[start..from]);
            start = at;
        }
    }
    parts.push(&text[start..]);
    parts
}

/// A piece of a text, marked if it is evidence; behind it stand the labels whose passage ends there.
fn marked(explanation: &Explanation, text: &str, labels: &[usize], ends: &[usize]) -> String {
    let text = clean(text);
    let Some(&first) = labels.first() else { return text };
    let ends = ends.iter().map(|&label_idx| {
        let name = escape(&explanation.labels[label_idx].label);
        format!(
            "<span class=\"tag {}\"><span class=\"unseen\"> (evidence for </span>{name}<span class=\"unseen\">)</span></span>",
            colour(label_idx)
        )
    });
    format!("<mark class=\"{}\"{}>{text}{}</mark>", colour(first), bands(labels), ends.collect::<String>())
}

/// One band of colour for each of several labels.
fn bands(labels: &[usize]) -> String {
    if labels.len() < 2 {
        return String::new();
    }
    let share = 100.0 / labels.len() as f64;
    let stops = labels.iter().enumerate().map(|(i, label_idx)| {
        let (from, to) = (share * i as f64, share * (i + 1) as f64);
        format!("var(--tint-{}) {from:.0}% {to:.0}%", label_idx % N_COLOURS)
    });
    format!(" style=\"background:linear-gradient({})\"", stops.collect::<Vec<_>>().join(","))
}

/// Why an article has one label, or not.
fn details(label: &LabelExplanation, label_idx: usize) -> String {
    format!(
        "<section class=\"{}\">\n<h4>{} <small>{:.3}</small></h4>\n{}{}{}</section>\n",
        colour(label_idx),
        chip(label, label_idx),
        label.probability,
        votes(&label.votes),
        passages(label),
        words(&label.words)
    )
}

fn votes(votes: &[Vote]) -> String {
    let rows = votes.iter().map(|vote| {
        let meter = meter(vote.probability, None, 2);
        format!(
            "<tr><th scope=\"row\">{}</th>{meter}<td>{}</td></tr>\n",
            describe(vote.view),
            signed(format!("{:.2}", vote.weight))
        )
    });
    format!(
        "<table class=\"votes\">\n<caption>What each view says</caption>\n<thead><tr><th scope=\"col\">View</th>\
         <th scope=\"col\">Probability</th><th scope=\"col\">Weight</th></tr></thead>\n<tbody>\n{}</tbody>\n</table>\n",
        rows.collect::<String>()
    )
}

/// A view for readers who are not at home in the field.
fn describe(view: ViewKind) -> &'static str {
    match view {
        ViewKind::Document => "whole article",
        ViewKind::Passages => "best passages",
        ViewKind::Words => "words",
        ViewKind::Descriptions => "label descriptions",
        ViewKind::Rules => "keywords and patterns",
        ViewKind::Metadata => "columns beside its text",
    }
}

fn passages(label: &LabelExplanation) -> String {
    let items = label.evidence.iter().map(|evidence| {
        format!(
            "<li><q lang=\"\" dir=\"auto\">{}</q> <small>score {:.2}</small></li>\n",
            clean(&evidence.text),
            evidence.score
        )
    });
    let items: String = items.collect();
    if items.is_empty() {
        items
    } else {
        format!("<h5>Passages that carry it</h5>\n<ol class=\"passages\">\n{items}</ol>\n")
    }
}

fn words(words: &[WordPull]) -> String {
    let (in_favour, against): (Vec<&WordPull>, Vec<&WordPull>) = words.iter().partition(|word| word.pull > 0.0);
    // The strongest first on either side.
    let sides =
        [("for", "Words for it", in_favour), ("against", "Words against it", against.into_iter().rev().collect())];
    let sides = sides.into_iter().filter(|(.., words)| !words.is_empty()).map(|(side, title, words)| {
        let item = |word: &&WordPull| {
            let pull = signed(format!("{:+.2}", word.pull));
            format!("<li><span lang=\"\" dir=\"auto\">{}</span> <small>{pull}</small></li>\n", escape(&word.word))
        };
        format!("<h5>{title}</h5>\n<ul class=\"words {side}\">\n{}</ul>\n", words.iter().map(item).collect::<String>())
    });
    sides.collect()
}

fn neighbours(neighbours: &[Neighbour]) -> String {
    let rows = neighbours.iter().map(|neighbour| {
        let title = neighbour.title.as_deref().map(str::trim).filter(|title| !title.is_empty());
        let id = title.map(|_| format!("<small>{}</small>", escape(&neighbour.id)));
        let labels = if neighbour.labels.is_empty() { "no label".to_owned() } else { neighbour.labels.join(", ") };
        format!(
            "<tr><th scope=\"row\"><span lang=\"\" dir=\"auto\">{}</span>{}</th><td>{}</td><td>{}</td></tr>\n",
            escape(title.unwrap_or(&neighbour.id)),
            id.unwrap_or_default(),
            escape(&labels),
            signed(format!("{:.2}", neighbour.similarity))
        )
    });
    let rows: String = rows.collect();
    if rows.is_empty() {
        return rows;
    }
    format!(
        "<h3>Most similar training articles</h3>\n\
         <div class=\"scroll\" role=\"region\" aria-label=\"Most similar training articles\" tabindex=\"0\">\n\
         <table class=\"neighbours\">\n<caption><span>What the model has learnt from, by the similarity of embeddings (1 is the same).</span></caption>\n\
         <thead><tr><th scope=\"col\">Article</th><th scope=\"col\">Labels</th><th scope=\"col\">Similarity</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>\n</div>\n"
    )
}

/// A cell with a share as a bar and a number, and a line across the bar where a threshold is.
fn meter(share: f64, threshold: Option<f64>, n_decimals: usize) -> String {
    let percent = |share: f64| 100.0 * share.clamp(0.0, 1.0);
    let line = threshold.map(|threshold| format!("<i style=\"left:{:.1}%\"></i>", percent(threshold)));
    format!(
        "<td class=\"meter\"><span><span class=\"bar\" aria-hidden=\"true\"><span style=\"width:{:.1}%\"></span>{}</span>{share:.n_decimals$}</span></td>",
        percent(share),
        line.unwrap_or_default()
    )
}

fn chip(label: &LabelExplanation, label_idx: usize) -> String {
    let name = escape(&label.label);
    format!("<span class=\"chip {}\" title=\"{name}\">{name}</span>", colour(label_idx))
}

fn colour(label_idx: usize) -> String {
    format!("c{}", label_idx % N_COLOURS)
}

/// A number with its sign as a minus and not a hyphen.
fn signed(number: String) -> String {
    number.replace('-', "−")
}

/// Text of articles, escaped. Its line feeds stay; what else is white space is a blank and not a control character to be shown.
fn clean(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        escape(&line.replace(|c: char| c.is_control() && c.is_whitespace(), " "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::tests::{hostile, sample, sample_of_one_label};

    /// What the page says, without its look.
    fn body(page: &str) -> &str {
        page.split_once("</style>").expect("there is a style").1
    }

    #[test]
    fn the_page_of_an_article() {
        insta::assert_snapshot!(
            body(&render(&[sample()], "models/news")).replace(env!("CARGO_PKG_VERSION"), "VERSION")
        );
    }

    #[test]
    fn nothing_breaks_out_of_the_page() {
        let page = render(&[hostile(), sample()], "<script>m</script>");
        assert!(!page.to_lowercase().contains("<script") && !page.contains("<b>"), "{page}");
        assert!(page.contains("&lt;script&gt;m&lt;/script&gt;"));
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()));
        for outside in ["http:", "https:", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("<a href=\"#article-2\">") && page.contains("<article id=\"article-2\""));
    }

    #[test]
    fn tags_are_balanced() {
        for page in [render(&[sample()], "m"), render(&[sample_of_one_label(), hostile()], "m")] {
            let tags = [
                "a", "article", "caption", "div", "h2", "h3", "h4", "h5", "i", "li", "mark", "nav", "ol", "p", "q",
                "section", "small", "span", "table", "tbody", "td", "th", "thead", "tr", "ul",
            ];
            for tag in tags {
                let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
                assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
            }
        }
    }

    #[test]
    fn what_a_model_lacks_has_no_heading() {
        let page = render(&[sample_of_one_label()], "m");
        for absent in ["Words for it", "Words against it", "similar training articles", "<nav"] {
            assert!(!body(&page).contains(absent), "{absent}");
        }
        assert!(page.contains("The most probable label is assigned."));
    }

    #[test]
    fn a_passage_over_a_blank_line_is_marked_on_both_sides_and_named_once() {
        let mut explanation = sample_of_one_label();
        explanation.text = "One\nline.\n \r\n\nTwo.  Three.\n\n".to_owned();
        explanation.labels[0].evidence[0].start = 4;
        explanation.labels[0].evidence[0].end = 18;
        let tag = "<span class=\"tag c0\"><span class=\"unseen\"> (evidence for </span>trade<span class=\"unseen\">)</span></span>";
        let expected = format!(
            "<p dir=\"auto\">One\n<mark class=\"c0\">line.</mark></p>\n<p dir=\"auto\"><mark class=\"c0\">Two.{tag}</mark>  Three.</p>\n"
        );
        assert_eq!(text(&explanation), expected);
    }

    #[test]
    fn texts_are_split_at_blank_lines() {
        for (text, expected) in [
            ("", &[""][..]),
            ("a\nb", &["a\nb"]),
            ("a\n\nb \n\t\r\n c", &["a", "b", "c"]),
            ("\n\na\n\n", &["", "a", ""]),
        ] {
            assert_eq!(split_at_blank_lines(text), expected, "{text:?}");
        }
    }
}
