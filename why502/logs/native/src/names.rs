//! Names (routes, clients, servers, addresses) with how often each was met and how often it failed.
//!
//! Beyond `most` names the half that failed and was met least is given up: their counts go to one name for the rest, and `lost` is
//! the most that the count of one that is still there may lack. How many different names were met is estimated (HyperLogLog).

use crate::find::{prefetch, word};
use crate::small::{Map, Pool};

pub const REST: &[u8] = b"(others)";
const REGISTERS: usize = 1 << 14;

/// One name, in one cache line with what is counted of it.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Name {
    key: Key,
    pub begin: u32, // in the arena
    pub length: u32,
    pub total: u64,
    pub failed: u32,
    pub times: Map,
    pub fails: Map,
    pub is_wanted: bool, // to be told, however rare
}

pub struct Names {
    slots: Vec<u64>, // hash << 32 | number + 1
    pub all: Vec<Name>,
    pub lasts: Vec<i64>, // when each was met last
    arena: Vec<u8>,
    most: usize,
    seed: u64,
    pub lost: u64,
    pub lost_failed: u64,
    registers: Vec<u8>,
}

/// The bytes of a text of a length up to 24.
static MASKS: [[u64; 3]; 25] = {
    let mut found = [[0; 3]; 25];
    let mut at = 0;
    while at < 25 * 24 {
        let (length, byte) = (at / 24, at % 24);
        if byte < length {
            found[length][byte / 8] |= 0xff << (8 * (byte % 8));
        }
        at += 1;
    }
    found
};

/// Return the first 24 bytes of a text, zeros behind its end.
#[inline(always)]
fn head_of(buffer: &[u8], begin: usize, end: usize) -> [u64; 3] {
    let length = end - begin;
    if let Some(raw) = buffer.get(begin..begin + 24) {
        let mask = &MASKS[length.min(24)];
        return [word(raw, 0) & mask[0], word(raw, 8) & mask[1], word(raw, 16) & mask[2]];
    }
    let mut head = [0u64; 3];
    for (at, byte) in buffer[begin..end].iter().take(24).enumerate() {
        head[at / 8] |= (*byte as u64) << (8 * (at % 8));
    }
    head
}

#[inline(always)]
fn folded(a: u64, b: u64) -> u64 {
    let product = (a as u128) * (b as u128);
    product as u64 ^ (product >> 64) as u64
}

/// A text as it is looked for: by its first bytes and a hash of all. The seed makes the hash unpredictable for those who write
/// logs, so that two names of the same hash are as unlikely as a broken memory, and texts need not be compared.
#[derive(Clone, Copy)]
pub struct Key {
    head: [u64; 3],
    hash: u64,
}

impl Key {
    #[inline(always)]
    fn is(&self, other: &Key) -> bool {
        let differs = (self.head[0] ^ other.head[0]) | (self.head[1] ^ other.head[1]) | (self.head[2] ^ other.head[2]);
        differs | (self.hash ^ other.hash) == 0
    }

    /// Return the key of the same text in the company of a number.
    #[inline(always)]
    pub fn with(&self, number: u64) -> Key {
        Key { head: [self.head[0] ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15), self.head[1], self.head[2]], hash: folded(self.hash ^ number, 0xa076_1d64_78bd_642f) }
    }
}

/// Return the key of a text in a buffer.
#[inline(always)]
pub fn key_in(buffer: &[u8], begin: usize, end: usize, seed: u64) -> Key {
    let head = head_of(buffer, begin, end);
    let length = (end - begin) as u64;
    let mut hash = folded(head[0] ^ seed, head[1] ^ 0x9e37_79b9_7f4a_7c15 ^ length) ^ folded(head[2] ^ seed.rotate_left(32), 0xc2b2_ae3d_27d4_eb4f);
    let mut at = begin + 24;
    while at < end {
        let from = if at + 8 <= end { at } else { end - 8 }; // the last eight bytes overlap those before
        hash = folded(hash ^ word(buffer, from), seed ^ 0x1656_67b1_9e37_79f9);
        at += 8;
    }
    Key { head, hash: folded(hash ^ 0xa076_1d64_78bd_642f, seed | 1) }
}

/// Return the key of a text.
pub fn key_of(text: &[u8], seed: u64) -> Key {
    key_in(text, 0, text.len(), seed)
}

impl Names {
    pub fn new(most: usize, seed: u64) -> Names {
        Names { slots: vec![0; 1 << 12], all: Vec::new(), lasts: Vec::new(), arena: Vec::new(), most, seed, lost: 0, lost_failed: 0, registers: vec![0; REGISTERS] }
    }

    #[inline(always)]
    pub fn key(&self, text: &[u8]) -> Key {
        key_of(text, self.seed)
    }

    #[inline(always)]
    pub fn key_in(&self, buffer: &[u8], begin: usize, end: usize) -> Key {
        key_in(buffer, begin, end, self.seed)
    }

    /// Ask for the slot of a key ahead of its use.
    #[inline(always)]
    pub fn prefetch_slot(&self, key: &Key) {
        prefetch(&self.slots, (key.hash >> 32) as usize & (self.slots.len() - 1));
    }

    /// Ask for the name that a key most likely has.
    #[inline(always)]
    pub fn prefetch_name(&self, key: &Key) {
        let found = self.slots[(key.hash >> 32) as usize & (self.slots.len() - 1)];
        if found != 0 {
            prefetch(&self.all, found as u32 as usize - 1);
        }
    }

    /// Return the text of a name.
    pub fn text(&self, name: &Name) -> &[u8] {
        &self.arena[name.begin as usize..(name.begin + name.length) as usize]
    }

    /// Return the number of a name that was met before.
    #[inline(always)]
    pub fn known(&self, key: &Key, length: usize) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let code = (key.hash >> 32) as u32;
        let mut slot = code as usize;
        loop {
            let found = self.slots[slot & mask];
            if found == 0 {
                return None;
            }
            if (found >> 32) as u32 == code {
                let number = found as u32 as usize - 1;
                let name = &self.all[number];
                if name.length as usize == length && name.key.is(key) {
                    return Some(number);
                }
            }
            slot += 1;
        }
    }

    /// Return the number of a name, of a new one where it is met the first time.
    #[inline(always)]
    pub fn number(&mut self, key: &Key, text: &[u8]) -> usize {
        match self.known(key, text.len()) {
            Some(number) => number,
            None => self.insert(key, text),
        }
    }

    #[inline(never)]
    fn insert(&mut self, key: &Key, text: &[u8]) -> usize {
        let register = key.hash as usize & (REGISTERS - 1);
        let rank = ((key.hash >> 14) | 1 << 50).trailing_zeros() as u8 + 1;
        if self.registers[register] < rank {
            self.registers[register] = rank;
        }
        if (self.all.len() + 1) * 2 > self.slots.len() {
            self.rebuild(self.slots.len() * 2);
        }
        let number = self.all.len();
        let begin = u32::try_from(self.arena.len()).expect("names fit in 4 GB");
        self.arena.extend_from_slice(text);
        self.lasts.push(i64::MIN);
        self.all.push(Name {
            key: *key,
            begin,
            length: text.len() as u32,
            total: 0,
            failed: 0,
            times: Map::default(),
            fails: Map::default(),
            is_wanted: false,
        });
        self.place((key.hash >> 32) as u32, number);
        number
    }

    fn place(&mut self, code: u32, number: usize) {
        let mask = self.slots.len() - 1;
        let mut slot = code as usize;
        while self.slots[slot & mask] != 0 {
            slot += 1;
        }
        self.slots[slot & mask] = (code as u64) << 32 | (number as u64 + 1);
    }

    fn rebuild(&mut self, size: usize) {
        let old = core::mem::replace(&mut self.slots, vec![0; size]);
        for found in old {
            if found != 0 {
                self.place((found >> 32) as u32, found as u32 as usize - 1);
            }
        }
    }

    /// Return whether there are more names than are kept.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.all.len() > self.most
    }

    /// Return about how many different names were met; exact while none was given up.
    pub fn distinct(&self) -> u64 {
        if self.lost == 0 && self.lost_failed == 0 {
            return self.all.len() as u64;
        }
        let sum: f64 = self.registers.iter().map(|rank| 1.0 / (1u64 << rank) as f64).sum();
        let size = REGISTERS as f64;
        let raw = 0.7213 / (1.0 + 1.079 / size) * size * size / sum;
        let empty = self.registers.iter().filter(|rank| **rank == 0).count();
        (if raw <= 2.5 * size && empty > 0 { size * (size / empty as f64).ln() } else { raw }) as u64
    }

    /// Give up the half that failed and was met least.
    #[inline(never)]
    pub fn prune(&mut self, pool: &mut Pool) {
        let mut order: Vec<(u32, u64, u32)> = self.all.iter().enumerate().map(|(number, name)| (name.failed, name.total, number as u32)).collect();
        let kept = self.most / 2;
        order.select_nth_unstable_by(kept, |one, other| other.cmp(one));
        order[..kept].sort_unstable_by_key(|one| one.2);
        let mut rest = self.all[0];
        rest.times = Map::default();
        rest.fails = Map::default();
        let (mut total, mut failed) = (0, 0);
        for (fails, count, number) in &order[kept..] {
            let name = self.all[*number as usize];
            total += count;
            failed += fails;
            if self.text(&name) != REST {
                self.lost = self.lost.max(*count);
                self.lost_failed = self.lost_failed.max(*fails as u64);
            }
            pool.fold(&mut rest.times, name.times);
            pool.fold(&mut rest.fails, name.fails);
        }
        let mut fresh = Names::new(self.most, self.seed);
        fresh.slots = vec![0; self.slots.len()];
        for (_, _, number) in &order[..kept] {
            let name = self.all[*number as usize];
            let text = &self.arena[name.begin as usize..(name.begin + name.length) as usize];
            let at = fresh.number(&key_of(text, self.seed), text);
            let mine = &mut fresh.all[at];
            let begin = mine.begin;
            *mine = name;
            mine.begin = begin;
            fresh.lasts[at] = self.lasts[*number as usize];
        }
        let at = fresh.number(&key_of(REST, self.seed), REST);
        let mine = &mut fresh.all[at];
        mine.total += total;
        mine.failed += failed;
        let (mut times, mut fails) = (mine.times, mine.fails);
        pool.fold(&mut times, rest.times);
        pool.fold(&mut fails, rest.fails);
        let mine = &mut fresh.all[at];
        mine.times = times;
        mine.fails = fails;
        self.slots = fresh.slots;
        self.all = fresh.all;
        self.lasts = fresh.lasts;
        self.arena = fresh.arena;
    }

    /// Add the names of another reader.
    pub fn absorb(&mut self, other: &Names, pool: &mut Pool, its: &Pool) {
        for (name, last) in other.all.iter().zip(&other.lasts) {
            let text = other.text(name);
            let number = self.number(&key_of(text, self.seed), text);
            self.lasts[number] = self.lasts[number].max(*last);
            let mine = &mut self.all[number];
            mine.total += name.total;
            mine.failed += name.failed;
            pool.absorb(&mut mine.times, its, name.times);
            pool.absorb(&mut mine.fails, its, name.fails);
        }
        for (mine, rank) in self.registers.iter_mut().zip(&other.registers) {
            *mine = (*mine).max(*rank);
        }
        self.lost += other.lost;
        self.lost_failed += other.lost_failed;
        if self.is_full() {
            self.prune(pool);
        }
    }

    /// Return the numbers of the `most` names that failed most and of those that were met most, and of all that are wanted.
    pub fn top(&self, most: usize) -> Vec<usize> {
        if self.all.len() <= most {
            return (0..self.all.len()).collect();
        }
        let mut chosen: Vec<usize> = (0..self.all.len()).filter(|number| self.all[*number].is_wanted).collect();
        let mut numbers: Vec<usize> = (0..self.all.len()).collect();
        let by_failed = |one: &usize, other: &usize| {
            let (one, other) = (&self.all[*one], &self.all[*other]);
            other.failed.cmp(&one.failed).then_with(|| self.text(one).cmp(self.text(other)))
        };
        numbers.select_nth_unstable_by(most, by_failed);
        chosen.extend_from_slice(&numbers[..most]);
        numbers.select_nth_unstable_by(most, |one, other| {
            let (one, other) = (&self.all[*one], &self.all[*other]);
            other.total.cmp(&one.total).then_with(|| self.text(one).cmp(self.text(other)))
        });
        chosen.extend_from_slice(&numbers[..most]);
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    pub fn clear(&mut self) {
        *self = Names::new(self.most, self.seed);
    }
}
