//! Things with small stable numbers. Walked in order of number, so that replay is deterministic.

/// A table whose rows keep their number until they are removed.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    rows: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new(), free: Vec::new() }
    }

    /// The number the next row will get.
    pub(crate) fn next_key(&self) -> u32 {
        self.free.last().copied().unwrap_or(self.rows.len() as u32)
    }

    pub(crate) fn insert(&mut self, row: T) -> u32 {
        let key = self.next_key();
        self.free.pop();
        match self.rows.get_mut(key as usize) {
            Some(place) => *place = Some(row),
            None => self.rows.push(Some(row)),
        }
        key
    }

    pub(crate) fn remove(&mut self, key: u32) -> Option<T> {
        let row = self.rows.get_mut(key as usize)?.take()?;
        self.free.push(key);
        Some(row)
    }

    pub(crate) fn get(&self, key: u32) -> Option<&T> {
        self.rows.get(key as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        self.rows.get_mut(key as usize)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.rows.iter().enumerate().filter_map(|(key, row)| Some((key as u32, row.as_ref()?)))
    }

    pub(crate) fn keys(&self) -> Vec<u32> {
        self.iter().map(|(key, _)| key).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }
}
