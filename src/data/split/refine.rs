//! Second thoughts: articles change places, groups move, as long as that brings the parts nearer to the whole.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::board::Board;
use super::stratify::Rounding;

/// Units of another part that a unit is tried against.
const N_CANDIDATES: usize = 100;

/// Passes over all units. Most gain is in the first few.
const MAX_PASSES: usize = 30;

/// Labels and pairs that may be looked at in all: about a second's work. Reached with some ten thousand different sets of labels.
const MAX_LOOKS: u64 = 150_000_000;

/// Articles with which the search by lot is worth its time; with more, descent alone ends near enough to ideal.
const MAX_WANDERERS: usize = 20_000;
const STEPS_PER_UNIT: usize = 2000;
const MAX_STEPS: usize = 1_500_000;

/// The harm that an exchange may do at first, in articles of a label in a part.
const THRESHOLD: f64 = 0.5;

/// A change must bring more than rounding.
const MIN_GAIN: f64 = 1e-12;

/// Lets articles that were rounded up change places with those of other parts; sizes, and the rounding of every kind, stay.
pub(super) fn refine_articles(board: &mut Board<'_>, rounding: &mut Rounding, movable: &[usize], rng: &mut ChaCha8Rng) {
    wander(board, rounding, movable, rng);
    let mut order = movable.to_vec();
    let mut n_looks = 0;
    for _ in 0..MAX_PASSES {
        order.shuffle(rng);
        let mut has_changed = false;
        for &unit_idx in &order {
            if n_looks > MAX_LOOKS {
                return;
            }
            has_changed |= change_places(board, rounding, unit_idx, &mut n_looks, rng);
        }
        if !has_changed {
            return;
        }
    }
}

/// Threshold accepting (Dueck & Scheuer 1990): exchanges by lot, of which those are made that do less harm than a threshold that
/// falls to zero. Finds its way out of places where no single exchange helps, which descent alone would end in.
fn wander(board: &mut Board<'_>, rounding: &mut Rounding, movable: &[usize], rng: &mut ChaCha8Rng) {
    if movable.len() < 2 || movable.len() > MAX_WANDERERS {
        return;
    }
    let n_steps = (STEPS_PER_UNIT * movable.len()).min(MAX_STEPS);
    let highest = THRESHOLD * board.mean_weight_of_one(movable);
    for step in 0..n_steps {
        let unit_idx = movable[rng.random_range(0..movable.len())];
        let (kind, own) = (board.units.kind_of[unit_idx], board.part_of[unit_idx]);
        let other_part = rng.random_range(0..board.n_parts());
        if other_part == own || !rounding.may_take(kind, other_part) || rounding.taken[other_part].is_empty() {
            continue;
        }
        let candidate = rounding.taken[other_part][rng.random_range(0..rounding.taken[other_part].len())];
        let candidate_kind = board.units.kind_of[candidate];
        if candidate_kind == kind || !rounding.may_take(candidate_kind, own) {
            continue;
        }
        let first = board.change_of_labels(unit_idx, own, -1.0) + board.change_of_labels(unit_idx, other_part, 1.0);
        rounding.give_back(board, unit_idx);
        rounding.take(board, unit_idx, other_part);
        let second = board.change_of_labels(candidate, other_part, -1.0) + board.change_of_labels(candidate, own, 1.0);
        let (leaves, comes) = match first + second <= highest * (1.0 - step as f64 / n_steps as f64) {
            true => (candidate, own),
            false => (unit_idx, own),
        };
        rounding.give_back(board, leaves);
        rounding.take(board, leaves, comes);
    }
}

/// The best exchange for this article, if one is an improvement.
fn change_places(
    board: &mut Board<'_>,
    rounding: &mut Rounding,
    unit_idx: usize,
    n_looks: &mut u64,
    rng: &mut ChaCha8Rng,
) -> bool {
    let kind = board.units.kind_of[unit_idx];
    let own = board.part_of[unit_idx];
    let mut best: Option<(f64, usize, usize)> = None;
    let gain_here = board.change_of_labels(unit_idx, own, -1.0);
    for other_part in 0..board.n_parts() {
        if other_part == own || !rounding.may_take(kind, other_part) {
            continue;
        }
        // Where the first half is no gain, the other article's turn will find the exchange.
        let first = gain_here + board.change_of_labels(unit_idx, other_part, 1.0);
        *n_looks += 2 * board.units.content(unit_idx).len() as u64;
        if first > -MIN_GAIN {
            continue;
        }
        board.remove(unit_idx);
        board.place(unit_idx, other_part);
        for candidate in candidates(&rounding.taken[other_part], rng) {
            let candidate_kind = board.units.kind_of[candidate];
            if candidate_kind == kind || !rounding.may_take(candidate_kind, own) {
                continue;
            }
            *n_looks += 2 * board.units.content(candidate).len() as u64;
            let second =
                board.change_of_labels(candidate, other_part, -1.0) + board.change_of_labels(candidate, own, 1.0);
            if first + second < best.map_or(-MIN_GAIN, |(change, ..)| change) {
                best = Some((first + second, candidate, other_part));
            }
        }
        board.remove(unit_idx);
        board.place(unit_idx, own);
    }
    let Some((_, candidate, other_part)) = best else { return false };
    rounding.give_back(board, unit_idx);
    rounding.give_back(board, candidate);
    rounding.take(board, unit_idx, other_part);
    rounding.take(board, candidate, own);
    true
}

/// Some units of a list, all where it is short.
fn candidates(units: &[usize], rng: &mut ChaCha8Rng) -> Vec<usize> {
    if units.len() <= N_CANDIDATES {
        return units.to_vec();
    }
    (0..N_CANDIDATES).map(|_| units[rng.random_range(0..units.len())]).collect()
}

/// Lets groups move, or change places with a group of another part.
pub(super) fn refine_groups(board: &mut Board<'_>, groups: &[usize], rng: &mut ChaCha8Rng) {
    let mut order = groups.to_vec();
    let mut n_looks = 0;
    for _ in 0..MAX_PASSES {
        order.shuffle(rng);
        let mut has_changed = false;
        for place in 0..order.len() {
            if n_looks > MAX_LOOKS {
                return;
            }
            has_changed |= move_group(board, &order, order[place], &mut n_looks, rng);
        }
        if !has_changed {
            return;
        }
    }
}

/// What leaving one part for another changes.
fn change_of_moving(board: &Board<'_>, unit_idx: usize, from: usize, to: usize) -> f64 {
    board.change_of_labels(unit_idx, from, -1.0)
        + board.change_of_size(unit_idx, from, -1.0)
        + board.change_of_labels(unit_idx, to, 1.0)
        + board.change_of_size(unit_idx, to, 1.0)
}

/// The best move for this group, alone or in exchange for another, if one is an improvement.
fn move_group(board: &mut Board<'_>, all: &[usize], unit_idx: usize, n_looks: &mut u64, rng: &mut ChaCha8Rng) -> bool {
    let own = board.part_of[unit_idx];
    let mut best: Option<(f64, usize, Option<usize>)> = None;
    let others = candidates(all, rng);
    for to in (0..board.n_parts()).filter(|&to| to != own) {
        *n_looks += 4 * board.units.content(unit_idx).len() as u64 + 1;
        let alone = change_of_moving(board, unit_idx, own, to);
        if alone < best.map_or(-MIN_GAIN, |(change, ..)| change) {
            best = Some((alone, to, None));
        }
        board.remove(unit_idx);
        board.place(unit_idx, to);
        for &other in others.iter().filter(|&&other| other != unit_idx) {
            if board.part_of[other] != to {
                continue;
            }
            *n_looks += 4 * board.units.content(other).len() as u64 + 1;
            let both = alone + change_of_moving(board, other, to, own);
            if both < best.map_or(-MIN_GAIN, |(change, ..)| change) {
                best = Some((both, to, Some(other)));
            }
        }
        board.remove(unit_idx);
        board.place(unit_idx, own);
    }
    let Some((_, to, other)) = best else { return false };
    board.remove(unit_idx);
    board.place(unit_idx, to);
    if let Some(other) = other {
        board.remove(other);
        board.place(other, own);
    }
    true
}
