//! A list that only grows and whose copies share what they have in common: after a copy, a change costs one chunk.

use std::sync::Arc;

use arrayvec::ArrayVec;

use super::table::TableFull;

const CHUNK: usize = 64;

#[derive(Debug, Clone)]
pub(super) struct Chunks<T>(Vec<Arc<ArrayVec<T, CHUNK>>>);

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Chunks<T> {
    pub(super) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * CHUNK + last.len())
    }

    pub(super) fn get(&self, at: u32) -> Option<&T> {
        let at = at as usize;
        self.0.get(at / CHUNK)?.get(at % CHUNK)
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        let at = at as usize;
        Arc::make_mut(self.0.get_mut(at / CHUNK)?).get_mut(at % CHUNK)
    }

    /// Adds `item` and gives its place.
    pub(super) fn push(&mut self, item: T) -> Result<u32, TableFull> {
        // The last number stands for none.
        let at = u32::try_from(self.len()).ok().filter(|at| *at != u32::MAX).ok_or(TableFull)?;
        if let Some(last) = self.0.last_mut().filter(|last| !last.is_full()) {
            Arc::make_mut(last).push(item);
        } else {
            self.0.push(Arc::new(ArrayVec::from_iter([item])));
        }
        Ok(at)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|chunk| chunk.iter())
    }
}
