//! Many small maps from a number to a count, in one pool: most routes have a few different times, some have thousands.
//!
//! A cell holds a key of 36 bits and a count of 28. A map of four cells is a plain list; a larger one a hash table with a header.

const COUNT_BITS: u32 = 28;
const MOST: u64 = (1 << COUNT_BITS) - 1;
const CLASSES: usize = 12;

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Map(u32); // (number of four cells before it + 1) << 4 | class; 0: empty

#[derive(Default)]
pub struct Pool {
    cells: Vec<u64>,
    free: [Vec<u32>; CLASSES],
}

fn size_of(class: usize) -> usize {
    4 << (2 * class)
}

/// Cells before the hash table of a class: the first of them holds how many keys there are.
fn header_of(class: usize) -> usize {
    if class == 0 { 0 } else { 4 }
}

#[inline(always)]
fn spread(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

#[inline(always)]
fn raised(cell: u64, by: u64) -> u64 {
    let count = (cell & MOST) + by;
    (cell & !MOST) | if count > MOST { MOST } else { count }
}

impl Pool {
    /// Add to the count of a key.
    #[inline(always)]
    pub fn add(&mut self, map: &mut Map, key: u64, by: u64) {
        if map.0 & 15 == 0 {
            self.add_to_list(map, key, by);
        } else {
            self.add_to_table(map, key, by);
        }
    }

    #[inline(always)]
    fn add_to_list(&mut self, map: &mut Map, key: u64, by: u64) {
        if map.0 == 0 {
            *map = self.allocate(0);
        }
        let begin = begin_of(*map);
        for cell in &mut self.cells[begin..begin + 4] {
            if *cell >> COUNT_BITS == key && *cell != 0 {
                *cell = raised(*cell, by);
                return;
            }
            if *cell == 0 {
                *cell = raised(key << COUNT_BITS, by);
                return;
            }
        }
        self.grow(map);
        self.add_to_table(map, key, by);
    }

    #[inline(always)]
    fn add_to_table(&mut self, map: &mut Map, key: u64, by: u64) {
        let size = size_of((map.0 & 15) as usize);
        let header = begin_of(*map);
        let table = &mut self.cells[header + 4..header + 4 + size];
        let mut slot = spread(key) & (size - 1);
        loop {
            let cell = &mut table[slot & (size - 1)];
            if *cell >> COUNT_BITS == key && *cell != 0 {
                *cell = raised(*cell, by);
                return;
            }
            if *cell == 0 {
                *cell = raised(key << COUNT_BITS, by);
                self.cells[header] += 1;
                if self.cells[header] as usize * 4 > size * 3 && ((map.0 & 15) as usize) < CLASSES - 1 {
                    self.grow(map);
                }
                return;
            }
            slot += 1;
        }
    }

    fn grow(&mut self, map: &mut Map) {
        let held: Vec<u64> = self.cells_of(*map).collect();
        self.release(*map);
        *map = self.allocate((map.0 & 15) as usize + 1);
        for cell in held {
            self.add_to_table(map, cell >> COUNT_BITS, cell & MOST);
        }
    }

    fn allocate(&mut self, class: usize) -> Map {
        let all = header_of(class) + size_of(class);
        let begin = match self.free[class].pop() {
            Some(begin) => {
                let begin = begin as usize * 4;
                self.cells[begin..begin + all].fill(0);
                begin
            }
            None => {
                let begin = self.cells.len();
                self.cells.resize(begin + all, 0);
                begin
            }
        };
        assert!(begin / 4 < (1 << 28) - 1, "counts fit in 8 GB");
        Map(((begin / 4) as u32 + 1) << 4 | class as u32)
    }

    /// Give up a map.
    pub fn release(&mut self, map: Map) {
        if map.0 != 0 {
            self.free[(map.0 & 15) as usize].push((begin_of(map) / 4) as u32);
        }
    }

    fn cells_of(&self, map: Map) -> impl Iterator<Item = u64> + '_ {
        self.cells[range_of(map)].iter().copied().filter(|cell| *cell != 0)
    }

    /// Return the keys and their counts.
    pub fn items(&self, map: Map) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.cells_of(map).map(|cell| (cell >> COUNT_BITS, cell & MOST))
    }

    /// Ask for the memory of a key ahead of its use.
    #[inline(always)]
    pub fn prefetch_key(&self, map: Map, key: u64) {
        if map.0 == 0 {
            return;
        }
        let class = (map.0 & 15) as usize;
        let slot = if class == 0 { 0 } else { 4 + (spread(key) & (size_of(class) - 1)) };
        crate::find::prefetch(&self.cells, begin_of(map) + slot);
    }

    /// Add everything of a map of another pool.
    pub fn absorb(&mut self, map: &mut Map, pool: &Pool, its: Map) {
        for (key, count) in pool.items(its) {
            self.add(map, key, count);
        }
    }

    /// Add everything of another map of this pool, and give that one up.
    pub fn fold(&mut self, map: &mut Map, its: Map) {
        for at in range_of(its) {
            let cell = self.cells[at];
            if cell != 0 {
                self.add(map, cell >> COUNT_BITS, cell & MOST);
            }
        }
        self.release(its);
    }

    /// Forget everything.
    pub fn clear(&mut self) {
        self.cells.clear();
        self.free = Default::default();
    }
}

#[inline(always)]
fn begin_of(map: Map) -> usize {
    ((map.0 >> 4) as usize - 1) * 4
}

/// Return where the cells of a map are, without its header.
fn range_of(map: Map) -> std::ops::Range<usize> {
    if map.0 == 0 {
        return 0..0;
    }
    let class = (map.0 & 15) as usize;
    let begin = begin_of(map) + header_of(class);
    begin..begin + size_of(class)
}
