//! Dates of articles, and parts that follow each other in time.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use thiserror::Error;

use super::{Parts, Split, SplitError};

/// A moment, as far as it is known: a date counts from its first second, a month from its first day.
///
/// Read from ISO 8601 (`2024`, `2024-03`, `2024-03-01`, `2024-03-01T14:30`, with seconds, fractions, an offset or `Z`; a space
/// does for the `T`, and digits alone for `20240301`) and from the dates of mails and feeds (RFC 2822, `Fri, 1 Mar 2024
/// 14:30:00 GMT`). A time without an offset is taken as UTC.
///
/// ```
/// use topicwire::data::split::Time;
/// let read = |text: &str| text.parse::<Time>().unwrap();
/// assert!(read("2024-02-29T23:59:59Z") < read("2024-03"));
/// assert_eq!(read("2024-03-01T01:00:00+01:00"), read("2024-03-01"));
/// assert!("1/3/2024".parse::<Time>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(NaiveDateTime);

/// A text that is no date.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected a date such as 2024-03-01, 2024-03 or 2024-03-01T14:30:00Z, found `{found}`")]
pub struct TimeError {
    pub found: String,
}

/// Most characters of a wrong date that are quoted.
const MAX_QUOTED_CHARS: usize = 40;

impl FromStr for Time {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        parse(text).map(Time).ok_or_else(|| TimeError {
            found: text.chars().take(MAX_QUOTED_CHARS).filter(|c| !c.is_control()).collect(),
        })
    }
}

impl fmt::Display for Time {
    /// The date alone where the time is midnight.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.time() == NaiveTime::MIN {
            true => write!(f, "{}", self.0.date()),
            false => write!(f, "{}", self.0.format("%Y-%m-%dT%H:%M:%SZ")),
        }
    }
}

fn parse(text: &str) -> Option<NaiveDateTime> {
    let date =
        |text: &str, format| NaiveDate::parse_from_str(text, format).ok().map(|date| date.and_time(NaiveTime::MIN));
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.len() {
            4 => date(&format!("{text}-01-01"), "%Y-%m-%d"),
            8 => date(text, "%Y%m%d"),
            _ => None,
        };
    }
    if text.len() == "2024-03".len() {
        return date(&format!("{text}-01"), "%Y-%m-%d");
    }
    let with_offset = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%z"))
        .or_else(|_| DateTime::parse_from_rfc2822(text));
    if let Ok(time) = with_offset {
        return Some(time.naive_utc());
    }
    // A `Z` behind a time to the minute, which RFC 3339 does not have.
    let text = text.strip_suffix('Z').unwrap_or(text);
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    formats
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .or_else(|| date(text, "%Y-%m-%d"))
}

/// Parts that follow each other in time, the first the oldest. Each cut is between two different times, at the place nearest to
/// where the shares would have it, so articles of one time are never divided; what the shares leave out is the newest.
///
/// With `groups`, all articles of a group stand where its oldest does: a copy of an article that is already in training is not
/// tested on.
///
/// # Errors
/// Fewer articles, or fewer different times, than parts.
///
/// # Panics
/// When `groups` has another length than `times`.
pub fn by_time(times: &[Time], groups: Option<&[usize]>, parts: &Parts) -> Result<Split, SplitError> {
    parts.check_articles(times.len())?;
    let times = first_times(times, groups);
    let mut sorted = times.clone();
    sorted.sort_unstable();
    // Where one time ends and the next begins.
    let borders: Vec<usize> = (1..sorted.len()).filter(|&i| sorted[i - 1] != sorted[i]).collect();
    let sizes = parts.sizes_with_rest(times.len());
    let n_all = if parts.share_left_out() > 0.0 { sizes.len() } else { parts.len() };
    let too_few = || SplitError::TooFewTimes { n_times: borders.len() + 1, n_parts: n_all };
    let (mut n_before, mut next_border) = (0, 0);
    let mut cuts = Vec::new();
    for (cut_idx, size) in sizes[..n_all - 1].iter().enumerate() {
        n_before += size;
        // Borders enough must be left for the cuts that follow.
        let last_border = borders.len().checked_sub(n_all - 1 - cut_idx).ok_or_else(too_few)?;
        let open = next_border..=last_border;
        let nearest = open.min_by_key(|&i| (borders[i].abs_diff(n_before), Reverse(i))).ok_or_else(too_few)?;
        next_border = nearest + 1;
        cuts.push(sorted[borders[nearest]]);
    }
    Ok(parts_between(&times, &cuts, parts))
}

/// Parts that follow each other in time: each of the `cuts` is the first moment of the next part.
///
/// With `groups`, as [`by_time`]. Shares are not looked at, and a part may be empty.
///
/// # Errors
/// Not one cut fewer than parts, or cuts that do not ascend.
///
/// # Panics
/// When `groups` has another length than `times`.
///
/// # Example
/// ```
/// use topicwire::data::split::{Parts, Time, at_times};
/// let times = ["2023-05-01", "2024-01-01", "2023-12-31T23:59:59Z"].map(|text| text.parse::<Time>().unwrap());
/// let parts = Parts::new([("train", 0.8), ("test", 0.2)])?;
/// let split = at_times(&times, &["2024".parse().unwrap()], None, &parts)?;
/// assert_eq!(split.part_of(), [Some(0), Some(1), Some(0)]);
/// # Ok::<(), topicwire::data::split::SplitError>(())
/// ```
pub fn at_times(times: &[Time], cuts: &[Time], groups: Option<&[usize]>, parts: &Parts) -> Result<Split, SplitError> {
    if cuts.len() + 1 != parts.len() {
        return Err(SplitError::Cuts { n_parts: parts.len(), found: cuts.len() });
    }
    if !cuts.is_sorted_by(|a, b| a < b) {
        return Err(SplitError::CutOrder);
    }
    Ok(parts_between(&first_times(times, groups), cuts, parts))
}

fn parts_between(times: &[Time], cuts: &[Time], parts: &Parts) -> Split {
    let part_of = times.iter().map(|time| cuts.partition_point(|cut| cut <= time)).collect();
    Split::with_rest(parts, part_of)
}

/// The time of each article, or of the oldest of its group.
fn first_times(times: &[Time], groups: Option<&[usize]>) -> Vec<Time> {
    let Some(groups) = groups else { return times.to_vec() };
    assert_eq!(groups.len(), times.len(), "a group for every article");
    let mut first_of: HashMap<usize, Time> = HashMap::new();
    for (group, time) in groups.iter().zip(times) {
        first_of.entry(*group).and_modify(|first| *first = (*first).min(*time)).or_insert(*time);
    }
    groups.iter().map(|group| first_of[group]).collect()
}
