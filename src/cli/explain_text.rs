//! Explanations for people at a terminal.

use clap::builder::styling::{AnsiColor, Style};

use super::terminal::Look;
use super::wrapped::Wrapped;
use crate::explain::{Explanation, LabelExplanation, WordPull};
use crate::text::article_passages::Field;

/// Columns of a bar from 0 to 1.
const BAR_COLUMNS: usize = 20;

/// Colours of labels, in turn; they can be told apart on light and on dark.
const LABEL_COLOURS: [AnsiColor; 6] =
    [AnsiColor::Cyan, AnsiColor::Magenta, AnsiColor::Green, AnsiColor::Yellow, AnsiColor::Blue, AnsiColor::Red];

/// The styles of a look: none where there are no colours.
impl Look {
    fn style(self, style: Style) -> Style {
        if self.has_colours { style } else { Style::new() }
    }

    fn bold(self) -> Style {
        self.style(Style::new().bold())
    }

    fn faint(self) -> Style {
        self.style(Style::new().dimmed())
    }

    fn label(self, label_idx: usize) -> Style {
        let colour = LABEL_COLOURS[label_idx % LABEL_COLOURS.len()];
        self.style(Style::new().fg_color(Some(colour.into())))
    }

    fn label_name(self, label_idx: usize) -> Style {
        self.style(self.label(label_idx).bold())
    }
}

/// An article, why it has its labels, and where in the text that shows. Ends with a line feed.
pub fn render(explanation: &Explanation, look: Look) -> String {
    let mut page = Page { lines: Wrapped::new(look.width), look, explanation };
    page.heading();
    for (label_idx, label) in explanation.labels.iter().enumerate() {
        page.label(label_idx, label);
    }
    page.section("text");
    page.marked(Field::Text, Style::new());
    page.neighbours();
    page.lines.finish()
}

/// What stands between two articles.
pub fn rule(look: Look) -> String {
    let faint = look.faint();
    format!("\n{faint}{}{faint:#}\n\n", "─".repeat(look.width))
}

struct Page<'a> {
    lines: Wrapped,
    look: Look,
    explanation: &'a Explanation,
}

impl Page<'_> {
    fn heading(&mut self) {
        let explanation = self.explanation;
        let has_title = explanation.title.as_deref().is_some_and(|title| !title.trim().is_empty());
        if has_title {
            self.marked(Field::Title, self.look.bold());
            self.lines.line(0);
        }
        let style = if has_title { self.look.faint() } else { self.look.bold() };
        self.lines.push(&format!("id {}", explanation.id), style);
    }

    fn label(&mut self, label_idx: usize, label: &LabelExplanation) {
        let colour = self.look.label(label_idx);
        self.lines.blank(0);
        self.lines.push(&label.label, self.look.label_name(label_idx));
        self.lines.line(0);
        self.lines.push_fixed(&format!("{:.3} ", label.probability), Style::new());
        self.bar(label.probability, colour);
        let verdict = match (label.assigned, label.threshold) {
            (true, Some(threshold)) => format!(" assigned, from {threshold:.3} on"),
            (true, None) => " assigned, the most probable label".to_owned(),
            (false, Some(threshold)) => format!(" not assigned, below {threshold:.3}"),
            (false, None) => " not assigned, another label is more probable".to_owned(),
        };
        self.lines.push(&verdict, Style::new());
        self.votes(label, colour);
        self.passages(label);
        self.words(label);
    }

    fn votes(&mut self, label: &LabelExplanation, colour: Style) {
        let columns = label.votes.iter().map(|vote| vote.view.name().len()).max().unwrap_or(0);
        self.heading_within("views", !label.votes.is_empty());
        for vote in &label.votes {
            self.lines.line(2);
            self.lines.push_fixed(&format!("{:columns$} {:.3} ", vote.view.name(), vote.probability), Style::new());
            self.bar(vote.probability, colour);
            self.lines.push(&format!(" weight {}", signed(vote.weight, false)), self.look.faint());
        }
    }

    fn passages(&mut self, label: &LabelExplanation) {
        self.heading_within("passages", !label.evidence.is_empty());
        for evidence in &label.evidence {
            self.lines.line(2);
            self.lines.push_fixed(&format!("{:.3} ", evidence.score), Style::new());
            self.lines.hang(8);
            // One paragraph, however the text is broken.
            self.lines
                .push(&format!("“{}”", evidence.text.split_whitespace().collect::<Vec<_>>().join(" ")), Style::new());
        }
    }

    fn words(&mut self, label: &LabelExplanation) {
        self.heading_within("words", !label.words.is_empty());
        let (in_favour, against): (Vec<&WordPull>, Vec<&WordPull>) =
            label.words.iter().partition(|word| word.pull > 0.0);
        // The strongest first on either side.
        for (sign, words) in [("+", in_favour), ("−", against.into_iter().rev().collect())] {
            if words.is_empty() {
                continue;
            }
            self.lines.line(2);
            self.lines.push_fixed(&format!("{sign} "), Style::new());
            self.lines.hang(4);
            for (i, word) in words.iter().enumerate() {
                // A word stays with its number.
                let name = word.word.replace(' ', "\u{a0}");
                let comma = if i + 1 < words.len() { ", " } else { "" };
                self.lines.push(&format!("{name}\u{a0}{}{comma}", signed(word.pull, true)), Style::new());
            }
        }
    }

    fn neighbours(&mut self) {
        let neighbours = &self.explanation.neighbours;
        if neighbours.is_empty() {
            return;
        }
        self.section("most similar training articles");
        for (i, neighbour) in neighbours.iter().enumerate() {
            if i > 0 {
                self.lines.line(0);
            }
            self.lines.push_fixed(&format!("{} ", signed(neighbour.similarity, false)), Style::new());
            self.lines.hang(6);
            self.lines.push(neighbour.title.as_deref().unwrap_or(&neighbour.id), Style::new());
            let labels = match &neighbour.labels[..] {
                [] => "no label".to_owned(),
                labels => labels.join(", "),
            };
            self.lines.push(&format!(" ({labels})"), self.look.faint());
        }
    }

    fn section(&mut self, name: &str) {
        self.lines.blank(0);
        self.lines.push(name, self.look.bold());
        self.lines.line(0);
    }

    fn heading_within(&mut self, name: &str, is_wanted: bool) {
        if is_wanted {
            self.lines.line(0);
            self.lines.push(name, self.look.faint());
        }
    }

    /// A field with its evidence in brackets that name the labels.
    fn marked(&mut self, field: Field, plain: Style) {
        let explanation = self.explanation;
        for segment in explanation.segments(field) {
            let Some(&first) = segment.labels.first() else {
                self.lines.push(segment.text, plain);
                continue;
            };
            let (colour, name_style) = (self.look.label(first), self.look.label_name(first));
            self.lines.push("[", name_style);
            for (i, &label_idx) in segment.labels.iter().enumerate() {
                let comma = if i > 0 { ", " } else { "" };
                let name = &explanation.labels[label_idx].label;
                self.lines.push(&format!("{comma}{name}"), self.look.label_name(label_idx));
            }
            self.lines.push(": ", name_style);
            self.lines.push(segment.text, colour);
            self.lines.push("]", name_style);
        }
    }

    fn bar(&mut self, share: f64, colour: Style) {
        let n_full = (share.clamp(0.0, 1.0) * BAR_COLUMNS as f64).round() as usize;
        self.lines.push_fixed(&"█".repeat(n_full), colour);
        self.lines.push_fixed(&"░".repeat(BAR_COLUMNS - n_full), self.look.faint());
    }
}

/// Two decimals with a minus that is none of a hyphen's; `+` on request.
fn signed(number: f64, with_plus: bool) -> String {
    let text = if with_plus { format!("{number:+.2}") } else { format!("{number:.2}") };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::tests::{hostile, sample, sample_of_one_label};

    const PLAIN: Look = Look { width: 72, has_colours: false };

    #[test]
    fn an_article_without_colours() {
        insta::assert_snapshot!(render(&sample(), PLAIN));
    }

    #[test]
    fn an_article_of_a_model_that_knows_little() {
        insta::assert_snapshot!(render(&sample_of_one_label(), Look { width: 40, ..PLAIN }));
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        for explanation in [sample(), sample_of_one_label()] {
            let coloured = render(&explanation, Look { has_colours: true, ..PLAIN });
            let mut plain = String::new();
            for (i, part) in coloured.split('\u{1b}').enumerate() {
                plain.push_str(if i == 0 { part } else { part.split_once('m').unwrap().1 });
            }
            assert_eq!(plain, render(&explanation, PLAIN));
            let is_closed = |line: &str| line.rfind('\u{1b}').is_none_or(|at| line[at..].starts_with("\u{1b}[0m"));
            assert!(coloured.lines().all(is_closed), "a colour runs on into the next line");
        }
    }

    #[test]
    fn text_from_outside_gives_the_terminal_no_orders() {
        let shown = render(&hostile(), PLAIN);
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        assert!(!shown.contains('\u{202e}'));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [40, 60, 100] {
            let shown = render(&sample(), Look { width, ..PLAIN });
            assert!(shown.lines().all(|line| line.chars().count() <= width && !line.ends_with(' ')), "{shown}");
        }
    }
}
