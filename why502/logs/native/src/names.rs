//! Names (routes, clients, servers, addresses) with how often each was met and how often it failed.
//!
//! Beyond `most` names a quarter of them stays that was met most often, and one that failed most often. The counts of the others go to
//! one name for the rest, and `lost` is the most that the count of one that is still there may lack. How many different names were met is estimated (HyperLogLog).

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

fn by_failures(name: &Name) -> u64 {
    (name.failed as u64) << 32 | name.total.min(u32::MAX as u64)
}

/// Which ranks are kept: the highest, and of equal ones the latest.
struct Cut {
    least: u64,
    leaves: usize, // of those with the least rank
}

impl Cut {
    /// Keep so many of these ranks, of which there are more.
    fn new(ranks: &mut [u64], kept: usize) -> Cut {
        let gone = ranks.len() - kept.max(1);
        let least = *ranks.select_nth_unstable(gone).1;
        Cut { least, leaves: gone - ranks[..gone].iter().filter(|rank| **rank < least).count() }
    }

    /// Return whether the next one is kept.
    #[inline(always)]
    fn keeps(&mut self, rank: u64) -> bool {
        if rank == self.least && self.leaves > 0 {
            self.leaves -= 1;
            return false;
        }
        rank >= self.least
    }
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

    /// Give up all but a quarter of `most` that was met most often and one that failed most often.
    #[inline(never)]
    pub fn prune(&mut self, pool: &mut Pool) {
        let most = self.most / 4;
        let mut ranks: Vec<u64> = self.all.iter().map(|name| name.total).collect();
        let mut often = Cut::new(&mut ranks, most);
        ranks.clear();
        ranks.extend(self.all.iter().map(by_failures));
        let mut failing = Cut::new(&mut ranks, most);
        let mut rest = Name { key: key_of(REST, self.seed), begin: 0, length: 0, total: 0, failed: 0, times: Map::default(), fails: Map::default(), is_wanted: false };
        let (mut lost, mut lost_failed) = (0, 0);
        let (mut kept, mut end) = (0, 0);
        for number in 0..self.all.len() {
            let mut name = self.all[number];
            let is_kept = often.keeps(name.total) | failing.keeps(by_failures(&name)); // both count what they let go
            if is_kept || name.key.is(&rest.key) {
                let begin = name.begin as usize;
                self.arena.copy_within(begin..begin + name.length as usize, end);
                name.begin = end as u32;
                end += name.length as usize;
                self.all[kept] = name;
                self.lasts[kept] = self.lasts[number];
                kept += 1;
                continue;
            }
            rest.total += name.total;
            rest.failed += name.failed;
            lost = lost.max(name.total);
            lost_failed = lost_failed.max(name.failed as u64);
            pool.fold(&mut rest.times, name.times);
            pool.fold(&mut rest.fails, name.fails);
        }
        self.lost += lost;
        self.lost_failed += lost_failed;
        self.all.truncate(kept);
        self.lasts.truncate(kept);
        self.arena.truncate(end);
        self.slots.fill(0);
        for number in 0..kept {
            self.place((self.all[number].key.hash >> 32) as u32, number);
        }
        let at = self.number(&rest.key, REST);
        let mut all = self.all[at];
        all.total += rest.total;
        all.failed += rest.failed;
        pool.fold(&mut all.times, rest.times);
        pool.fold(&mut all.fails, rest.fails);
        self.all[at] = all;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Count one of a name, and one of its times.
    fn count(names: &mut Names, pool: &mut Pool, text: &str, failed: bool) {
        let key = names.key(text.as_bytes()).with(7);
        let number = names.number(&key, text.as_bytes());
        let name = &mut names.all[number];
        name.total += 1;
        name.failed += failed as u32;
        pool.add(&mut name.times, 3, 1);
        if names.is_full() {
            names.prune(pool);
        }
    }

    #[test]
    fn what_is_given_up_goes_to_the_rest_and_counts_lack_no_more_than_is_told() {
        let (mut names, mut pool) = (Names::new(64, 5), Pool::default());
        let mut known = std::collections::HashMap::new();
        for round in 0..4000u32 {
            let rare = format!("/seldom/{}", round.wrapping_mul(2_654_435_761) % 500);
            for (text, failed) in [("/often".to_string(), false), (rare, round % 97 == 0)] {
                let counted: &mut (u64, u64) = known.entry(text.clone()).or_default();
                counted.0 += 1;
                counted.1 += failed as u64;
                count(&mut names, &mut pool, &text, failed);
            }
        }
        assert!(names.all.len() <= 65 && names.lost > 0);
        assert_eq!(names.all.iter().map(|name| name.total).sum::<u64>(), 8000);
        assert_eq!(names.all.iter().map(|name| name.failed).sum::<u32>(), 42);
        let mut told = 0;
        for name in &names.all {
            let times: u64 = pool.items(name.times).map(|(_, many)| many).sum();
            assert_eq!(times, name.total);
            let text = std::str::from_utf8(names.text(name)).unwrap();
            if let Some((total, failed)) = known.get(text) {
                assert!(name.total <= *total && total - name.total <= names.lost, "{text}");
                assert!(failed - name.failed as u64 <= names.lost_failed, "{text}");
                told += 1;
            }
        }
        assert_eq!(told + 1, names.all.len());
        let often = names.key(b"/often").with(7);
        assert_eq!(names.all[names.known(&often, 6).unwrap()].total, 4000);
    }

    #[test]
    fn the_oldest_of_equal_names_go() {
        let (mut names, mut pool) = (Names::new(4, 5), Pool::default());
        for text in ["a", "b", "c", "d", "e"] {
            count(&mut names, &mut pool, text, text == "b");
        }
        let told: Vec<&[u8]> = names.all.iter().map(|name| names.text(name)).collect();
        assert_eq!(told, [&b"b"[..], b"e", REST]);
    }
}
