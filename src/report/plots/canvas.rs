//! The sheet that every plot is drawn on: axes, lines, marks, words.

use std::ops::Range;

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::drawing::IntoDrawingArea;
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle};
use plotters_svg::SVGBackend;

use super::thin::thin;
use crate::report::page::escape;

/// Plots are drawn into a string, which takes all that is written.
const DRAWN: &str = "memory takes every byte";

/// Lines and bars of the first kind; in the page `--good`.
pub(super) const FIRST: RGBColor = RGBColor(0x1f, 0x6a, 0xa5);
/// Those of the second kind, lines with dashes; in the page `--bad`.
pub(super) const SECOND: RGBColor = RGBColor(0xb9, 0x50, 0x1a);
/// What matters most: thick lines, marks, words.
pub(super) const INK: RGBColor = RGBColor(0x1c, 0x21, 0x28);
/// Names of axes and their numbers.
const MUTED: RGBColor = RGBColor(0x59, 0x62, 0x6e);
/// A line that others are compared with; dotted.
pub(super) const GUIDE: RGBColor = RGBColor(0x6b, 0x74, 0x80);
const GRID: RGBColor = RGBColor(0xdf, 0xe2, 0xe6);

/// Size of letters, in units of the drawing, for the crate to leave room; style sheets set it. Plots are shown at about half their size,
/// so that whole units are fine enough for lines.
const LETTERS: u32 = 23;
const TICK_AREA: u32 = 34;
const LEFT_AREA: u32 = 62;

/// What a file of its own needs to be read in the light and in the dark; a page has the same in its style sheet.
const STANDALONE_STYLE: &str = include_str!("plot.css");

/// A drawing with what it shows in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// In a few words, not escaped.
    pub title: String,
    /// What is to be seen, for those who cannot; not escaped.
    pub description: String,
    size: (u32, u32),
    drawing: String,
}

impl Plot {
    pub(super) fn new(title: String, description: String, size: (u32, u32), drawing: String) -> Self {
        Self { title, description, size, drawing }
    }

    /// The `<svg>` for a page. `id` must be used once on it.
    pub fn inline(&self, id: &str) -> String {
        let (width, height) = self.size;
        format!(
            "<svg class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">{}{}</svg>",
            self.words(id),
            self.drawing
        )
    }

    /// A file of its own, with the colours of the light and of the dark in it.
    pub fn standalone(&self) -> String {
        let (width, height) = self.size;
        let head = 44;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" width=\"{width}\" height=\"{outer}\" \
             viewBox=\"0 -{head} {width} {outer}\" role=\"img\" aria-labelledby=\"plot-t plot-d\">{words}\n\
             <style>\n{STANDALONE_STYLE}</style>\n\
             <rect x=\"0\" y=\"-{head}\" width=\"{width}\" height=\"{outer}\" fill=\"#FFFFFF\"/>\n\
             <text x=\"16\" y=\"-12\" style=\"font-size:26px\" fill=\"#1C2128\">{title}</text>\n{drawing}</svg>\n",
            outer = height + head,
            words = self.words("plot"),
            title = escape(&self.title),
            drawing = self.drawing,
        )
    }

    fn words(&self, id: &str) -> String {
        let (title, description) = (escape(&self.title), escape(&self.description));
        format!("<title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>")
    }
}

/// An axis: what it spans, where its numbers stand, what it says.
pub(super) struct Axis<'a> {
    pub(super) range: Range<f64>,
    pub(super) ticks: Vec<f64>,
    pub(super) name: &'a str,
    pub(super) label: fn(f64) -> String,
}

impl Ranged for Axis<'_> {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        (f64::from(from) + share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis<'_> {
    fn format_ext(&self, value: &f64) -> String {
        (self.label)(*value)
    }
}

impl Axis<'_> {
    /// From 0 to 1.
    pub(super) fn share(name: &str) -> Axis<'_> {
        Axis { range: 0.0..1.0, ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0], name, label: |x| format!("{x}") }
    }
}

/// A kind of line or bar with its name.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) color: RGBColor,
    pub(super) width: u32,
}

/// Axes that can be drawn between.
pub(super) struct Canvas<'a, 'b> {
    chart: ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis<'a>, Axis<'a>>>,
}

/// Axes and what `paint` draws between them.
///
/// `size` in units of the drawing; `keys` are named above it.
pub(super) fn draw<'a>(
    size: (u32, u32),
    [x, y]: [Axis<'a>; 2],
    keys: &[Key],
    paint: impl FnOnce(&mut Canvas<'_, '_>),
) -> String {
    let mut svg = String::new();
    let (x_name, y_name) = (x.name, y.name);
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let chart = ChartBuilder::on(&root)
            .margin_top(if keys.is_empty() { 14 } else { 46 })
            .margin_right(18)
            .margin_bottom(4)
            .margin_left(if y_name.is_empty() { 4 } else { 30 })
            .x_label_area_size(TICK_AREA + 28)
            .y_label_area_size(LEFT_AREA)
            .build_cartesian_2d(x, y);
        let mut canvas = Canvas { chart: chart.expect(DRAWN) };
        let numbers = ("sans-serif", LETTERS).into_font().color(&MUTED);
        canvas
            .chart
            .configure_mesh()
            .light_line_style(RGBColor(0, 0, 0).mix(0.0))
            .bold_line_style(GRID)
            .axis_style(GRID)
            .set_all_tick_mark_size(8)
            .label_style(numbers)
            .draw()
            .expect(DRAWN);
        paint(&mut canvas);
        root.present().expect(DRAWN);
    }
    let mut drawing = bare(&svg);
    let (width, height) = size;
    let middle = (LEFT_AREA + 30 + width - 18) / 2;
    drawing += &word(middle, height - 8, "middle", "", x_name);
    if !y_name.is_empty() {
        let (at, y_middle) = (20, (height - TICK_AREA) / 2);
        drawing += &word(at, y_middle, "middle", &format!(" transform=\"rotate(-90 {at} {y_middle})\""), y_name);
    }
    let mut left = LEFT_AREA + 30;
    for key in keys {
        drawing += &format!(
            "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" points=\"{left},22 {},22\"/>",
            hex(key.color),
            key.width,
            left + 40
        );
        drawing += &word(left + 48, 30, "start", "", key.name);
        left += 66 + 12 * key.name.len() as u32;
    }
    drawing
}

/// Words in the colour of axes; `text` is ours and needs no escape.
fn word(x: u32, y: u32, anchor: &str, more: &str, text: &str) -> String {
    format!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" fill=\"{}\"{more}>{text}</text>", hex(MUTED))
}

/// A colour as style sheets find it in the drawing.
fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// What stands inside the `<svg>`, without what says nothing: many plots share one page.
fn bare(svg: &str) -> String {
    let inside = svg.split_once("<svg ").and_then(|(_, svg)| svg.split_once('>')).map_or(svg, |(_, inside)| inside);
    let inside = inside.trim_end().trim_end_matches("</svg>");
    let mut bare = String::with_capacity(inside.len());
    for line in inside.lines() {
        let line = line.trim();
        let line =
            line.replace(" opacity=\"1\"", "").replace(" font-family=\"sans-serif\"", "").replace(" \"/>", "\"/>");
        let sized = line.split_once(" font-size=\"").and_then(|(head, rest)| Some((head, rest.split_once('"')?.1)));
        match sized {
            Some((head, rest)) => bare.extend([head, rest]),
            None => bare += &line,
        }
    }
    bare
}

impl Canvas<'_, '_> {
    /// A line; points that would not be seen are left out.
    pub(super) fn line(&mut self, points: impl IntoIterator<Item = (f64, f64)>, color: RGBColor, width: u32) {
        let places: Vec<(i32, i32)> = points.into_iter().map(|point| self.chart.backend_coord(&point)).collect();
        let origin = self.chart.plotting_area().get_base_pixel();
        let places = thin(&places).into_iter().map(|(x, y)| (x - origin.0, y - origin.1)).collect::<Vec<_>>();
        let area = self.chart.plotting_area().strip_coord_spec();
        area.draw(&PathElement::new(places, color.stroke_width(width))).expect(DRAWN);
    }

    /// A filled bar, or the outline of one.
    pub(super) fn bar(&mut self, corners: [(f64, f64); 2], color: RGBColor, is_filled: bool) {
        let style = ShapeStyle { color: color.to_rgba(), filled: is_filled, stroke_width: 2 };
        self.chart.draw_series([Rectangle::new(corners, style)]).expect(DRAWN);
    }

    /// A dot.
    pub(super) fn dot(&mut self, at: (f64, f64), radius: u32, color: RGBColor) {
        self.chart.draw_series([Circle::new(at, radius, color.filled())]).expect(DRAWN);
    }

    /// Words, their middle or one of their ends at a point.
    pub(super) fn text(&mut self, text: &str, at: (f64, f64), end: HPos) {
        let style = ("sans-serif", LETTERS).into_font().color(&INK).pos(Pos::new(end, VPos::Center));
        self.chart.draw_series([Text::new(text.to_owned(), at, style)]).expect(DRAWN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Plot {
        let axes = [Axis::share("recall"), Axis::share("precision")];
        let keys = [Key { name: "one", color: FIRST, width: 3 }];
        let drawing = draw((400, 300), axes, &keys, |canvas| {
            canvas.line((0..=1000).map(|i| (f64::from(i) / 1000.0, 0.5)), FIRST, 3);
            canvas.dot((0.5, 0.5), 6, INK);
        });
        Plot::new("<a> & b".into(), "flat".into(), (400, 300), drawing)
    }

    #[test]
    fn a_drawing_is_small_and_has_its_words() {
        let inline = sample().inline("p1");
        assert!(inline.contains("<title id=\"p1-t\">&lt;a&gt; &amp; b</title><desc id=\"p1-d\">flat</desc>"));
        assert!(inline.contains("aria-labelledby=\"p1-t p1-d\"") && inline.contains("role=\"img\""));
        assert!(!inline.contains("xmlns") && !inline.contains("opacity=\"1\""), "{inline}");
        assert!(inline.len() < 3500, "{} bytes", inline.len());
        assert_eq!(inline.matches("<svg").count(), 1);
        assert_eq!(inline.matches("</svg>").count(), 1);
        assert_eq!(inline.matches("<text").count(), inline.matches("</text>").count());
    }

    #[test]
    fn a_file_of_its_own_says_what_it_is() {
        let file = sample().standalone();
        assert!(file.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
        assert!(file.contains(">&lt;a&gt; &amp; b</text>") && file.contains("prefers-color-scheme: dark"));
    }
}
