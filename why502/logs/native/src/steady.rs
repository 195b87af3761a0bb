//! What lines with the same words have in common: the shape, the attempt and the server that they count for.
//!
//! Most lines of a log repeat the words of an earlier one: its status, its target, its server, the reasons that it gives. A line is
//! read in full where its words are met the first time; later ones are known by a mark of these words and of the answers to the
//! questions about its numbers. Like a name's hash, the mark is made with a seed that those who write logs do not know.

use crate::find::word_at;
use crate::line::{Span, Spans};
use crate::program::{Program, Question, ADDRESS, ANSWER, GROUP, ROLES, SERVER};

const PLACES: usize = 1 << 12;
pub const NO_NUMBER: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mark(u64);

#[derive(Clone, Copy)]
pub struct Known {
    pub mark: Mark,
    pub shape: u32, // its number
    pub attempt: u32, // its number among the attempts; NO_NUMBER: there is none
    pub server: u32,
    pub has_failed: bool, // the attempt
    pub is_of_group: bool,
}

pub struct Steady {
    places: Vec<Known>,
}

const NOTHING: Known = Known { mark: Mark(0), shape: 0, attempt: NO_NUMBER, server: NO_NUMBER, has_failed: false, is_of_group: false };

impl Default for Steady {
    fn default() -> Steady {
        Steady { places: vec![NOTHING; PLACES] }
    }
}

impl Steady {
    #[inline(always)]
    pub fn known(&self, mark: Mark) -> Option<Known> {
        let found = self.places[mark.0 as usize % PLACES];
        if found.mark == mark { Some(found) } else { None }
    }

    pub fn keep(&mut self, known: Known) {
        self.places[known.mark.0 as usize % PLACES] = known;
    }

    /// Forget everything: numbers have changed.
    #[inline(never)]
    pub fn clear(&mut self) {
        self.places.fill(NOTHING);
    }
}

/// Makes a mark.
#[derive(Clone, Copy)]
pub struct Marking {
    found: u64,
    secret: u64,
}

#[inline(always)]
fn folded(one: u64, other: u64) -> u64 {
    let product = (one as u128) * (other as u128);
    product as u64 ^ (product >> 64) as u64
}

impl Marking {
    #[inline(always)]
    pub fn new(seed: u64, first: u64) -> Marking {
        let mut found = Marking { found: seed ^ 0xa076_1d64_78bd_642f, secret: seed.rotate_left(32) ^ 0xc2b2_ae3d_27d4_eb4f };
        found.add(first);
        found
    }

    #[inline(always)]
    pub fn add(&mut self, value: u64) {
        self.found = folded(self.found ^ value, self.secret);
    }

    /// Add a word of a text that PAD bytes follow.
    #[inline(always)]
    pub fn add_word(&mut self, text: &[u8], (begin, end): Span) {
        let (mut at, end) = (begin as usize, end as usize);
        let length = end - at;
        let first = word_at(text, at) & if length < 8 { (1u64 << (8 * length)) - 1 } else { !0 };
        self.found = folded(self.found ^ first, self.secret ^ length as u64);
        if length > 8 {
            while at + 16 < end {
                at += 8;
                self.add(word_at(text, at));
            }
            self.add(word_at(text, end - 8)); // the last eight bytes overlap those before
        }
    }

    #[inline(always)]
    pub fn mark(self) -> Mark {
        Mark(self.found | 1) // no mark is that of nothing
    }
}

/// What a mark is made of, for one program.
#[derive(Default)]
pub struct Words {
    pub always: Vec<usize>, // roles whose texts decide
    pub of_failures: Vec<usize>,
    pub codes: Vec<usize>, // questions, by their numbers, whose answers are short
    pub codes_of_failures: Vec<usize>,
}

impl Words {
    pub fn of(program: &Program) -> Words {
        let mut found = Words { always: vec![SERVER, ADDRESS, ANSWER, GROUP], ..Words::default() };
        for (number, question) in program.questions.iter().enumerate() {
            match roles_of(question) {
                Some(roles) => found.always.extend(roles),
                None => found.codes.push(number),
            }
        }
        for (number, question) in program.questions_of_failures.iter().enumerate() {
            match roles_of(question) {
                Some(roles) => found.of_failures.extend(roles),
                None => found.codes_of_failures.push(number),
            }
        }
        for roles in [&mut found.always, &mut found.of_failures] {
            roles.retain(|role| program.may_hold(*role));
            roles.sort_unstable();
            roles.dedup();
        }
        found
    }

    /// Return whether a role is part of each mark.
    pub fn has(&self, role: usize) -> bool {
        self.always.contains(&role)
    }

    /// Add the words of a line.
    #[inline(always)]
    pub fn add(&self, text: &[u8], spans: &Spans, is_failure: bool, to: &mut Marking) {
        for role in &self.always {
            to.add_word(text, spans[*role % ROLES]);
        }
        if is_failure {
            for role in &self.of_failures {
                to.add_word(text, spans[*role % ROLES]);
            }
        }
    }
}

/// Return the roles whose texts decide the answer; None where the answer itself is short.
fn roles_of(question: &Question) -> Option<Vec<usize>> {
    match question {
        Question::Text(role) | Question::Names(role) | Question::Word(role) | Question::Origin(role) => Some(vec![*role]),
        Question::Template(role, _) | Question::Sentence(role, _) => Some(vec![*role]),
        Question::Same(one, other) | Question::Within(one, other) => Some(vec![*one, *other]),
        Question::Sign(_) | Question::Has(_) | Question::Bands(..) | Question::Round(..) | Question::OneOf(..) | Question::Begins(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::PAD;

    fn mark_of(word: &str) -> Mark {
        let mut text = word.as_bytes().to_vec();
        text.extend_from_slice(&[b'\n'; PAD]);
        let mut found = Marking::new(7, 200);
        found.add_word(&text, (0, word.len() as u32));
        found.mark()
    }

    #[test]
    fn words_have_marks_of_their_own() {
        let words: Vec<String> = (0..60).flat_map(|size| ["a", "b"].map(|last| "a".repeat(size) + last)).collect();
        for (number, one) in words.iter().enumerate() {
            for (place, other) in words.iter().enumerate() {
                assert_eq!(mark_of(one) == mark_of(other), number == place || one == other, "{one} {other}");
            }
        }
    }

    #[test]
    fn what_is_kept_is_found_until_it_is_forgotten() {
        let mut steady = Steady::default();
        steady.keep(Known { mark: mark_of("a"), shape: 5, attempt: 3, server: NO_NUMBER, has_failed: false, is_of_group: false });
        assert_eq!(steady.known(mark_of("a")).map(|known| (known.shape, known.attempt, known.server)), Some((5, 3, NO_NUMBER)));
        assert!(steady.known(mark_of("b")).is_none());
        steady.clear();
        assert!(steady.known(mark_of("a")).is_none());
    }
}
