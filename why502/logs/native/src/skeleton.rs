//! The texts between the values of JSON lines, as they were in earlier lines: most logs write the same members in one order.
//!
//! They make a tree. From one value to the next leads an edge: the text between the two, what kind of value follows, and what it is
//! of. A line that can be followed to its end consists of the same members as an earlier one, so no name of it is looked up. Any
//! other line is walked through member by member (json.rs), and remembered.

use crate::find::{byte_at, find_in_line, is_at_padded, BLOCK};
use crate::json::{closing, scalar, skip};

/// The kind of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Text,
    Scalar,    // a number or a word
    Container, // an object or a list, of which the inside does not count
    End,       // no value: the line ends
}

/// A value of a line, where it stands (of a text, its inside), and the members of the program that it is (bits).
#[derive(Clone, Copy)]
pub struct Met {
    pub kind: Kind,
    pub begin: usize,
    pub end: usize,
    pub is: u64,
}

#[derive(Clone, Copy)]
struct Edge {
    literal: u32, // its first byte among the literals
    size: u32,
    kind: Kind,
    is: u64,
    next: u32,    // the first edge behind the value
    sibling: u32, // another edge from the same place
}

const NONE: u32 = u32::MAX;
const MOST_EDGES: usize = 4096;
const MOST_SIBLINGS: usize = 16;
const LONGEST_LITERAL: usize = 1024;
const MOST_CREDIT: u32 = 256;
const PRICE: u32 = 8; // of one line that is remembered, in lines that were followed

pub struct Skeleton {
    edges: Vec<Edge>,
    literals: Vec<u8>, // each is padded to blocks
    credit: u32,       // so that a log without regular lines costs little
    missed: u32,
}

impl Default for Skeleton {
    fn default() -> Skeleton {
        Skeleton { edges: Vec::new(), literals: Vec::new(), credit: MOST_CREDIT, missed: 0 }
    }
}

impl Skeleton {
    /// Call for each value that counts: the members that it is, where it stands, and its kind. Return whether the line was followed to its end.
    ///
    /// If it was not, what was called for does not count.
    #[inline(always)]
    pub fn follow(&mut self, text: &[u8], begin: usize, end: usize, mut take: impl FnMut(u64, (usize, usize), Kind)) -> bool {
        let mut at = begin;
        let mut number = self.first();
        loop {
            let edge = match self.edges.get(number as usize) {
                Some(edge) => edge,
                None => {
                    self.missed = self.missed.wrapping_add(1);
                    return false;
                }
            };
            let from = at + edge.size as usize;
            if from > end || !is_at_padded(text, at, &self.literals, edge.literal as usize, edge.size as usize) {
                number = edge.sibling;
                continue;
            }
            let until = match edge.kind {
                Kind::Text => {
                    let stop = find_in_line(text, from, b'"', b'\\');
                    if byte_at(text, stop) == b'"' { stop } else { closing(text, stop, end) }
                }
                Kind::Scalar => scalar(text, from).unwrap_or(end),
                Kind::Container => match text[from] {
                    b'{' | b'[' => skip(text, from, end, 0).unwrap_or(end),
                    _ => end,
                },
                Kind::End if from == end => {
                    self.credit = MOST_CREDIT.min(self.credit + 1);
                    return true;
                }
                Kind::End => end,
            };
            if until >= end {
                number = edge.sibling; // no line ends behind a value
                continue;
            }
            if edge.is != 0 {
                take(edge.is, (from, until), edge.kind);
            }
            at = until;
            number = edge.next;
        }
    }

    /// Return whether a line that could not be followed is to be remembered.
    pub fn is_learning(&self) -> bool {
        self.credit >= PRICE || self.missed % 64 == 0
    }

    /// Remember a line and its values, in their order.
    #[inline(never)]
    pub fn learn(&mut self, text: &[u8], begin: usize, end: usize, values: &[Met]) {
        self.credit = self.credit.saturating_sub(PRICE);
        if self.edges.len() + values.len() >= MOST_EDGES {
            self.edges.clear();
            self.literals.clear();
        }
        let (mut at, mut place) = (begin, NONE); // the edge that leads there
        let last = Met { kind: Kind::End, begin: end, end, is: 0 };
        for value in values.iter().chain(core::iter::once(&last)) {
            let literal = &text[at..value.begin];
            let mut number = if place != NONE { self.edges[place as usize].next } else { self.first() };
            let (mut before, mut siblings) = (NONE, 0);
            while number != NONE && !self.is(number, literal, value) {
                before = number;
                number = self.edges[number as usize].sibling;
                siblings += 1;
            }
            if number == NONE {
                if siblings == MOST_SIBLINGS || literal.len() > LONGEST_LITERAL {
                    return;
                }
                number = self.push(literal, value);
                if before != NONE {
                    self.edges[before as usize].sibling = number;
                } else if place != NONE {
                    self.edges[place as usize].next = number;
                }
            }
            place = number;
            at = value.end;
        }
    }

    fn first(&self) -> u32 {
        if self.edges.is_empty() { NONE } else { 0 }
    }

    fn is(&self, number: u32, literal: &[u8], value: &Met) -> bool {
        let edge = &self.edges[number as usize];
        let known = &self.literals[edge.literal as usize..(edge.literal + edge.size) as usize];
        edge.kind == value.kind && edge.is == value.is && known == literal
    }

    fn push(&mut self, literal: &[u8], value: &Met) -> u32 {
        let begin = self.literals.len();
        self.literals.extend_from_slice(literal);
        self.literals.resize(begin + (literal.len() + BLOCK - 1) / BLOCK * BLOCK, 0);
        self.edges.push(Edge { literal: begin as u32, size: literal.len() as u32, kind: value.kind, is: value.is, next: NONE, sibling: NONE });
        self.edges.len() as u32 - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Learn a line whose values these are, in their order; each is the member of its number.
    fn learn(skeleton: &mut Skeleton, line: &str, values: &[(&str, Kind)]) {
        let text = padded(line);
        let (mut met, mut at) = (Vec::new(), 0);
        for (number, (value, kind)) in values.iter().enumerate() {
            let begin = at + line[at..].find(value).unwrap();
            at = begin + value.len();
            met.push(Met { kind: *kind, begin, end: at, is: 1 << number });
        }
        skeleton.learn(&text, 0, line.len(), &met);
    }

    fn padded(line: &str) -> Vec<u8> {
        let mut text = line.as_bytes().to_vec();
        text.extend_from_slice(&[b'\n'; crate::find::PAD]);
        text
    }

    fn followed(skeleton: &mut Skeleton, line: &str) -> Option<Vec<(u64, String)>> {
        let mut found = Vec::new();
        let text = padded(line);
        let is_whole = skeleton.follow(&text, 0, line.len(), |is, place, _| found.push((is, line[place.0..place.1].to_string())));
        if is_whole { Some(found) } else { None }
    }

    #[test]
    fn a_line_of_known_members_is_followed() {
        let mut skeleton = Skeleton::default();
        assert_eq!(followed(&mut skeleton, "{}"), None);
        learn(&mut skeleton, r#"{"a":"x","b":17,"c":[1]}"#, &[("x", Kind::Text), ("17", Kind::Scalar), ("[1]", Kind::Container)]);
        let found = followed(&mut skeleton, r#"{"a":"","b":-2.5,"c":{"d":"}"}}"#);
        assert_eq!(found, Some(vec![(1, "".to_string()), (2, "-2.5".to_string()), (4, r#"{"d":"}"}"#.to_string())]));
        assert_eq!(followed(&mut skeleton, r#"{"a":"say \"y\"","b":null,"c":[]}"#).map(|found| found[0].1.clone()), Some(r#"say \"y\""#.to_string()));
    }

    #[test]
    fn any_other_line_is_not() {
        let mut skeleton = Skeleton::default();
        learn(&mut skeleton, r#"{"a":"x","b":17,"c":[1]}"#, &[("x", Kind::Text), ("17", Kind::Scalar), ("[1]", Kind::Container)]);
        for other in [
            r#"{"a":"x","b":17,"c":[1]} "#, r#"{"a":"x","b":17,"c":[1]"#, r#"{"a":"x","b":17}"#, r#"{"a":"x","b":017,"c":[1]}"#, r#"{"a":"x","b":1e5,"c":[1]}"#,
            r#"{"a":"x","b":,"c":[1]}"#, r#"{"a":"x","b":"17","c":[1]}"#, r#"{"a":"\x","b":17,"c":[1]}"#, r#"{"a":"x","b":17,"c":1}"#, r#"{"a":"x","b":17,"c":[1}"#,
            r#"{"a":"x","d":17,"c":[1]}"#, r#"{"a":"x, "b":17}"#, "", "{", r#"{"a":""#,
        ] {
            assert_eq!(followed(&mut skeleton, other), None, "{other}");
        }
    }

    #[test]
    fn lines_part_where_they_differ() {
        let mut skeleton = Skeleton::default();
        learn(&mut skeleton, r#"{"a":"x"}"#, &[("x", Kind::Text)]);
        learn(&mut skeleton, r#"{"a":"x","b":1}"#, &[("x", Kind::Text), ("1", Kind::Scalar)]);
        learn(&mut skeleton, r#"{"a":"x","b":"y"}"#, &[("x", Kind::Text), ("y", Kind::Text)]);
        for (line, last) in [(r#"{"a":"1"}"#, "1"), (r#"{"a":"1","b":2}"#, "2"), (r#"{"a":"1","b":"3"}"#, "3")] {
            assert_eq!(followed(&mut skeleton, line).unwrap().last().unwrap().1, last);
        }
        assert_eq!(followed(&mut skeleton, r#"{"a":"1","b":[]}"#), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut skeleton = Skeleton::default();
        for number in 0..20_000 {
            let line = format!(r#"{{"a{}":"x","b{number}":1}}"#, number % 7);
            learn(&mut skeleton, &line, &[("x", Kind::Text), ("1}", Kind::Scalar)]);
        }
        assert!(skeleton.edges.len() <= MOST_EDGES && skeleton.literals.len() <= MOST_EDGES * (LONGEST_LITERAL + BLOCK));
        assert!(skeleton.credit < PRICE);
    }
}
