//! The parts of a report whose JSON shape is not that of its type: maps in a fixed order.

/// Each metric under its name and each interval under `NAME_ci`, side by side in the report's own object.
pub(super) mod estimates {
    use std::fmt;

    use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
    use serde::ser::{SerializeMap, Serializer};

    use crate::metrics::bootstrap::Interval;
    use crate::metrics::summary::Metric;
    use crate::report::Estimate;

    const INTERVAL_SUFFIX: &str = "_ci";

    pub fn serialize<S: Serializer>(estimates: &[(Metric, Estimate)], serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (metric, estimate) in estimates {
            map.serialize_entry(metric.name(), &estimate.value)?;
            if let Some(interval) = estimate.interval {
                map.serialize_entry(&format!("{}{INTERVAL_SUFFIX}", metric.name()), &interval)?;
            }
        }
        map.end()
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Metric, Estimate)>, D::Error> {
        deserializer.deserialize_map(EstimatesVisitor)
    }

    struct EstimatesVisitor;

    impl<'de> Visitor<'de> for EstimatesVisitor {
        type Value = Vec<(Metric, Estimate)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("metrics by name")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut values = [None; Metric::ALL.len()];
            let mut intervals = [None; Metric::ALL.len()];
            while let Some(key) = map.next_key::<String>()? {
                let interval_of = key.strip_suffix(INTERVAL_SUFFIX).and_then(Metric::from_name);
                match (Metric::from_name(&key), interval_of) {
                    (Some(metric), _) => values[metric as usize] = Some(map.next_value::<Option<f64>>()?),
                    (None, Some(metric)) => intervals[metric as usize] = map.next_value::<Option<Interval>>()?,
                    // Keys of later versions.
                    (None, None) => drop(map.next_value::<IgnoredAny>()?),
                }
            }
            let listed = Metric::ALL.into_iter().filter_map(|metric| {
                values[metric as usize].map(|value| (metric, Estimate { value, interval: intervals[metric as usize] }))
            });
            Ok(listed.collect())
        }
    }
}

/// An object with one key per label, in label order.
pub(super) mod per_label {
    use std::fmt;

    use serde::de::{Deserializer, MapAccess, Visitor};
    use serde::ser::Serializer;

    use crate::report::LabelReport;

    pub fn serialize<S: Serializer>(labels: &[(String, LabelReport)], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(labels.iter().map(|(name, report)| (name, report)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, LabelReport)>, D::Error> {
        struct LabelsVisitor;

        impl<'de> Visitor<'de> for LabelsVisitor {
            type Value = Vec<(String, LabelReport)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("metrics by label")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut labels = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    labels.push(entry);
                }
                Ok(labels)
            }
        }

        deserializer.deserialize_map(LabelsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use serde_json::{Value, json};

    use crate::labels::{LabelId, LabelSet, Targets};
    use crate::metrics::bootstrap::BootstrapSettings;
    use crate::report::{EvaluationInput, EvaluationReport};

    fn report(targets: Targets, bootstrap: Option<BootstrapSettings>) -> EvaluationReport {
        // Not in alphabetical order, so that sorting would show.
        let labels = LabelSet::from_names(["trade", "energy", "defense"]).unwrap();
        let single = matches!(targets, Targets::Single(_));
        let decisions = match single {
            true => array![[true, false, false], [false, true, false], [true, false, false], [true, false, false]],
            false => array![[true, true, false], [false, true, false], [true, false, false], [false, false, false]],
        };
        let probabilities = array![[0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.4, 0.35, 0.25]];
        let input = EvaluationInput {
            labels: &labels,
            targets: &targets,
            probabilities: probabilities.view(),
            decisions: decisions.view(),
            thresholds: (!single).then_some(&[0.5, 0.4, 0.9]),
        };
        EvaluationReport::new(input, bootstrap).unwrap()
    }

    fn multi() -> Targets {
        Targets::Multi(vec![vec![LabelId(0), LabelId(1)], vec![LabelId(1)], vec![LabelId(0)], vec![]])
    }

    fn single() -> Targets {
        Targets::Single([0, 1, 0, 1].map(LabelId).to_vec())
    }

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn the_keys_are_those_that_other_programs_rely_on() {
        let json = serde_json::to_value(report(multi(), None)).unwrap();
        let expected = "n task subset_accuracy f1_micro f1_macro f1_weighted f1_samples precision_micro precision_macro \
                        recall_micro recall_macro hamming_loss roc_auc_macro map_macro log_loss brier ece ece_equal_mass \
                        ece_equal_mass_floor brier_reliability brier_resolution brier_uncertainty brier_within_bins at_half \
                        per_label cooccurrence";
        assert_eq!(keys(&json), expected.split_whitespace().collect::<Vec<_>>());
        assert_eq!(keys(&json["at_half"]), ["f1_micro", "f1_macro"]);
        assert_eq!(keys(&json["cooccurrence"]), ["true", "predicted", "confused"]);
        assert_eq!(keys(&json["per_label"]), ["trade", "energy", "defense"]);
        let label = "precision recall f1 support threshold average_precision roc_auc";
        assert_eq!(keys(&json["per_label"]["energy"]), label.split_whitespace().collect::<Vec<_>>());

        let json = serde_json::to_value(report(single(), None)).unwrap();
        assert!(json.get("subset_accuracy").is_none() && json.get("hamming_loss").is_none());
        assert!(json.get("at_half").is_none() && json.get("cooccurrence").is_none());
        assert_eq!((&json["task"], &json["accuracy"]), (&json!("single"), &json!(0.75)));
        assert_eq!(json["confusion_matrix"], json!([[2, 0, 0], [1, 1, 0], [0, 0, 0]]));
    }

    #[test]
    fn undefined_numbers_are_null() {
        let json = serde_json::to_value(report(multi(), None)).unwrap();
        let absent = json!({
            "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0, "threshold": 0.9,
            "average_precision": null, "roc_auc": null,
        });
        assert_eq!(json["per_label"]["defense"], absent);
        let nobody = serde_json::to_value(report(Targets::Multi(vec![vec![]; 4]), Some(Default::default()))).unwrap();
        assert_eq!((&nobody["map_macro"], &nobody["roc_auc_macro"]), (&Value::Null, &Value::Null));
        assert!(nobody.get("map_macro_ci").is_none() && nobody.get("brier_ci").is_some());
    }

    #[test]
    fn intervals_stand_beside_their_metrics_and_every_report_survives_the_round_trip() {
        let settings = BootstrapSettings { n_resamples: 200, ..Default::default() };
        for (targets, bootstrap) in [(multi(), None), (multi(), Some(settings)), (single(), Some(settings))] {
            let report = report(targets, bootstrap);
            let text = serde_json::to_string(&report).unwrap();
            assert_eq!(serde_json::from_str::<EvaluationReport>(&text).unwrap(), report);
            let json: Value = serde_json::from_str(&text).unwrap();
            let names = keys(&json);
            let after_f1 = names[names.iter().position(|name| *name == "f1_micro").unwrap() + 1];
            assert_eq!(after_f1 == "f1_micro_ci", bootstrap.is_some());
            if bootstrap.is_some() {
                let [low, high] = [0, 1].map(|end| json["f1_micro_ci"][end].as_f64().unwrap());
                assert!(low <= report.metric("f1_micro").unwrap() && report.metric("f1_micro").unwrap() <= high);
            }
        }
    }
}
