//! The precision-recall curve of one label.

use super::Plot;
use super::canvas::{Axis, FIRST, INK, draw};
use super::curves::{CurvePoint, ThresholdCurve};

/// Units of the drawing.
pub(super) const SIZE: (u32, u32) = (640, 480);

/// The curve, with a dot where the label's decisions are.
///
/// Drawn in steps, as average precision sums it. `chosen` are precision and recall of the decisions that were made.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::report::plots::curves::ThresholdCurve;
/// use topicwire::report::plots::precision_recall::precision_recall_plot;
/// let curve = ThresholdCurve::new(array![false, true, true].view(), array![0.2, 0.1, 0.9].view())?;
/// let plot = precision_recall_plot("trade", &curve, &curve.at(0.5), Some(0.87));
/// assert!(plot.description.contains("precision 1.00 at recall 0.50"));
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn precision_recall_plot(
    label: &str,
    curve: &ThresholdCurve,
    chosen: &CurvePoint,
    average_precision: Option<f64>,
) -> Plot {
    let axes = [Axis::share("recall"), Axis::share("precision")];
    let drawing = draw(SIZE, axes, &[], |canvas| {
        let mut recall = 0.0;
        let mut line = Vec::new();
        for point in curve.points() {
            let precision = point.precision.unwrap_or_default();
            line.extend([(recall, precision), (point.recall, precision)]);
            recall = point.recall;
        }
        canvas.line(line, FIRST, 4);
        if let Some(precision) = chosen.precision {
            canvas.dot((chosen.recall, precision), 11, INK);
        }
    });
    let decisions = match chosen.precision {
        Some(precision) => {
            format!("Decisions, the dot: precision {precision:.2} at recall {:.2}.", chosen.recall)
        }
        None => "No article was given the label.".to_owned(),
    };
    let area = average_precision.map(|area| format!(" Average precision {area:.3}."));
    Plot::new(
        format!("{label}: precision and recall"),
        format!("{decisions}{}", area.unwrap_or_default()),
        SIZE,
        drawing,
    )
}
