//! Train a topic classifier on labelled articles and label millions of them, on an ordinary CPU, offline.
//!
//! ```no_run
//! use topicwire::{Classifier, Dataset, Encoder, TrainSettings};
//!
//! let train = Dataset::read("data/diplomacy/train.jsonl")?;
//! let encoder = Encoder::open("models/all-MiniLM-L6-v2")?;
//! let classifier = Classifier::train(encoder, train, &TrainSettings::default())?;
//! let predictions = classifier.predict(Dataset::read("data/articles")?.articles())?;
//! classifier.save("model")?;
//! # for prediction in predictions {
//! #     println!("{:?}", prediction.labels);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The modules in reading order; each imports only from lower rows, never from its own:
//!
//! | row | modules | what |
//! |---|---|---|
//! | 1 | [`labels`] [`progress`] [`rng`] | names of topics, events of long work, the one source of randomness |
//! | 2 | [`data`] [`text`] [`kernels`] | articles from files, tokens and windows, numeric kernels |
//! | 3 | [`encoder`] [`heads`] [`calibration`] [`metrics`] [`scope`] | text → embedding → logits → probabilities and labels; how good they are; how unlike the training an article is |
//! | 4 | [`views`] [`report`] `cache` | what is seen of an article, put together; evaluation results as data; embeddings on disk |
//! | 5 | [`pipeline`] | the [`Classifier`]: articles in, labels and probabilities out |
//! | 6 | [`train`] [`explain`] [`evidence_report`] [`throughput`] | labelled articles in, a classifier out; why an article has its labels, and whether that is so; how fast encoders are here |
//! | 7 | [`bundle`] [`curation`] [`study`] [`tune`] | a classifier on disk; data looked over before training; what more, fewer or later articles would do; settings that suit some articles better than the defaults |
//! | 8 | `cli` | the command line |

pub mod labels;
pub mod progress;
pub mod rng;

pub mod data;
pub mod kernels;
pub mod text;

pub mod calibration;
pub mod encoder;
pub mod heads;
pub mod metrics;
pub mod scope;

#[cfg(feature = "cache")]
pub mod cache;
pub mod report;
pub mod views;

pub mod pipeline;

pub mod evidence_report;
pub mod explain;
pub mod throughput;
pub mod train;

pub mod bundle;
pub mod curation;
pub mod study;
pub mod tune;

#[cfg(feature = "cli")]
pub mod cli;

pub use data::{Article, Dataset};
pub use encoder::Encoder;
pub use pipeline::{Classifier, Prediction};
pub use train::TrainSettings;
