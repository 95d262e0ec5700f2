//! Room to work in.

use std::ops::{Deref, DerefMut};

/// Bytes that a processor fetches together, and that one of the longest registers holds.
pub(super) const CACHE_LINE_BYTES: usize = 64;

/// Numbers that begin at a cache line, so that no register is read or written across two. The memory is kept from one use to the next.
pub struct Room<T> {
    numbers: Vec<T>,
    start: usize,
    len: usize,
}

impl<T> Default for Room<T> {
    fn default() -> Self {
        Self { numbers: Vec::new(), start: 0, len: 0 }
    }
}

impl<T: Copy + Default> Room<T> {
    /// Makes it as long as asked for, and lends it. The numbers are those of the last use, or 0, or anything between.
    pub fn resize(&mut self, len: usize) -> &mut [T] {
        let with_start = len + CACHE_LINE_BYTES / size_of::<T>();
        if self.numbers.len() < with_start {
            self.numbers.resize(with_start, T::default());
            self.start = self.numbers.as_ptr().align_offset(CACHE_LINE_BYTES);
        }
        self.len = len;
        self
    }

    /// Makes it at least as long as asked for.
    pub fn grow(&mut self, len: usize) {
        if self.len < len {
            self.resize(len);
        }
    }
}

impl<T> Deref for Room<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.numbers[self.start..][..self.len]
    }
}

impl<T> DerefMut for Room<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.numbers[self.start..][..self.len]
    }
}

impl AsRef<[u8]> for Room<u8> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_begins_at_a_cache_line_however_long_it_is() {
        let mut room = Room::<u16>::default();
        assert!(room.is_empty());
        for len in [1, 31, 1_000, 5, 100_000] {
            room.resize(len).fill(7);
            assert_eq!(room.len(), len);
            assert_eq!(room.as_ptr().addr() % CACHE_LINE_BYTES, 0);
        }
        room.grow(3);
        assert_eq!(room.len(), 100_000);
    }
}
