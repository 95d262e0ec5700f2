//! Numbers behind the report's plots against scikit-learn and scipy: `scripts/golden_report.py` made them.

use ndarray::{Array1, Array2};
use serde::Deserialize;
use topicwire::metrics::reliability::wilson_interval;
use topicwire::report::plots::curves::ThresholdCurve;
use topicwire::report::plots::projection::pca;

/// Quotients and square roots of the same numbers in another order.
const TOLERANCE: f64 = 1e-12;

/// Both go by way of an eigen- or singular value decomposition.
const PCA_TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Golden {
    curves: Vec<Curve>,
    wilson: Vec<Wilson>,
    pca: Vec<Components>,
}

#[derive(Deserialize)]
struct Curve {
    truth: Vec<bool>,
    scores: Vec<f64>,
    thresholds: Vec<f64>,
    precision: Vec<f64>,
    recall: Vec<f64>,
    f1: Vec<f64>,
}

#[derive(Deserialize)]
struct Wilson {
    hits: usize,
    n: usize,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Components {
    points: Vec<Vec<f32>>,
    placed: Vec<[f64; 2]>,
    explained: [f64; 2],
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/report.json")).unwrap()
}

#[test]
fn curves_are_those_of_scikit_learn() {
    for curve in golden().curves {
        let (truth, scores) = (Array1::from_vec(curve.truth), Array1::from_vec(curve.scores));
        let ours = ThresholdCurve::new(truth.view(), scores.view()).unwrap();
        let mut points: Vec<_> = ours.points().collect();
        points.reverse();
        assert_eq!(points.iter().map(|point| point.threshold).collect::<Vec<_>>(), curve.thresholds);
        for (i, point) in points.iter().enumerate() {
            let pairs = [
                (point.precision.unwrap(), curve.precision[i]),
                (point.recall, curve.recall[i]),
                (point.f1, curve.f1[i]),
            ];
            for (found, expected) in pairs {
                assert!((found - expected).abs() < TOLERANCE, "{point:?}: expected {expected}");
            }
            assert_eq!(*point, ours.at(point.threshold));
        }
    }
}

#[test]
fn intervals_are_those_of_scipy() {
    for Wilson { hits, n, low, high } in golden().wilson {
        let found = wilson_interval(hits, n);
        assert!(
            (found.low - low).abs() < TOLERANCE && (found.high - high).abs() < TOLERANCE,
            "{hits} of {n}: {found:?}"
        );
    }
}

#[test]
fn principal_components_are_those_of_scikit_learn() {
    for Components { points, placed, explained } in golden().pca {
        let shape = (points.len(), points[0].len());
        let points = Array2::from_shape_vec(shape, points.concat()).unwrap();
        let found = pca(points.view()).unwrap();
        for (i, expected) in placed.iter().enumerate() {
            for (axis, expected) in expected.iter().enumerate() {
                assert!((found.points[[i, axis]] - expected).abs() < PCA_TOLERANCE, "row {i}");
            }
        }
        for (found, expected) in found.explained.iter().zip(explained) {
            assert!((found - expected).abs() < PCA_TOLERANCE);
        }
    }
}
