//! The members of JSON objects.

use crate::find::{byte_at, digits_at, find_either, holds, is_same, is_without_controls};
use crate::line::{Span, Spans};
use crate::program::{Program, FOREIGN, ROLES, URI};
use crate::skeleton::{Kind, Met, Skeleton};

const MOST_STEPS: usize = 256;
const DEEPEST: usize = 32;

/// Append a JSON string without its escapes.
pub fn unescape(text: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let mut at = 0;
    while at < text.len() {
        let plain = text[at..].iter().position(|byte| *byte == b'\\').unwrap_or(text.len() - at);
        to.extend_from_slice(&text[at..at + plain]);
        at += plain;
        if at == text.len() {
            break;
        }
        to.push(match text.get(at + 1)? {
            b'"' => b'"',
            b'\\' => b'\\',
            b'/' => b'/',
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'u' => {
                let code = core::str::from_utf8(text.get(at + 2..at + 6)?).ok()?;
                let code = u32::from_str_radix(code, 16).ok().filter(|code| (32..128).contains(code))?;
                at += 4;
                code as u8
            }
            _ => return None,
        });
        at += 2;
    }
    Some(())
}

/// Return where the closing quote of a string is whose first byte is at `at`; the end of the line if there is none.
#[inline(always)]
pub fn closing(text: &[u8], mut at: usize, end: usize) -> usize {
    loop {
        at = find_either(text, at, b'"', b'\\');
        if at >= end || text[at] == b'"' {
            return at;
        }
        at += match text[at + 1] {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' if text[at + 2..at + 6].iter().all(u8::is_ascii_hexdigit) => 6,
            _ => return end, // no JSON
        };
    }
}

/// Return where the string of a top-level member stands.
pub fn member(text: &[u8], begin: usize, end: usize, key: &[u8]) -> Option<Span2> {
    let mut found = None;
    object(text, begin, end, &mut |name, value, is_text| {
        if name == key {
            found = if is_text { Some(value) } else { None };
        }
        false
    })?;
    found
}

type Span2 = (usize, usize);

#[inline(always)]
fn blank(text: &[u8], mut at: usize) -> usize {
    while matches!(text[at], b' ' | b'\t' | b'\r') {
        at += 1;
    }
    at
}

/// Call for each member of an object: its name, where its value stands, whether that is a string. Return where the object ends.
///
/// The call returns whether to skip the value itself, which it has read. None: it is no whole object.
#[inline(always)]
fn object(text: &[u8], begin: usize, end: usize, each: &mut dyn FnMut(&[u8], Span2, bool) -> bool) -> Option<usize> {
    if text[begin] != b'{' {
        return None;
    }
    let mut at = blank(text, begin + 1);
    if text[at] == b'}' {
        return Some(at + 1);
    }
    loop {
        if at >= end || text[at] != b'"' {
            return None;
        }
        let name_end = closing(text, at + 1, end);
        if name_end >= end {
            return None;
        }
        let name = (at + 1, name_end);
        at = blank(text, name_end + 1);
        if text[at] != b':' {
            return None;
        }
        at = blank(text, at + 1);
        let (value, after, is_text) = value(text, at, end)?;
        each(&text[name.0..name.1], value, is_text);
        at = blank(text, after);
        match text[at] {
            b',' => at = blank(text, at + 1),
            b'}' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// Return where a value stands (of a string its inside), what follows it, and whether it is a string.
#[inline(always)]
fn value(text: &[u8], at: usize, end: usize) -> Option<(Span2, usize, bool)> {
    match text[at] {
        b'"' => {
            let stop = closing(text, at + 1, end);
            if stop >= end { None } else { Some(((at + 1, stop), stop + 1, true)) }
        }
        b'{' | b'[' => {
            let stop = skip(text, at, end, 0)?;
            Some(((at, stop), stop, false))
        }
        _ => {
            let stop = scalar(text, at)?;
            Some(((at, stop), stop, false))
        }
    }
}

/// Return where a number or a word of JSON ends.
#[inline(always)]
pub fn scalar(text: &[u8], at: usize) -> Option<usize> {
    let plain = digits_at(text, at);
    if plain != 0 && plain < 16 && !matches!(byte_at(text, at + plain), b'.' | b'e' | b'E') && (plain == 1 || text[at] != b'0') {
        return Some(at + plain);
    }
    let digits = |from: usize| {
        let mut stop = from;
        while text[stop].wrapping_sub(b'0') <= 9 {
            stop += 1;
        }
        if stop == from { None } else { Some(stop) }
    };
    match text[at] {
        b'n' if text[at..].starts_with(b"null") => return Some(at + 4),
        b't' if text[at..].starts_with(b"true") => return Some(at + 4),
        b'f' if text[at..].starts_with(b"false") => return Some(at + 5),
        _ => {}
    }
    let from = at + (text[at] == b'-') as usize;
    let mut stop = digits(from)?;
    if text[from] == b'0' && stop > from + 1 {
        return None;
    }
    if text[stop] == b'.' {
        stop = digits(stop + 1)?;
    }
    if matches!(text[stop], b'e' | b'E') {
        return None; // Python reads it
    }
    Some(stop)
}

/// Return where an object or a list ends, of whatever is in it.
pub fn skip(text: &[u8], begin: usize, end: usize, depth: usize) -> Option<usize> {
    let is_object = text[begin] == b'{';
    let closes = if is_object { b'}' } else { b']' };
    let mut at = blank(text, begin + 1);
    if depth > DEEPEST || at >= end {
        return None;
    }
    if text[at] == closes {
        return Some(at + 1);
    }
    loop {
        if is_object {
            if text[at] != b'"' {
                return None;
            }
            at = blank(text, closing(text, at + 1, end) + 1);
            if at >= end || text[at] != b':' {
                return None;
            }
            at = blank(text, at + 1);
        }
        at = match text[at] {
            b'"' => closing(text, at + 1, end) + 1,
            b'{' | b'[' => skip(text, at, end, depth + 1)?,
            _ => scalar(text, at)?,
        };
        at = blank(text, at);
        if at >= end {
            return None;
        }
        match text[at] {
            b',' => at = blank(text, at + 1),
            byte if byte == closes => return Some(at + 1),
            _ => return None,
        }
    }
}

/// The name of a member that stood at a place in the lines before, and what it is of: most logs write all members in one order.
pub struct Step {
    literal: Vec<u8>, // with quotes and colon
    depth: usize,
    chosen: u64,
    action: Action,
}

/// The members of the program (bits) that one of a line is, and those that are in it.
#[derive(Clone, Copy)]
struct Action {
    is: u64,
    deeper: u64,
}

/// What is kept of the lines before.
#[derive(Default)]
pub struct Memory {
    steps: Vec<Step>,
    skeleton: Skeleton,
    met: Vec<Met>, // in the line that is walked through
}

/// Where the values of a line go.
struct Taking<'a> {
    text: &'a [u8],
    program: &'a Program,
    spans: &'a mut Spans,
    fits: bool,
    may_be_escaped: bool,
}

/// Walks through one line.
struct Walk<'a> {
    end: usize,
    steps: &'a mut Vec<Step>,
    step: usize,
    met: Option<&'a mut Vec<Met>>,
    taking: Taking<'a>,
}

/// What is known of a line before it is read.
#[derive(Clone, Copy)]
pub struct Notes {
    pub may_be_escaped: bool, // it may hold a backslash
    pub may_be_odd: bool,     // a control character, or one that is not ASCII
}

/// Fill the values of a line that is a JSON object. Return whether it fits.
#[inline(always)]
pub fn read_members(text: &[u8], begin: usize, end: usize, program: &Program, memory: &mut Memory, notes: Notes, spans: &mut Spans) -> bool {
    let mut taking = Taking { text, program, spans, fits: true, may_be_escaped: notes.may_be_escaped };
    let is_followed = memory.skeleton.follow(text, begin, end, |is, place, kind| taking.take(is, place, kind == Kind::Text));
    let fits = taking.fits;
    if !(if is_followed { fits } else { walk(text, begin, end, program, memory, notes, spans) }) {
        return false;
    }
    if program.is_whole && program.members.iter().any(|member| spans[member.role] == (0, 0)) {
        return false;
    }
    if !notes.may_be_odd {
        return true;
    }
    let line = &text[begin..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    is_without_controls(line) && core::str::from_utf8(line).is_ok()
}

/// The same, member by member.
#[inline(never)]
fn walk(text: &[u8], begin: usize, end: usize, program: &Program, memory: &mut Memory, notes: Notes, spans: &mut Spans) -> bool {
    *spans = [(0, 0); ROLES];
    memory.met.clear();
    let taking = Taking { text, program, spans, fits: true, may_be_escaped: notes.may_be_escaped };
    let met = if memory.skeleton.is_learning() { Some(&mut memory.met) } else { None };
    let mut walk = Walk { end, steps: &mut memory.steps, step: 0, met, taking };
    let stop = walk.object(begin, 0, !0);
    let (is_learned, fits) = (walk.met.is_some(), walk.taking.fits);
    if !stop.map_or(false, |stop| blank(text, stop) == end) {
        return false;
    }
    if is_learned {
        memory.skeleton.learn(text, begin, end, &memory.met);
    }
    fits
}

impl Walk<'_> {
    /// Take the values of an object; return where it ends. `chosen` are the members of the program that may be in it.
    fn object(&mut self, begin: usize, depth: usize, chosen: u64) -> Option<usize> {
        let (text, end) = (self.taking.text, self.end);
        if text[begin] != b'{' {
            return None;
        }
        let mut at = blank(text, begin + 1);
        if text[at] == b'}' {
            return Some(at + 1);
        }
        loop {
            if at >= end || text[at] != b'"' {
                return None;
            }
            let (action, from) = self.name(at, depth, chosen)?;
            let start = blank(text, from);
            let (place, after, is_text) = if action.deeper != 0 && text[start] == b'{' {
                if action.is != 0 {
                    self.met = None; // an object that counts, and so do values in it
                }
                let stop = self.object(start, depth + 1, action.deeper)?;
                ((start, stop), stop, false)
            } else {
                let found = value(text, start, end)?;
                let kind = match text[start] {
                    b'"' => Kind::Text,
                    b'{' | b'[' => Kind::Container,
                    _ => Kind::Scalar,
                };
                if let Some(met) = &mut self.met {
                    met.push(Met { kind, begin: found.0.0, end: found.0.1, is: action.is });
                }
                found
            };
            if action.is != 0 {
                self.taking.take(action.is, place, is_text);
            }
            at = blank(text, after);
            match text[at] {
                b',' => at = blank(text, at + 1),
                b'}' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// Return what the member is whose name begins at a place, and where its colon ends.
    #[inline(always)]
    fn name(&mut self, at: usize, depth: usize, chosen: u64) -> Option<(Action, usize)> {
        let step = self.step;
        self.step += 1;
        if let Some(known) = self.steps.get(step) {
            let stop = at + known.literal.len();
            if known.depth == depth && known.chosen == chosen && stop < self.end && is_same(&self.taking.text[at..stop], &known.literal) {
                return Some((known.action, stop));
            }
        }
        self.unknown_name(step, at, depth, chosen)
    }

    #[inline(never)]
    fn unknown_name(&mut self, step: usize, at: usize, depth: usize, chosen: u64) -> Option<(Action, usize)> {
        let stop = closing(self.taking.text, at + 1, self.end);
        if stop >= self.end {
            return None;
        }
        let name = &self.taking.text[at + 1..stop];
        let colon = blank(self.taking.text, stop + 1);
        if self.taking.text[colon] != b':' {
            return None;
        }
        let mut action = Action { is: 0, deeper: 0 };
        for (number, member) in self.taking.program.members.iter().enumerate() {
            if (depth > 0 && chosen >> number & 1 == 0) || member.path.len() <= depth || member.path[depth] != name {
                continue;
            }
            *(if member.path.len() > depth + 1 { &mut action.deeper } else { &mut action.is }) |= 1 << number;
        }
        if step <= self.steps.len() && step < MOST_STEPS {
            let found = Step { literal: self.taking.text[at..=colon].to_vec(), depth, chosen, action };
            match self.steps.get_mut(step) {
                Some(known) => *known = found,
                None => self.steps.push(found),
            }
        }
        Some((action, colon + 1))
    }
}

impl Taking<'_> {
    /// Take a value of these members of the program.
    #[inline(always)]
    fn take(&mut self, mut members: u64, place: Span2, is_text: bool) {
        let text = self.text;
        while members != 0 {
            let role = self.program.members[members.trailing_zeros() as usize].role;
            members &= members - 1;
            if role == FOREIGN {
                self.fits &= matches!(&text[place.0..place.1], b"" | b"-" | b"null");
                continue;
            }
            if self.program.objects >> role & 1 == 1 {
                self.fits &= self.spans[role] == (0, 0);
                self.spans[role] = (place.0 as u32, place.1 as u32);
                continue;
            }
            if !is_text && (text[place.0] == b'{' || text[place.0] == b'[') {
                self.fits = false;
                continue;
            }
            let mut place = place;
            if self.may_be_escaped {
                if role == URI && holds(&text[place.0..place.1], b'\\') {
                    // what is escaped (Go writes `&` so) is mostly in the query, which is no part of the route
                    place.1 = place.0 + text[place.0..place.1].iter().position(|byte| matches!(byte, b'?' | b'\\')).unwrap_or(0);
                    self.fits &= text[place.1] == b'?';
                }
                self.fits &= !holds(&text[place.0..place.1], b'\\');
            }
            self.fits &= self.spans[role] == (0, 0); // told once
            if is_text || &text[place.0..place.1] != b"null" {
                self.spans[role] = (place.0 as u32, place.1 as u32);
            }
        }
    }
}

/// Append the names of an object's members, in their order. None: it is no object.
pub fn names_of(text: &[u8], span: Span, to: &mut Vec<u8>) -> Option<()> {
    object(text, span.0 as usize, span.1 as usize, &mut |name, _, _| {
        to.extend_from_slice(name);
        to.push(b',');
        false
    })?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str) -> Option<usize> {
        let mut padded = text.as_bytes().to_vec();
        padded.extend_from_slice(&[b'\n'; crate::find::PAD]);
        value(&padded, 0, text.len()).map(|(_, after, _)| after)
    }

    #[test]
    fn values_end_as_json_says() {
        for whole in ["{\"a\":[1,{\"b\":\"}\"}],\"c\":null}", "\"a\\\"b\\u0041\"", "-1.5", "0", "true", "[]", "{ \"a\" : 1 }"] {
            assert_eq!(ends(&format!("{whole},")), Some(whole.len()), "{whole}");
        }
    }

    #[test]
    fn what_is_no_json_is_left() {
        for odd in ["{\"a\" 1}", "{\"a\":1]", "01", "-", "1e5", "nul", "\"a\\x41\"", "[1,]", "\"open", "{\"a\":}"] {
            assert!(ends(&format!("{odd},")).map_or(true, |end| end != odd.len()), "{odd}");
        }
    }
}

