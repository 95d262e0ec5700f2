//! Articles and the files they come from.

use serde_json::{Map, Value};

/// One input: an id, an optional title, a text, the labels when they are known, and every other column as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Article {
    /// From the id column, else the file name (`.txt`), else the row's number in its file, counted from 1.
    pub id: String,
    pub title: Option<String>,
    pub text: String,
    /// `None`: not known. `Some(vec![])`: known to have none.
    pub labels: Option<Vec<String>>,
    /// Columns that topicwire does not use, in input order; they pass through to the output untouched.
    pub extra: Map<String, Value>,
}

impl Article {
    /// An unlabelled article without a title or other columns.
    pub fn new(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self { id: id.into(), title: None, text: text.into(), labels: None, extra: Map::new() }
    }
}
