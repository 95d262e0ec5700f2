//! Hashes to positions in an ascending list of them.

/// Where hashes lie in an ascending list: the first bits name a short stretch of it, about one hash long.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    shift: u32,
    /// Where each stretch starts, and the end of the last one.
    starts: Vec<u32>,
}

impl Lookup {
    /// For hashes in ascending order, at most as many as a `u32` counts.
    pub(super) fn new(hashes: &[u64]) -> Self {
        let n_bits = hashes.len().next_power_of_two().trailing_zeros().max(1);
        let shift = u64::BITS - n_bits;
        let mut starts = vec![0; (1 << n_bits) + 1];
        hashes.iter().for_each(|hash| starts[(hash >> shift) as usize + 1] += 1);
        for stretch in 1..starts.len() {
            starts[stretch] += starts[stretch - 1];
        }
        Self { shift, starts }
    }

    /// Position of a hash in the list the lookup was made for.
    pub(super) fn find(&self, hashes: &[u64], hash: u64) -> Option<u32> {
        let stretch = (hash >> self.shift) as usize;
        let start = self.starts[stretch];
        let within = &hashes[start as usize..self.starts[stretch + 1] as usize];
        within.binary_search(&hash).ok().map(|position| start + position as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_is_found_and_no_other() {
        let crowded: Vec<u64> = (0..100).collect();
        let spread: Vec<u64> = (0..100u64).map(|k| k << 57 | k).collect();
        let lists: [&[u64]; 6] = [&[], &[0], &[u64::MAX], &[0, 1, u64::MAX], &crowded, &spread];
        for hashes in lists {
            let mut hashes = hashes.to_vec();
            hashes.sort_unstable();
            let lookup = Lookup::new(&hashes);
            for (position, &hash) in hashes.iter().enumerate() {
                assert_eq!(lookup.find(&hashes, hash), Some(position as u32));
            }
            for other in [0, 1, 500, 1 << 40, u64::MAX - 1, u64::MAX] {
                let expected = hashes.iter().position(|&hash| hash == other).map(|position| position as u32);
                assert_eq!(lookup.find(&hashes, other), expected);
            }
        }
    }
}
