//! Columns beside the text, such as source or section: which value each has is all that counts.

use std::collections::BTreeMap;

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::heads::{Head, HeadError, LinearHead};

/// Values of all columns that are told apart at most, the most frequent; others are as good as missing.
const MAX_VALUES: usize = 1_000;

/// Articles that must have a value before it is told apart.
const MIN_ARTICLES: usize = 2;

/// Values of some columns of an article, in the order of the columns; `None` where it lacks one.
pub type Values = Vec<Option<String>>;

/// A value of a column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnValue {
    /// Number of the column.
    pub column: usize,
    pub value: String,
}

/// Which columns are looked at, and which of their values are told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataColumns {
    pub columns: Vec<String>,
    /// Ascending.
    pub values: Vec<ColumnValue>,
}

/// The columns' values of an article, by its other columns: strings as they are, numbers and booleans as they are written.
pub fn values_of(columns: &[String], extra: &Map<String, Value>) -> Values {
    let value = |column: &String| match extra.get(column)? {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        _ => None,
    };
    columns.iter().map(value).collect()
}

impl MetadataColumns {
    /// Tells apart the values that two articles have at least.
    pub fn fit(columns: &[String], articles: &[Values]) -> Self {
        let mut counts = BTreeMap::<ColumnValue, usize>::new();
        for values in articles {
            for (column, value) in values.iter().enumerate() {
                if let Some(value) = value {
                    *counts.entry(ColumnValue { column, value: value.clone() }).or_default() += 1;
                }
            }
        }
        let mut frequent: Vec<(ColumnValue, usize)> = counts.into_iter().filter(|(_, n)| *n >= MIN_ARTICLES).collect();
        // Stable, so that of equally frequent ones the first in order stay.
        frequent.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let mut values: Vec<ColumnValue> = frequent.into_iter().take(MAX_VALUES).map(|(value, _)| value).collect();
        values.sort();
        Self { columns: columns.to_vec(), values }
    }

    /// 1 where an article has a value, `[n_articles, n_values]`.
    pub fn rows(&self, articles: &[Values]) -> Array2<f32> {
        let mut rows = Array2::zeros((articles.len(), self.values.len()));
        for (mut row, values) in rows.rows_mut().into_iter().zip(articles) {
            for (column, value) in values.iter().enumerate() {
                let Some(value) = value else { continue };
                let found = self.values.binary_search_by(|known| (known.column, &known.value).cmp(&(column, value)));
                if let Ok(place) = found {
                    row[place] = 1.0;
                }
            }
        }
        rows
    }
}

/// A fitted view of columns.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataHead {
    columns: MetadataColumns,
    head: LinearHead,
}

impl MetadataHead {
    /// Puts columns and head together.
    ///
    /// # Errors
    /// [`HeadError::HiddenSize`]: the head is for another number of values.
    pub fn new(columns: MetadataColumns, head: LinearHead) -> Result<Self, HeadError> {
        if head.hidden_size() != columns.values.len() {
            return Err(HeadError::HiddenSize { expected: head.hidden_size(), found: columns.values.len() });
        }
        Ok(Self { columns, head })
    }

    /// Which columns and values it knows.
    pub fn columns(&self) -> &MetadataColumns {
        &self.columns
    }

    /// The head on values.
    pub fn head(&self) -> &LinearHead {
        &self.head
    }

    /// Logits, `[n_articles, n_labels]`; an article with no known value gets the intercepts.
    ///
    /// # Errors
    /// None but those of [`LinearHead`], which the columns rule out.
    pub fn logits(&self, articles: &[Values]) -> Result<Array2<f64>, HeadError> {
        self.head.logits(self.columns.rows(articles).view())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_that_repeat_are_told_apart() {
        let columns = ["source".to_owned(), "year".to_owned()];
        let rows = [
            json!({"source": " AFP ", "year": 2024}),
            json!({"source": "AFP", "year": 2023}),
            json!({"source": "Reuters", "year": null}),
            json!({"year": 2024, "source": ["AFP"]}),
        ];
        let articles: Vec<Values> =
            rows.iter().map(|row| values_of(&columns, row.as_object().expect("an object"))).collect();
        assert_eq!(articles[2], [Some("Reuters".to_owned()), None]);
        let fitted = MetadataColumns::fit(&columns, &articles);
        let named: Vec<(usize, &str)> = fitted.values.iter().map(|v| (v.column, v.value.as_str())).collect();
        assert_eq!(named, [(0, "AFP"), (1, "2024")]);
        let expected = ndarray::array![[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]];
        assert_eq!(fitted.rows(&articles), expected);
    }
}
