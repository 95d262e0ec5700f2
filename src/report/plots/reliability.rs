//! Stated probabilities against frequencies.

use ndarray::ArrayView2;
use serde::Serialize;

use super::Plot;
use super::canvas::{Axis, FIRST, GUIDE, draw};
use crate::labels::Task;
use crate::metrics::MetricError;
use crate::metrics::bootstrap::Interval;
use crate::metrics::probability::{Binning, reliability};

/// Bins that the probabilities are sorted into, as many in each as ties allow.
pub const N_BINS: usize = 10;

/// Where any number of labels may be right, most decisions are easy noes; those below this probability make one bin of their own, or
/// all bins would lie there.
pub const EASY_NO: f64 = 0.05;

/// Units of the drawing.
const SIZE: (u32, u32) = (760, 620);

/// Probabilities that are alike, and how often they came true.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReliabilityPoint {
    pub n: usize,
    pub mean_probability: f64,
    pub frequency: f64,
    /// 95 % interval of the frequency, see [`crate::metrics::reliability::wilson_interval`].
    pub interval: Interval,
}

/// The points of a reliability diagram.
///
/// `single`: of each article the highest probability, and whether that label is right. `multi`: all decisions; those below
/// [`EASY_NO`] are one bin.
///
/// # Shapes
/// * `truth`, `probabilities` `[n, n_labels]`
///
/// # Errors
/// No rows, shapes that differ, or a value that is not a probability.
pub fn reliability_points(
    task: Task,
    truth: ArrayView2<bool>,
    probabilities: ArrayView2<f64>,
) -> Result<Vec<ReliabilityPoint>, MetricError> {
    let all: Vec<(f64, bool)> = match task {
        Task::Multi => probabilities.iter().copied().zip(truth.iter().copied()).collect(),
        Task::Single => {
            let rows = probabilities.rows().into_iter().zip(truth.rows());
            rows.map(|(row, truth)| {
                row.iter().zip(truth).fold(
                    (f64::NEG_INFINITY, false),
                    |best, (&p, &is_true)| {
                        if p > best.0 { (p, is_true) } else { best }
                    },
                )
            })
            .collect()
        }
    };
    let (easy, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|(p, _)| task == Task::Multi && *p < EASY_NO);
    let mut points = Vec::new();
    for (part, n_bins) in [(easy, 1), (rest, N_BINS)] {
        if part.is_empty() {
            continue;
        }
        let (confidence, outcome): (Vec<f64>, Vec<bool>) = part.into_iter().unzip();
        let bins = reliability(&confidence, &outcome, Binning::EqualMass { n_bins })?;
        points.extend(bins.into_iter().map(|bin| ReliabilityPoint {
            n: bin.n,
            mean_probability: bin.mean_confidence,
            frequency: bin.frequency,
            interval: bin.interval,
        }));
    }
    if points.is_empty() { Err(MetricError::NoRows) } else { Ok(points) }
}

/// The reliability diagram: a dot and an interval for each bin, and the line on which probabilities are frequencies.
pub fn reliability_plot(points: &[ReliabilityPoint]) -> Plot {
    let axes = [Axis::share("stated probability"), Axis::share("how often it came true")];
    let drawing = draw(SIZE, axes, &[], |canvas| {
        canvas.line([(0.0, 0.0), (1.0, 1.0)], GUIDE, 4);
        for point in points {
            let x = point.mean_probability;
            canvas.line([(x, point.interval.low), (x, point.interval.high)], FIRST, 4);
            canvas.dot((x, point.frequency), 9, FIRST);
        }
    });
    let missed =
        points.iter().filter(|point| !(point.interval.low..=point.interval.high).contains(&point.mean_probability));
    let description = format!(
        "Of {} bins, {} have a 95 % interval that the stated probability lies outside of. The dotted line is where both agree; dots below it mean too sure.",
        points.len(),
        missed.count()
    );
    Plot::new("Are probabilities frequencies?".to_owned(), description, SIZE, drawing)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn easy_noes_share_one_bin_where_any_number_of_labels_is_right() {
        // 40 decisions near 0 and 20 spread evenly.
        let p = Array2::from_shape_fn((20, 3), |(i, k)| if k == 0 { 0.05 + 0.9 * i as f64 / 20.0 } else { 0.01 });
        let truth = p.mapv(|p| p > 0.5);
        let points = reliability_points(Task::Multi, truth.view(), p.view()).unwrap();
        assert_eq!(points.iter().map(|point| point.n).collect::<Vec<_>>(), [[40].as_slice(), &[2; 10]].concat());
        assert_eq!((points[0].frequency, points[10].frequency), (0.0, 1.0));
        assert!(reliability_plot(&points).description.starts_with("Of 11 bins, "));
    }

    #[test]
    fn one_label_an_article_is_judged_by_its_best() {
        let p = ndarray::array![[0.7, 0.3], [0.4, 0.6]];
        let truth = ndarray::array![[true, false], [true, false]];
        let points = reliability_points(Task::Single, truth.view(), p.view()).unwrap();
        assert_eq!(points.iter().map(|point| (point.n, point.frequency)).collect::<Vec<_>>(), [(1, 0.0), (1, 1.0)]);
    }
}
