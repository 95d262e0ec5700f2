//! What checks find, as data.

use serde::Serialize;
use serde_json::{Map, Value};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Makes a model or its scores wrong.
    Error,
    /// Should be looked at before training.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// All, the worst first.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Note];

    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Declares the kinds of findings with their names and meanings.
macro_rules! kinds {
    ($($kind:ident $name:literal $meaning:literal)*) => {
        /// What is found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum FindingKind {
            $(#[doc = $meaning] $kind,)*
        }

        impl FindingKind {
            /// All, in the order in which they are shown.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// As in JSON.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// A few words for people.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$kind => $meaning,)* }
            }
        }
    };
}

kinds! {
    UnusableRow "unusable_row" "rows that cannot be read"
    DuplicateId "duplicate_id" "ids used more than once"
    Leakage "leakage" "test articles that are also in training, or nearly so"
    ConflictingLabels "conflicting_labels" "same or nearly same texts with different labels"
    LabelNotInTrain "label_not_in_train" "labels that occur in the test data only"
    WrongLabel "wrong_label" "labels that are likely wrong"
    ExactDuplicates "exact_duplicates" "groups of articles with the same words"
    NearDuplicates "near_duplicates" "groups of articles with nearly the same text"
    Unlabelled "unlabelled" "articles whose labels are not known, among labelled ones"
    NoLabels "no_labels" "articles without a label where nearly all have one"
    RareLabel "rare_label" "labels with few articles"
    SimilarLabelNames "similar_label_names" "names of labels that look like the same one"
    TwinLabels "twin_labels" "labels that nearly always come together"
    ImpliedLabel "implied_label" "labels that (nearly) always bring another one along"
    NeverTogether "never_together" "labels that never come together though chance would have it"
    TooShort "too_short" "hardly any text"
    TooLong "too_long" "far longer than the others"
    Mojibake "mojibake" "letters garbled by a wrong encoding"
    ReplacementCharacter "replacement_character" "letters lost to a wrong encoding (U+FFFD)"
    ControlCharacter "control_character" "control characters"
    Markup "markup" "HTML tags, entities or remains of them"
    UpperCase "upper_case" "mostly upper case"
    FewLetters "few_letters" "mostly no letters"
    OtherLanguage "other_language" "another language than most"
    Boilerplate "boilerplate" "passages that many articles repeat"
    TitleRepeated "title_repeated" "text begins with the title, which then counts twice"
    LabelNotInTest "label_not_in_test" "labels that no test article has"
    Languages "languages" "languages of the articles"
}

impl Serialize for FindingKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One thing found.
///
/// ```
/// use topicwire::curation::finding::{Finding, FindingKind, Severity};
/// let finding = Finding::new(FindingKind::NearDuplicates, Severity::Warning, vec![3, 8]).with("jaccard", 0.91);
/// assert_eq!((finding.kind.name(), finding.detail["jaccard"].as_f64()), ("near_duplicates", Some(0.91)));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub kind: FindingKind,
    pub severity: Severity,
    /// Positions of the articles concerned, in the order of the input, test articles after those of training.
    pub rows: Vec<usize>,
    /// Names of the labels concerned.
    pub labels: Vec<String>,
    /// Numbers and words that belong to it.
    pub detail: Map<String, Value>,
}

impl Finding {
    /// A finding about some articles, or none.
    pub fn new(kind: FindingKind, severity: Severity, rows: Vec<usize>) -> Self {
        Self { kind, severity, rows, labels: Vec::new(), detail: Map::new() }
    }

    /// Adds the labels concerned.
    #[must_use]
    pub fn with_labels<S: Into<String>>(mut self, labels: impl IntoIterator<Item = S>) -> Self {
        self.labels.extend(labels.into_iter().map(Into::into));
        self
    }

    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }
}
