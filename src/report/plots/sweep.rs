//! Precision, recall and F1 of one label against the threshold.

use super::Plot;
use super::canvas::{Axis, FIRST, GUIDE, INK, Key, SECOND, draw};
use super::curves::{CurvePoint, ThresholdCurve};
use super::precision_recall::SIZE;

const KEYS: [Key; 3] = [
    Key { name: "precision", color: FIRST, width: 4 },
    Key { name: "recall", color: SECOND, width: 4 },
    Key { name: "F1", color: INK, width: 6 },
];

/// What every threshold would do, with a dotted line at the one in use, where there is one.
pub fn sweep_plot(label: &str, curve: &ThresholdCurve, threshold: Option<f64>) -> Plot {
    let axes = [Axis::share("threshold"), Axis::share("")];
    let drawing = draw(SIZE, axes, &KEYS, |canvas| {
        if let Some(threshold) = threshold {
            canvas.line([(threshold, 0.0), (threshold, 1.0)], GUIDE, 4);
        }
        for (key, value) in KEYS.iter().zip([
            (|point| point.precision) as fn(CurvePoint) -> Option<f64>,
            |point| Some(point.recall),
            |point| Some(point.f1),
        ]) {
            canvas.line(steps(curve, value), key.color, key.width);
        }
    });
    let best = curve.points().fold((0.0, 0.0), |best, point| match point.f1 > best.1 {
        true => (point.threshold, point.f1),
        false => best,
    });
    let used = threshold.map(|threshold| {
        let point = curve.at(threshold);
        let precision = point.precision.map_or("undefined".to_owned(), |precision| format!("{precision:.2}"));
        format!(
            "At {threshold:.3}, the threshold in use, precision is {precision}, recall {:.2}, F1 {:.2}. ",
            point.recall, point.f1
        )
    });
    Plot::new(
        format!("{label}: what other thresholds would do"),
        format!("{}F1 is highest, {:.2}, from {:.3}.", used.unwrap_or_default(), best.1, best.0),
        SIZE,
        drawing,
    )
}

/// From the highest threshold down; a value holds from one score down to the next, and is 0 (precision: nothing) above all scores.
fn steps(curve: &ThresholdCurve, value: fn(CurvePoint) -> Option<f64>) -> Vec<(f64, f64)> {
    let mut steps = Vec::new();
    let mut last = value(curve.at(f64::INFINITY));
    steps.extend(last.map(|value| (1.0, value)));
    for point in curve.points() {
        steps.extend(last.map(|value| (point.threshold, value)));
        last = value(point);
        steps.extend(last.map(|value| (point.threshold, value)));
    }
    steps.extend(last.map(|value| (0.0, value)));
    steps
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn values_hold_down_to_the_next_score() {
        let curve = ThresholdCurve::new(array![true, false].view(), array![0.75, 0.25].view()).unwrap();
        let recall = steps(&curve, |point| Some(point.recall));
        assert_eq!(recall, [(1.0, 0.0), (0.75, 0.0), (0.75, 1.0), (0.25, 1.0), (0.25, 1.0), (0.0, 1.0)]);
        let precision = steps(&curve, |point| point.precision);
        assert_eq!(precision, [(0.75, 1.0), (0.25, 1.0), (0.25, 0.5), (0.0, 0.5)]);
    }

    #[test]
    fn the_threshold_in_use_is_said_and_drawn() {
        let curve = ThresholdCurve::new(array![true, false].view(), array![0.75, 0.25].view()).unwrap();
        let with = sweep_plot("trade", &curve, Some(0.25));
        assert!(with.description.starts_with("At 0.250, the threshold in use, precision is 0.50, recall 1.00"));
        assert!(with.description.ends_with("F1 is highest, 1.00, from 0.750."));
        assert!(with.inline("a").contains("stroke=\"#6B7480\""));
        assert!(!sweep_plot("trade", &curve, None).inline("a").contains("stroke=\"#6B7480\""));
    }
}
