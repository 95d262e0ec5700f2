//! Articles as points of a plane, with their labels and whether these are right.

use ndarray::ArrayView2;
use serde::Serialize;

use super::Plot;
use crate::report::page::escape;

/// Units of the drawing, without its legend.
const WIDTH: u32 = 760;
const HEIGHT: u32 = 600;
const MARGIN: f64 = 16.0;

/// The legend has so many columns, and rows of this height.
const LEGEND_COLUMNS: usize = 3;
const LEGEND_ROW: u32 = 32;
/// Characters of a name in it.
const LEGEND_CHARS: usize = 17;

/// Groups with a colour of their own; what is left is grey.
pub const N_COLOURS: usize = 6;

/// What is wrong with an article's labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Right,
    /// It was given a label that it does not have.
    Extra,
    /// It lacks a label that it has.
    Missing,
    /// Both.
    Both,
}

impl Verdict {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Right => "right",
            Verdict::Extra => "wrong label",
            Verdict::Missing => "missing label",
            Verdict::Both => "wrong and missing label",
        }
    }
}

/// An article on the map.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MapPoint {
    /// What is known of it, for a reader.
    pub words: String,
    /// Its true and its assigned labels, by number.
    pub labels: Vec<usize>,
    /// Number of its group, from 0; groups from [`N_COLOURS`] on share the grey.
    pub group: usize,
    pub verdict: Verdict,
}

/// The points at their places, `places` `[n, 2]`; wrong ones lie on top.
///
/// `groups` are the names of the first groups, not escaped; without names a verdict has a colour beside its shape.
///
/// # Panics
/// When there are fewer places than points.
pub fn map_plot(
    title: &str,
    description: &str,
    places: ArrayView2<f64>,
    points: &[MapPoint],
    groups: &[String],
) -> Plot {
    let scale = |axis: usize, size: u32| {
        let column = places.column(axis);
        let low = column.iter().copied().fold(f64::INFINITY, f64::min);
        let high = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let span = if high > low { high - low } else { 1.0 };
        move |value: f64| (MARGIN + (value - low) / span * (f64::from(size) - 2.0 * MARGIN)).round() as i32
    };
    let (x, y) = (scale(0, WIDTH), scale(1, HEIGHT));
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|&i| points[i].verdict != Verdict::Right);
    let marks = order.into_iter().map(|i| {
        let point = &points[i];
        let labels: Vec<String> = point.labels.iter().map(usize::to_string).collect();
        mark(
            point.verdict,
            (x(places[[i, 0]]), HEIGHT as i32 - y(places[[i, 1]])),
            &format!("class=\"g{}\" data-l=\" {} \"", point.group.min(N_COLOURS), labels.join(" ")),
            &format!("<title>{}</title>", escape(&point.words)),
        )
    });
    let marks: String = marks.collect();
    let (legend, n_rows) = legend(points, groups);
    let size = (WIDTH, HEIGHT + n_rows * LEGEND_ROW);
    Plot::new(title.to_owned(), description.to_owned(), size, marks + &legend)
}

/// What colours and shapes mean, below the points, and its number of rows.
fn legend(points: &[MapPoint], groups: &[String]) -> (String, u32) {
    let mut entries: Vec<(Verdict, usize, String)> = Vec::new();
    for (group, name) in groups.iter().enumerate().filter(|(group, _)| points.iter().any(|own| own.group == *group)) {
        let is_long = name.chars().count() > LEGEND_CHARS;
        let short: String = name.chars().take(LEGEND_CHARS - usize::from(is_long)).collect();
        entries.push((Verdict::Right, group, if is_long { short + "…" } else { short }));
    }
    if !groups.is_empty() && points.iter().any(|point| point.group >= groups.len()) {
        entries.push((Verdict::Right, N_COLOURS, "other labels".to_owned()));
    }
    for verdict in [Verdict::Right, Verdict::Extra, Verdict::Missing, Verdict::Both] {
        let Some(point) = points.iter().find(|point| point.verdict == verdict) else { continue };
        match (groups.is_empty(), verdict) {
            (false, Verdict::Right) => {}
            (false, _) => entries.push((verdict, N_COLOURS, verdict.words().to_owned())),
            (true, _) => entries.push((verdict, point.group, verdict.words().to_owned())),
        }
    }
    let entry = |(i, (verdict, group, name)): (usize, &(Verdict, usize, String))| {
        let x = 24 + (i % LEGEND_COLUMNS) as u32 * (WIDTH / LEGEND_COLUMNS as u32);
        let y = HEIGHT + 18 + (i / LEGEND_COLUMNS) as u32 * LEGEND_ROW;
        let class = format!("class=\"g{}\"", group.min(&N_COLOURS));
        format!(
            "{}<text x=\"{}\" y=\"{}\" fill=\"#59626E\">{}</text>",
            mark(*verdict, (x as i32, y as i32), &class, ""),
            x + 18,
            y + 8,
            escape(name)
        )
    };
    let drawn = entries.iter().enumerate().map(entry).collect();
    (drawn, entries.len().div_ceil(LEGEND_COLUMNS) as u32)
}

/// Right is a dot, a wrong label a cross, a missing one a triangle, both a square.
fn mark(verdict: Verdict, (x, y): (i32, i32), attributes: &str, inside: &str) -> String {
    match verdict {
        Verdict::Right => format!("<circle {attributes} cx=\"{x}\" cy=\"{y}\" r=\"5\">{inside}</circle>"),
        Verdict::Extra => {
            format!("<path {attributes} d=\"M{} {}l14 14m0-14l-14 14\">{inside}</path>", x - 7, y - 7)
        }
        Verdict::Missing => {
            format!("<path {attributes} d=\"M{x} {}l9 15h-18z\">{inside}</path>", y - 9)
        }
        Verdict::Both => {
            format!("<path {attributes} d=\"M{} {}h13v13h-13z\">{inside}</path>", x - 6, y - 6)
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn marks_lie_inside_and_wrong_ones_on_top() {
        let point =
            |words: &str, group, verdict| MapPoint { words: words.into(), labels: vec![group, 12], group, verdict };
        let points = [point("<w>", 9, Verdict::Extra), point("r", 0, Verdict::Right), point("m", 1, Verdict::Missing)];
        let places = array![[0.0, -1.0], [5.0, 1.0], [2.0, 0.0]];
        let svg = map_plot("Map", "all", places.view(), &points, &["<g>".to_owned()]).inline("m");
        let at = |text: &str| svg.find(text).unwrap_or_else(|| panic!("{text} in {svg}"));
        assert!(at("<circle class=\"g0\" data-l=\" 0 12 \" cx=\"744\" cy=\"16\"") < at("<path class=\"g6\""));
        assert!(at("<title>&lt;w&gt;</title>") < at("<title>m</title>"));
        assert!(
            at(">&lt;g&gt;</text>") < at(">other labels</text>")
                && at(">wrong label</text>") < at(">missing label</text>")
        );
        // A plane without extent is no division by 0.
        let flat = map_plot("Map", "all", array![[1.0, 1.0]].view(), &points[1..2], &[]).inline("m");
        assert!(flat.contains("cx=\"16\" cy=\"584\""), "{flat}");
    }
}
