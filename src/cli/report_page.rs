//! What `evaluate --report` and `--plots` need of the articles while they stream by, and what is written of it in the end.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::cli::output::{Compression, OutputFile, Target};
use crate::data::Article;
use crate::labels::{LabelId, LabelSet};
use crate::pipeline::{Classifier, Prediction};
use crate::report::errors::{ErrorCase, SimilarArticle, WrongArticle, most_instructive};
use crate::report::extras::{MapArticles, ReportExtras, Section};
use crate::report::figures::Figures;
use crate::report::slices::SliceTable;
use crate::report::{EvaluationInput, EvaluationReport, html};

/// Mistakes that the page shows.
const MAX_ERRORS: usize = 40;

/// Articles with wrong labels whose texts are kept until it is known which are shown; those that come later are not looked at.
const MAX_KEPT: usize = 10_000;

/// Characters of a text that stand on the page.
const EXCERPT_CHARS: usize = 420;

/// Where plots and page go, checked before the long run.
pub struct ReportOutputs {
    page: Option<OutputFile>,
    plots: Option<PathBuf>,
}

impl ReportOutputs {
    /// Opens the page, and looks whether plots may be written.
    ///
    /// # Errors
    /// A page that cannot be created; a place for plots that holds something else, unless it may be overwritten.
    pub fn open(page: Option<&Path>, plots: Option<&Path>, overwrite: bool) -> anyhow::Result<Self> {
        if let Some(folder) = plots {
            if folder.exists() && !folder.is_dir() {
                bail!("cannot write plots to `{}`: it is not a folder", folder.display());
            }
            let is_filled = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
            ensure!(
                overwrite || !is_filled,
                "cannot write plots to `{}`: the folder is not empty; pass --overwrite to write into it all the same",
                folder.display()
            );
        }
        let page =
            page.map(|path| OutputFile::create(&Target::File(path.to_owned()), Compression::None)).transpose()?;
        Ok(Self { page, plots: plots.map(Path::to_owned) })
    }

    /// Whether anything is to be written.
    pub fn are_wanted(&self) -> bool {
        self.page.is_some() || self.plots.is_some()
    }

    /// Writes what is wanted.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(self, report: &EvaluationReport, title: &str, extras: &ReportExtras<'_>) -> anyhow::Result<()> {
        if !self.are_wanted() {
            return Ok(());
        }
        let figures = Figures::new(report, extras)?;
        if let Some(folder) = &self.plots {
            fs::create_dir_all(folder).with_context(|| format!("cannot create the folder `{}`", folder.display()))?;
            for (name, content) in figures.files() {
                let path = folder.join(name);
                fs::write(&path, content).with_context(|| format!("cannot write `{}`", path.display()))?;
            }
        }
        if let Some(mut page) = self.page {
            page.write_all(html::render(report, title, extras, &figures).as_bytes())?;
            page.finish()?;
        }
        Ok(())
    }
}

/// Articles as they stream by: an even sample for the map, and those with wrong labels.
pub struct ReportArticles {
    labels: LabelSet,
    map: MapArticles,
    n_seen: usize,
    /// With their row.
    wrong: Vec<(usize, Article)>,
}

impl ReportArticles {
    /// None yet.
    pub fn new(labels: &LabelSet) -> Self {
        Self { labels: labels.clone(), map: MapArticles::default(), n_seen: 0, wrong: Vec::new() }
    }

    /// The next article; `embedding` where there is one.
    pub fn note(&mut self, article: &Article, prediction: &Prediction, embedding: Option<&[f32]>) {
        if let Some(embedding) = embedding {
            self.map.push(&article.id, article.title.as_deref(), embedding);
        }
        let known = article.labels.iter().flatten().filter_map(|name| self.labels.id(name));
        let mut known: Vec<LabelId> = known.collect();
        let mut given = prediction.labels.clone();
        known.sort_unstable();
        known.dedup();
        given.sort_unstable();
        if known != given && self.wrong.len() < MAX_KEPT {
            self.wrong.push((self.n_seen, article.clone()));
        }
        self.n_seen += 1;
    }

    /// All that the page shows beside the report. The mistakes on it are read again, for the passages behind them and the training articles
    /// like them.
    ///
    /// # Errors
    /// An input that the report was not made of; an article that the encoder refuses.
    pub fn extras<'a>(
        self,
        classifier: &Classifier,
        input: EvaluationInput<'a>,
        slices: &'a [SliceTable],
        settings: Vec<(String, String)>,
        sections: Vec<Section>,
    ) -> anyhow::Result<ReportExtras<'a>> {
        let chosen = most_instructive(&input, MAX_ERRORS)?;
        let kept = |found: WrongArticle| {
            let place = self.wrong.binary_search_by_key(&found.row_idx, |(row_idx, _)| *row_idx).ok()?;
            Some((found, self.wrong[place].1.clone()))
        };
        let (chosen, articles): (Vec<WrongArticle>, Vec<Article>) = chosen.into_iter().filter_map(kept).unzip();
        let explanations = classifier.explain(&articles)?;
        let errors = chosen.into_iter().zip(explanations).map(|(found, explanation)| {
            let passage = |label_idx: usize| {
                let name = self.labels.name(LabelId(label_idx));
                let own = explanation.labels.iter().find(|label| label.label == name)?;
                Some(own.evidence.first()?.text.clone())
            };
            // A passage that is most of the text says no more than the text.
            let is_part = |passage: &String| 2 * passage.len() <= explanation.text.len();
            let passages = found.wrong.iter().map(|own| passage(own.label_idx).filter(is_part));
            ErrorCase {
                passages: passages.collect(),
                id: explanation.id,
                title: explanation.title,
                excerpt: excerpt(&explanation.text),
                neighbours: explanation
                    .neighbours
                    .into_iter()
                    .map(|own| SimilarArticle {
                        id: own.id,
                        title: own.title,
                        labels: own.labels,
                        similarity: own.similarity,
                    })
                    .collect(),
                found,
            }
        });
        Ok(ReportExtras { input: Some(input), errors: errors.collect(), map: self.map, slices, settings, sections })
    }
}

/// The beginning of a text, up to a blank where there is one near the end.
fn excerpt(text: &str) -> String {
    let text = text.trim();
    let Some((end, _)) = text.char_indices().nth(EXCERPT_CHARS) else { return text.to_owned() };
    let cut = &text[..end];
    let at_blank = cut.rfind(char::is_whitespace).filter(|&at| at > end / 2).unwrap_or(end);
    format!("{} …", cut[..at_blank].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_ends_at_a_blank_and_counts_characters() {
        assert_eq!(excerpt("  short text "), "short text");
        let long = excerpt(&"слово ".repeat(200));
        assert!(long.ends_with("слово …") && long.chars().count() <= EXCERPT_CHARS + 2, "{long}");
        assert_eq!(excerpt(&"港".repeat(500)).chars().count(), EXCERPT_CHARS + 2);
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let empty = place.path().join("empty");
        fs::create_dir(&empty).unwrap();
        assert!(ReportOutputs::open(None, Some(&empty), false).is_ok());
        fs::write(empty.join("x"), "").unwrap();
        let refused = ReportOutputs::open(None, Some(&empty), false).err().unwrap().to_string();
        assert!(refused.contains("not empty") && refused.contains("--overwrite"), "{refused}");
        assert!(ReportOutputs::open(None, Some(&empty), true).is_ok());
        assert!(ReportOutputs::open(None, Some(&empty.join("x")), true).is_err());
    }
}
