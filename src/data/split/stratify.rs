//! First places: shares of equal articles by division, what is left over by iterative stratification, groups by size.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::board::Board;
use super::refine::{refine_articles, refine_groups};
use super::units::Units;

/// The part of each unit, all of them single articles.
///
/// `sizes` sum to the number of units; parts from `n_measured` on are of no interest. Every size is met, and of the articles of
/// a kind each part gets its share, rounded up or down. Such a rounding always exists, since in a flow network whose
/// capacities are whole numbers a whole flow is as large as any.
pub(super) fn articles(units: &Units, sizes: &[usize], n_measured: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut board = Board::new(units, sizes, n_measured);
    let mut rounding = Rounding::new(units, sizes);
    let mut left_over = Vec::new();
    let mut of_kind = vec![Vec::new(); units.contents.len()];
    for (unit_idx, &kind) in units.kind_of.iter().enumerate() {
        of_kind[kind].push(unit_idx);
    }
    for (kind, members) in of_kind.iter_mut().enumerate() {
        members.shuffle(rng);
        let n_members = members.len();
        let mut members = members.iter().copied();
        for (part_idx, &size) in sizes.iter().enumerate() {
            let product = n_members as u128 * size as u128;
            let n_sure = (product / units.len() as u128) as usize;
            rounding.may_take[kind * sizes.len() + part_idx] = !product.is_multiple_of(units.len() as u128);
            for unit_idx in members.by_ref().take(n_sure) {
                board.place(unit_idx, part_idx);
                rounding.room[part_idx] -= 1;
            }
        }
        left_over.extend(members);
    }
    for unit_idx in rarest_first(units, &left_over, rng) {
        let kind = units.kind_of[unit_idx];
        let open: Vec<usize> = (0..sizes.len()).filter(|&part_idx| rounding.is_open(kind, part_idx)).collect();
        match neediest(&board, unit_idx, &open, rng) {
            Some(part_idx) => rounding.take(&mut board, unit_idx, part_idx),
            None => rounding.make_room(&mut board, unit_idx),
        }
    }
    refine_articles(&mut board, &mut rounding, &left_over, rng);
    board.part_of
}

/// The part of each unit, some of them groups: the largest first, to the part that lacks it most.
pub(super) fn groups(units: &Units, sizes: &[usize], n_measured: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut board = Board::new(units, sizes, n_measured);
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.shuffle(rng);
    order.sort_by_key(|&unit_idx| Reverse(units.rows[unit_idx].len()));
    let all: Vec<usize> = (0..sizes.len()).collect();
    for &unit_idx in &order {
        let part_idx = neediest(&board, unit_idx, &all, rng).expect("there is at least one part");
        board.place(unit_idx, part_idx);
    }
    refine_groups(&mut board, &order, rng);
    board.part_of
}

/// Who may be rounded up where.
pub(super) struct Rounding {
    n_parts: usize,
    /// `[n_kinds, n_parts]`: the share of the kind is no whole number there, and not rounded up yet.
    may_take: Vec<bool>,
    /// Articles that each part has room for; below zero in the middle of an exchange.
    room: Vec<isize>,
    /// Per part the articles by which it is rounded up.
    pub(super) taken: Vec<Vec<usize>>,
    /// Where in `taken` each article stands.
    place_in: Vec<usize>,
}

impl Rounding {
    fn new(units: &Units, sizes: &[usize]) -> Self {
        Self {
            n_parts: sizes.len(),
            may_take: vec![false; units.contents.len() * sizes.len()],
            room: sizes.iter().map(|&size| size as isize).collect(),
            taken: vec![Vec::new(); sizes.len()],
            place_in: vec![0; units.len()],
        }
    }

    pub(super) fn may_take(&self, kind: usize, part_idx: usize) -> bool {
        self.may_take[kind * self.n_parts + part_idx]
    }

    fn is_open(&self, kind: usize, part_idx: usize) -> bool {
        self.room[part_idx] > 0 && self.may_take(kind, part_idx)
    }

    pub(super) fn take(&mut self, board: &mut Board<'_>, unit_idx: usize, part_idx: usize) {
        board.place(unit_idx, part_idx);
        self.may_take[board.units.kind_of[unit_idx] * self.n_parts + part_idx] = false;
        self.room[part_idx] -= 1;
        self.place_in[unit_idx] = self.taken[part_idx].len();
        self.taken[part_idx].push(unit_idx);
    }

    pub(super) fn give_back(&mut self, board: &mut Board<'_>, unit_idx: usize) {
        let part_idx = board.remove(unit_idx);
        self.may_take[board.units.kind_of[unit_idx] * self.n_parts + part_idx] = true;
        self.room[part_idx] += 1;
        let place = self.place_in[unit_idx];
        self.taken[part_idx].swap_remove(place);
        if let Some(&moved) = self.taken[part_idx].get(place) {
            self.place_in[moved] = place;
        }
    }

    /// Places an article all of whose parts are full, by sending others on: an augmenting path, found breadth first.
    fn make_room(&mut self, board: &mut Board<'_>, unit_idx: usize) {
        let kind_of = &board.units.kind_of;
        let mut came_from: Vec<Option<Option<usize>>> = vec![None; self.n_parts];
        let mut queue: VecDeque<usize> =
            (0..self.n_parts).filter(|&part_idx| self.may_take(kind_of[unit_idx], part_idx)).collect();
        queue.iter().for_each(|&part_idx| came_from[part_idx] = Some(None));
        let mut end = None;
        'search: while let Some(part_idx) = queue.pop_front() {
            for &other in &self.taken[part_idx] {
                for (next, from) in came_from.iter_mut().enumerate() {
                    if from.is_none() && self.may_take(kind_of[other], next) {
                        *from = Some(Some(other));
                        if self.room[next] > 0 {
                            end = Some(next);
                            break 'search;
                        }
                        queue.push_back(next);
                    }
                }
            }
        }
        let mut part_idx =
            end.expect("shares that sum to whole numbers both ways can be rounded so that both sums stay");
        while let Some(Some(other)) = came_from[part_idx] {
            let freed = board.part_of[other];
            self.give_back(board, other);
            self.take(board, other, part_idx);
            part_idx = freed;
        }
        self.take(board, unit_idx, part_idx);
    }
}

/// The order of iterative stratification: again and again the feature with fewest articles still to come, all of them by lot;
/// articles without any label at the end.
fn rarest_first(units: &Units, left_over: &[usize], rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut of_feature = vec![Vec::new(); units.support.len()];
    let mut shuffled = left_over.to_vec();
    shuffled.shuffle(rng);
    for &unit_idx in &shuffled {
        units.content(unit_idx).iter().for_each(|&(feature, _)| of_feature[feature].push(unit_idx));
    }
    let mut n_left: Vec<usize> = of_feature.iter().map(Vec::len).collect();
    let lots: Vec<u64> = n_left.iter().map(|_| rng.random()).collect();
    // Entries go stale when a count falls; the new count is an entry of its own.
    let mut heap: BinaryHeap<Reverse<(usize, u64, usize)>> =
        (0..n_left.len()).map(|feature| Reverse((n_left[feature], lots[feature], feature))).collect();
    let mut is_ordered = vec![false; units.len()];
    let mut order = Vec::with_capacity(left_over.len());
    while let Some(Reverse((count, _, rarest))) = heap.pop() {
        if count == 0 || count != n_left[rarest] {
            continue;
        }
        for &unit_idx in &of_feature[rarest] {
            if !std::mem::replace(&mut is_ordered[unit_idx], true) {
                order.push(unit_idx);
                for &(feature, _) in units.content(unit_idx) {
                    n_left[feature] -= 1;
                    heap.push(Reverse((n_left[feature], lots[feature], feature)));
                }
            }
        }
    }
    order.extend(shuffled.into_iter().filter(|&unit_idx| !is_ordered[unit_idx]));
    order
}

/// The part among these that lacks the unit most; among equals one by lot.
fn neediest(board: &Board<'_>, unit_idx: usize, parts: &[usize], rng: &mut ChaCha8Rng) -> Option<usize> {
    let costs: Vec<f64> = parts.iter().map(|&part_idx| board.cost_of_placing(unit_idx, part_idx)).collect();
    let best = costs.iter().copied().min_by(f64::total_cmp)?;
    let equals: Vec<usize> = (0..parts.len()).filter(|&i| costs[i] <= best).collect();
    Some(parts[equals[rng.random_range(0..equals.len())]])
}
