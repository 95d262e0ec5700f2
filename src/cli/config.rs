//! `--config run.toml`: the same settings as the flags, by the same names; flags override it.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

use super::args::RunArgs;
use crate::labels::closest;

/// What can be wrong with a config file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigFileError {
    #[error("cannot read the config file {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the config file {} is not valid TOML", .path.display())]
    Toml {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("{}: unknown {} `{key}`{}", .path.display(), if *.is_section { "section" } else { "setting" },
        .closest.as_ref().map(|c| format!("; did you mean `{c}`?")).unwrap_or_default())]
    Unknown { path: PathBuf, key: String, is_section: bool, closest: Option<String> },
    #[error("{}: the settings cannot be written as text; are all paths UTF-8?", .path.display())]
    Unwritable {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{}: setting `{key}` has a wrong value", .path.display())]
    Value {
        path: PathBuf,
        key: String,
        #[source]
        source: serde_json::Error,
    },
}

/// Sections of a config file, one per command that takes `--config`.
pub const SECTIONS: [&str; 7] = ["train", "tune", "evaluate", "predict", "explain", "embed", "bench"];

/// The flags over the file's section `command` over its top level.
///
/// The top level may hold any setting of the command; a section may too and wins. A flag counts as given when it is neither null nor empty nor false.
///
/// # Errors
/// A file that cannot be read, a setting that the command does not know, or a value of the wrong type.
pub fn layer<A: Clone + Serialize + DeserializeOwned + Default>(
    flags: &A,
    path: Option<&Path>,
    command: &str,
) -> Result<A, ConfigFileError> {
    let Some(path) = path else { return Ok(flags.clone()) };
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigFileError::Read { path: path.to_owned(), source })?;
    let file: Map<String, Value> = toml::from_str(&text)
        .map_err(|source| ConfigFileError::Toml { path: path.to_owned(), source: Box::new(source) })?;

    let known: Vec<String> = to_settings(&A::default(), path)?.keys().cloned().collect();
    let mut merged = Map::new();
    let mut section = Map::new();
    for (key, value) in file {
        match value {
            Value::Object(settings) if SECTIONS.contains(&key.as_str()) => {
                if key == command {
                    section = settings;
                }
            }
            Value::Object(_) => {
                let closest = closest(&key, SECTIONS).map(str::to_owned);
                return Err(ConfigFileError::Unknown { path: path.to_owned(), key, is_section: true, closest });
            }
            value => {
                merged.insert(key, value);
            }
        }
    }
    merged.extend(section);
    if let Some(key) = merged.keys().find(|key| !known.contains(key)) {
        let closest = closest(key, known.iter().map(String::as_str)).map(str::to_owned);
        return Err(ConfigFileError::Unknown { path: path.to_owned(), key: key.clone(), is_section: false, closest });
    }
    // One by one: an error of all together could not say which it was.
    for (key, value) in &merged {
        let alone = Map::from_iter([(key.clone(), value.clone())]);
        if let Err(source) = from_settings::<A>(alone) {
            return Err(ConfigFileError::Value { path: path.to_owned(), key: key.clone(), source });
        }
    }
    for (key, value) in to_settings(flags, path)? {
        if is_given(&value) {
            merged.insert(key, value);
        }
    }
    Ok(from_settings(merged).expect("every setting was read alone"))
}

/// As [`layer`], for the flags of a command that takes `--config`; what is about this one call only stays as it was.
///
/// # Errors
/// As [`layer`].
pub fn layer_run<A: Clone + Serialize + DeserializeOwned + Default>(
    flags: &A,
    run_of: impl Fn(&mut A) -> &mut RunArgs,
    command: &str,
) -> Result<A, ConfigFileError> {
    let mut flags = flags.clone();
    let own = run_of(&mut flags).clone();
    let mut layered = layer(&flags, own.config.as_deref(), command)?;
    let run = run_of(&mut layered);
    (run.config, run.verbose, run.quiet) = (own.config, own.verbose, own.quiet);
    Ok(layered)
}

/// The settings that are set, in the order of `--help`: what a run.toml needs to repeat the run.
///
/// # Errors
/// A path that is not UTF-8, which neither TOML nor JSON can hold.
pub fn given<A: Serialize>(settings: &A) -> Result<Map<String, Value>, ConfigFileError> {
    Ok(to_settings(settings, Path::new("the settings"))?.into_iter().filter(|(_, value)| is_given(value)).collect())
}

fn to_settings<A: Serialize>(settings: &A, path: &Path) -> Result<Map<String, Value>, ConfigFileError> {
    let as_map = serde_json::to_value(settings).and_then(serde_json::from_value);
    as_map.map_err(|source| ConfigFileError::Unwritable { path: path.to_owned(), source })
}

fn from_settings<A: DeserializeOwned>(settings: Map<String, Value>) -> Result<A, serde_json::Error> {
    serde_json::from_value(Value::Object(settings))
}

fn is_given(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default, rename_all = "kebab-case")]
    struct Flags {
        data: Vec<String>,
        text_column: Option<String>,
        seed: Option<u64>,
        offline: bool,
    }

    fn layered(toml: &str, flags: &Flags) -> Result<Flags, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), toml).unwrap();
        layer(flags, Some(file.path()), "train")
            .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "run.toml"))
    }

    #[test]
    fn flags_win_over_the_section_and_the_section_over_the_top() {
        let toml = "seed = 1\noffline = true\n[train]\nseed = 2\ntext-column = \"body\"\n[predict]\nwhatever = 1\n";
        let flags = Flags { data: vec!["a.csv".into()], ..Flags::default() };
        let expected =
            Flags { data: vec!["a.csv".into()], text_column: Some("body".into()), seed: Some(2), offline: true };
        assert_eq!(layered(toml, &flags).unwrap(), expected);
        assert_eq!(layered(toml, &Flags { seed: Some(3), ..flags }).unwrap().seed, Some(3));
    }

    #[test]
    fn slips_are_named_with_what_was_meant() {
        let none = Flags::default();
        assert_eq!(
            layered("text-colum = 'a'", &none).unwrap_err(),
            "run.toml: unknown setting `text-colum`; did you mean `text-column`?"
        );
        assert_eq!(
            layered("[trian]\n", &none).unwrap_err(),
            "run.toml: unknown section `trian`; did you mean `train`?"
        );
        assert_eq!(layered("seed = 'x'", &none).unwrap_err(), "run.toml: setting `seed` has a wrong value");
        assert_eq!(layered("seed = ", &none).unwrap_err(), "the config file run.toml is not valid TOML");
    }

    proptest::proptest! {
        /// Lines of TOML with the names of settings in front of anything, and any text at all.
        #[test]
        fn no_file_makes_it_panic(
            lines in proptest::collection::vec("(data|seed|offline|[a-z]{0,4}) = [ -~]{0,12}|\\[(train|[a-z]{0,3})\\]", 0..4),
            text in "\\PC{0,40}",
        ) {
            let _ = layered(&lines.join("\n"), &Flags::default());
            let _ = layered(&text, &Flags::default());
        }
    }
}
