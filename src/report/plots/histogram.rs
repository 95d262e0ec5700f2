//! Scores of the articles with a label, and of those without.

use ndarray::ArrayView1;
use plotters::style::text_anchor::HPos;
use serde::Serialize;

use super::Plot;
use super::canvas::{Axis, FIRST, GUIDE, SECOND, draw};
use super::precision_recall::SIZE;

/// Bins of equal width between 0 and 1.
pub const N_BINS: usize = 20;

/// Articles by score; bin `b` holds scores from `b / N_BINS` up to the next, the last one 1 as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScoreHistogram {
    /// Articles that have the label.
    pub with: Vec<usize>,
    /// Articles that lack it.
    pub without: Vec<usize>,
}

impl ScoreHistogram {
    /// Counts scores in `[0, 1]`; others count as the nearest of these.
    ///
    /// # Shapes
    /// * `truth`, `scores` `[n]`
    pub fn new(truth: ArrayView1<bool>, scores: ArrayView1<f64>) -> Self {
        let mut histogram = Self { with: vec![0; N_BINS], without: vec![0; N_BINS] };
        for (&truth, &score) in truth.iter().zip(scores) {
            let bin = ((score * N_BINS as f64).floor().max(0.0) as usize).min(N_BINS - 1);
            let side = if truth { &mut histogram.with } else { &mut histogram.without };
            side[bin] += 1;
        }
        histogram
    }
}

/// Height of a bar: every factor of ten is as high, so that few articles beside thousands are seen.
fn height(n: f64) -> f64 {
    n.ln_1p() / std::f64::consts::LN_10
}

/// Bars up for the articles with the label, outlines down for those without; a dotted line at the threshold, where there is one.
pub fn histogram_plot(label: &str, histogram: &ScoreHistogram, threshold: Option<f64>) -> Plot {
    let most = |side: &[usize]| side.iter().copied().max().unwrap_or_default() as f64;
    let (up, down) = (height(most(&histogram.with)).max(1.2), height(most(&histogram.without)).max(1.2));
    let powers = || (0..=9).map(|power| height(10f64.powi(power)));
    let ticks = powers().rev().filter(|&y| y < down).map(|y| -y);
    let ticks = ticks.chain([0.0]).chain(powers().filter(|&y| y < up)).collect();
    let label_of = |y: f64| match (y.abs() * std::f64::consts::LN_10).exp_m1().round() as u64 {
        0 => "0".to_owned(),
        n if n >= 1_000_000 => format!("{}M", n / 1_000_000),
        n if n >= 1000 => format!("{}k", n / 1000),
        // Next to 0 there is no room for a number.
        1 => String::new(),
        n => n.to_string(),
    };
    let y = Axis { range: -1.1 * down..1.1 * up, ticks, name: "articles", label: label_of };
    let drawing = draw(SIZE, [Axis::share("probability"), y], &[], |canvas| {
        let edge = |bin: usize| bin as f64 / N_BINS as f64;
        for (bin, (&with, &without)) in histogram.with.iter().zip(&histogram.without).enumerate() {
            let (left, right) = (edge(bin) + 0.005, edge(bin + 1) - 0.005);
            if with > 0 {
                canvas.bar([(left, height(with as f64)), (right, 0.0)], FIRST, true);
            }
            if without > 0 {
                canvas.bar([(left, 0.0), (right, -height(without as f64))], SECOND, false);
            }
        }
        if let Some(threshold) = threshold {
            canvas.line([(threshold, -1.1 * down), (threshold, 1.1 * up)], GUIDE, 4);
        }
        canvas.text("with the label", (0.03, 0.97 * up), HPos::Left);
        canvas.text("without it", (0.97, -0.97 * down), HPos::Right);
    });
    let total = |side: &[usize]| side.iter().sum::<usize>();
    let above = |side: &[usize]| side[N_BINS / 2..].iter().sum::<usize>();
    let description = format!(
        "{} of the {} articles with the label score 0.5 or more, and {} of the {} without it. Every factor of ten is as high.",
        above(&histogram.with),
        total(&histogram.with),
        above(&histogram.without),
        total(&histogram.without)
    );
    Plot::new(format!("{label}: scores"), description, SIZE, drawing)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn a_score_on_an_edge_falls_into_the_bin_above() {
        let truth = array![true, true, false, false, true];
        let histogram = ScoreHistogram::new(truth.view(), array![0.0, 0.05, 0.049, 1.0, 0.5].view());
        assert_eq!((histogram.with[0], histogram.with[1], histogram.with[10]), (1, 1, 1));
        assert_eq!((histogram.without[0], histogram.without[19]), (1, 1));
        let plot = histogram_plot("trade", &histogram, Some(0.4));
        assert!(plot.description.starts_with("1 of the 3 articles with the label score 0.5 or more, and 1 of the 2"));
    }

    #[test]
    fn an_empty_side_is_drawn_too() {
        let histogram = ScoreHistogram::new(array![false].view(), array![0.3].view());
        assert!(histogram_plot("absent", &histogram, None).inline("h").contains("with the label"));
    }
}
