//! A JSON object read field by field, with errors that name file and field.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{ConfigError, Result};

/// A JSON object and the file it is from, for messages.
pub(in crate::encoder) struct Object {
    path: PathBuf,
    /// Put before the names of fields in messages; empty for the file's outermost object.
    inside: String,
    pub(super) fields: Map<String, Value>,
}

impl Object {
    pub(super) fn read(path: PathBuf) -> Result<Self> {
        let fields = parse(&path, &read_bytes(&path)?)?;
        Ok(Self { path, inside: String::new(), fields })
    }

    /// No fields where there is no such file.
    pub(super) fn read_if_present(path: PathBuf) -> Result<Self> {
        if path.is_file() {
            return Self::read(path);
        }
        Ok(Self { path, inside: String::new(), fields: Map::new() })
    }

    /// The object in a field that may be missing or null.
    pub(in crate::encoder) fn object(&self, field: &str) -> Result<Option<Self>> {
        let fields: Option<Map<String, Value>> = self.get(field)?;
        Ok(fields.map(|fields| Self { path: self.path.clone(), inside: format!("{}{field}.", self.inside), fields }))
    }

    pub(in crate::encoder) fn error(&self, field: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Field {
            path: self.path.clone(),
            field: format!("{}{field}", self.inside),
            problem: problem.into(),
        }
    }

    pub(in crate::encoder) fn unsupported(
        &self,
        what: &str,
        found: impl ToString,
        supported: impl Into<String>,
    ) -> ConfigError {
        let (path, found, supported) = (self.path.clone(), found.to_string(), supported.into());
        ConfigError::Unsupported { path, what: format!("{}{what}", self.inside), found, supported }
    }

    /// Whether the field is there and not null.
    pub(in crate::encoder) fn has(&self, field: &str) -> bool {
        self.fields.get(field).is_some_and(|value| !value.is_null())
    }

    /// A field that may be missing or null.
    pub(in crate::encoder) fn get<T: for<'de> Deserialize<'de>>(&self, field: &str) -> Result<Option<T>> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value).map(Some).map_err(|error| self.error(field, error.to_string())),
        }
    }

    pub(in crate::encoder) fn need<T: for<'de> Deserialize<'de>>(&self, field: &str) -> Result<T> {
        self.get(field)?.ok_or_else(|| self.error(field, "is missing"))
    }

    pub(in crate::encoder) fn need_positive(&self, field: &str) -> Result<usize> {
        match self.need(field)? {
            0 => Err(self.error(field, "is 0")),
            n => Ok(n),
        }
    }

    /// Refuses a field that is there with another value than the only one supported.
    pub(in crate::encoder) fn only(&self, field: &str, supported: impl Into<Value>) -> Result<()> {
        let supported = supported.into();
        match self.fields.get(field) {
            Some(found) if !found.is_null() && !is_same(found, &supported) => {
                Err(self.unsupported(field, found, supported.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// The same, and the field must be there.
    pub(in crate::encoder) fn must_be(&self, field: &str, supported: impl Into<Value>) -> Result<()> {
        if self.has(field) { self.only(field, supported) } else { Err(self.error(field, "is missing")) }
    }

    /// Refuses a field that is there at all, unless it is null.
    pub(in crate::encoder) fn none(&self, field: &str) -> Result<()> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(()),
            Some(found) => Err(self.unsupported(field, found, "null")),
        }
    }
}

/// Numbers may be written with or without a fraction.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

pub(super) fn parse<T: for<'de> Deserialize<'de>>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|source| ConfigError::Json { path: path.to_owned(), source })
}
