//! The time that was met last: most lines are of the same second as the one before.

use crate::find::{byte_at, same_and_digits};
use crate::line::{of, Span};
use crate::program::Clock;
use crate::values::part_of;

const LONGEST: usize = 32;
const ROUNDED: &[u8] = b"999999"; // what Python may round up to the next second

#[derive(Default)]
pub struct Stamp {
    text: [u8; LONGEST],
    length: usize,
    same: u32,   // its bytes (bits) that are the same in each time of that second
    digits: u32, // and those that may be any digit
    rounded: Option<usize>, // where a fraction stands that may be rounded up
    at: i64,
    which: usize, // the program that read it
}

impl Stamp {
    /// Return the second of a time, if it is the last one; PAD bytes follow the text.
    #[inline(always)]
    pub fn known(&self, text: &[u8], (begin, end): Span, which: usize) -> Option<i64> {
        let (begin, length) = (begin as usize, (end - begin) as usize);
        if length != self.length || length == 0 || which != self.which {
            return None;
        }
        let (same, digits) = same_and_digits(text, begin, &self.text);
        let is_round = || self.rounded.map_or(false, |at| (0..ROUNDED.len()).all(|place| byte_at(text, begin + at + place) == ROUNDED[place]));
        if same & self.same == self.same && digits & self.digits == self.digits && !is_round() { Some(self.at) } else { None }
    }

    /// Remember a time that a program read.
    pub fn keep(&mut self, clock: Clock, text: &[u8], span: Span, which: usize, at: i64) {
        let value = of(text, span);
        if value.len() > LONGEST {
            return;
        }
        let (begin, end) = part_of(clock, value);
        let dot = begin + (begin < end && value[begin] == b'.') as usize;
        let bits = |from: usize, until: usize| (from..until).fold(0u32, |found, place| found | 1 << place);
        self.text[..value.len()].copy_from_slice(value);
        self.digits = bits(dot, end);
        self.same = bits(0, value.len()) & !self.digits;
        self.rounded = if end - dot >= ROUNDED.len() { Some(dot) } else { None };
        (self.length, self.at, self.which) = (value.len(), at, which);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(text: &str) -> Vec<u8> {
        let mut found = text.as_bytes().to_vec();
        found.extend_from_slice(&[b'\n'; crate::find::PAD]);
        found
    }

    #[test]
    fn a_time_is_known_by_all_but_its_fraction() {
        let mut stamp = Stamp::default();
        let span = (0, 24);
        stamp.keep(Clock::Haproxy, &padded("04/Mar/2026:05:06:07.010"), span, 0, 7);
        assert_eq!(stamp.known(&padded("04/Mar/2026:05:06:07.999"), span, 0), Some(7));
        assert_eq!(stamp.known(&padded("04/Mar/2026:05:06:07.999"), span, 1), None);
        for other in ["04/Mar/2026:05:06:08.010", "04/Mar/2026:05:06:07,010", "04/Mar/2026:05:06:07.01x", "14/Mar/2026:05:06:07.010"] {
            assert_eq!(stamp.known(&padded(other), span, 0), None, "{other}");
        }
        assert_eq!(stamp.known(&padded("04/Mar/2026:05:06:07.01"), (0, 23), 0), None);
    }

    #[test]
    fn what_may_be_rounded_up_is_read() {
        let mut stamp = Stamp::default();
        let span = (0, 30);
        stamp.keep(Clock::Iso, &padded("2026-03-04T05:06:07.010000001Z"), span, 0, 7);
        assert_eq!(stamp.known(&padded("2026-03-04T05:06:07.999998999Z"), span, 0), Some(7));
        assert_eq!(stamp.known(&padded("2026-03-04T05:06:07.999999001Z"), span, 0), None);
        assert_eq!(stamp.known(&padded("2026-03-04T05:06:07.010000001+"), span, 0), None);
    }
}
