//! From a line to its values: wrappers are taken off, then fields are parted or the members of an object found.

use crate::find::{are_digits, byte_at, find, find_either, find_in_line, holds, is_at, is_printable, is_same, is_word, word_at};
use crate::program::{Field, Kind, Program, Wrapper, FOREIGN, ROLES, URI};

/// Where a value stands in its text; nothing where begin and end are zero.
pub type Span = (u32, u32);
pub type Spans = [Span; ROLES];

pub fn of(text: &[u8], span: Span) -> &[u8] {
    &text[span.0 as usize..span.1 as usize]
}

const MOST_STEPS: usize = 256;
const DEEPEST: usize = 32;

/// A text that a wrapper had escaped goes into `room`, which ends with a line feed and PAD bytes after each.
pub enum Unwrapped {
    Here(usize, usize), // in the same text
    Room(usize, usize), // in the room
}

/// Take the wrappers off; `stamp` is where their time stands. None: it is not wrapped so.
#[inline(always)]
pub fn unwrap(text: &[u8], begin: usize, end: usize, program: &Program, room: &mut Vec<u8>, stamp: &mut Span) -> Option<Unwrapped> {
    let mut at = begin;
    *stamp = (0, 0);
    for wrapper in &program.wrappers {
        match wrapper {
            Wrapper::Token => {
                let from = at;
                at = find(text, at, b' ');
                if *stamp == (0, 0) {
                    *stamp = (from as u32, at as u32);
                }
                while at < end && text[at] == b' ' {
                    at += 1;
                }
            }
            Wrapper::Fixed(size) => {
                if *stamp == (0, 0) && at + size <= end {
                    *stamp = (at as u32, (at + size - 1) as u32);
                }
                at += size;
            }
            Wrapper::Literal(literal) => {
                if !text[at..end].starts_with(literal) {
                    return None;
                }
                at += literal.len();
            }
            Wrapper::Name => {
                let size = text[at..end].iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')).count();
                if size == 0 || size > 120 || !text[at].is_ascii_alphabetic() {
                    return None;
                }
                at += size;
                while text[at] == b' ' {
                    at += 1;
                }
            }
            Wrapper::Until(literal) => loop {
                at = find(text, at, literal[0]);
                if at >= end {
                    return None;
                }
                if text[at..end].starts_with(literal) {
                    at += literal.len();
                    break;
                }
                at += 1;
            },
            Wrapper::Priority => {
                if text[at] == b'<' {
                    at = find(text, at, b'>') + 1;
                }
            }
            Wrapper::Tag => {
                let mut words = 0;
                loop {
                    at = find(text, at, b' ');
                    words += 1;
                    if at >= end || words > 4 {
                        return None;
                    }
                    at += 1;
                    if text[at - 2] == b':' {
                        break;
                    }
                }
            }
            Wrapper::Json(key, is_line) => {
                let (from, until) = member(text, at, end, key)?;
                let start = room.len();
                unescape(&text[from..until], room)?;
                if *is_line && room.last() != Some(&b'\n') {
                    return None;
                }
                while room.len() > start && room[room.len() - 1] == b'\n' {
                    room.pop();
                }
                let stop = room.len();
                if holds(&room[start..stop], b'\n') {
                    return None;
                }
                room.extend_from_slice(&[b'\n'; crate::find::PAD + 1]);
                return Some(Unwrapped::Room(start, stop));
            }
        }
        if at >= end {
            return None;
        }
    }
    Some(Unwrapped::Here(at, end))
}

/// Append a JSON string without its escapes.
fn unescape(text: &[u8], to: &mut Vec<u8>) -> Option<()> {
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
fn closing(text: &[u8], mut at: usize, end: usize) -> usize {
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
fn member(text: &[u8], begin: usize, end: usize, key: &[u8]) -> Option<Span2> {
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
    while text[at] == b' ' || text[at] == b'\t' || text[at] == b'\r' {
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
fn scalar(text: &[u8], at: usize) -> Option<usize> {
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
fn skip(text: &[u8], begin: usize, end: usize, depth: usize) -> Option<usize> {
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

/// Walks through one line.
struct Walk<'a> {
    text: &'a [u8],
    end: usize,
    program: &'a Program,
    spans: &'a mut Spans,
    steps: &'a mut Vec<Step>,
    step: usize,
    fits: bool,
    may_be_escaped: bool,
}

/// Fill the values of a line that is a JSON object. Return whether it fits.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn read_members(text: &[u8], begin: usize, end: usize, program: &Program, steps: &mut Vec<Step>, may_be_escaped: bool, spans: &mut Spans) -> bool {
    let mut walk = Walk { text, end, program, spans, steps, step: 0, fits: true, may_be_escaped };
    let stop = walk.object(begin, 0, !0);
    if !walk.fits || !stop.map_or(false, |stop| blank(text, stop) == end) {
        return false;
    }
    if program.is_whole && program.members.iter().any(|member| spans[member.role] == (0, 0)) {
        return false;
    }
    let line = &text[begin..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    is_printable(line) || (!line.iter().any(|byte| *byte < b' ') && core::str::from_utf8(line).is_ok())
}

impl Walk<'_> {
    /// Take the values of an object; return where it ends. `chosen` are the members of the program that may be in it.
    fn object(&mut self, begin: usize, depth: usize, chosen: u64) -> Option<usize> {
        let (text, end) = (self.text, self.end);
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
                let stop = self.object(start, depth + 1, action.deeper)?;
                ((start, stop), stop, false)
            } else {
                value(text, start, end)?
            };
            if action.is != 0 {
                self.take(action.is, place, is_text);
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
            if known.depth == depth && known.chosen == chosen && stop < self.end && is_same(&self.text[at..stop], &known.literal) {
                return Some((known.action, stop));
            }
        }
        self.unknown_name(step, at, depth, chosen)
    }

    #[inline(never)]
    fn unknown_name(&mut self, step: usize, at: usize, depth: usize, chosen: u64) -> Option<(Action, usize)> {
        let stop = closing(self.text, at + 1, self.end);
        if stop >= self.end {
            return None;
        }
        let name = &self.text[at + 1..stop];
        let colon = blank(self.text, stop + 1);
        if self.text[colon] != b':' {
            return None;
        }
        let mut action = Action { is: 0, deeper: 0 };
        for (number, member) in self.program.members.iter().enumerate() {
            if (depth > 0 && chosen >> number & 1 == 0) || member.path.len() <= depth || member.path[depth] != name {
                continue;
            }
            *(if member.path.len() > depth + 1 { &mut action.deeper } else { &mut action.is }) |= 1 << number;
        }
        if step <= self.steps.len() && step < MOST_STEPS {
            let found = Step { literal: self.text[at..=colon].to_vec(), depth, chosen, action };
            match self.steps.get_mut(step) {
                Some(known) => *known = found,
                None => self.steps.push(found),
            }
        }
        Some((action, colon + 1))
    }

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

/// Fill the values behind a message, which is the value of the last field. None: they are not as they should be.
fn read_tails(text: &[u8], role: usize, program: &Program, spans: &mut Spans) -> Option<()> {
    let (from, end) = (spans[role].0 as usize, spans[role].1 as usize);
    let first = &program.tails[0].begin;
    let mut at = from;
    loop {
        at = find(text, at, first[0]);
        if at >= end {
            return Some(()); // a message alone
        }
        if text[at..end].starts_with(first) {
            break;
        }
        at += 1;
    }
    spans[role].1 = at as u32;
    for tail in &program.tails {
        if !text[at..end].starts_with(&tail.begin) {
            if tail.is_needed {
                return None;
            }
            continue;
        }
        let begin = at + tail.begin.len();
        let stop = find(text, begin, tail.end).min(end);
        let is_quoted = tail.end == b'"';
        if tail.end == b'\n' && !is_last_of(&text[begin..stop], &tail.begin) {
            return None;
        }
        if is_quoted && stop == end {
            return None;
        }
        spans[tail.role] = (begin as u32, stop as u32);
        at = stop + is_quoted as usize;
    }
    if at == end { Some(()) } else { None }
}

/// Return whether a value that ends a line is told there once, and begins as one.
fn is_last_of(value: &[u8], begin: &[u8]) -> bool {
    value.first().map_or(false, u8::is_ascii_graphic) && !value.windows(begin.len()).any(|some| some == begin)
}

/// Fill the values of a line by its literals. None: it does not fit.
#[inline(always)]
pub fn read_fields(text: &[u8], begin: usize, end: usize, program: &Program, may_be_escaped: bool, spans: &mut Spans) -> Option<()> {
    if !program.begin.is_empty() && !is_at(text, begin, &program.begin) {
        return None;
    }
    let mut at = begin + program.begin.len();
    for field in &program.fields {
        let from = at;
        let kind = if may_be_escaped { field.kind_of_escaped } else { field.kind };
        if kind == Kind::Odd {
            at = find(text, at, field.first);
            let (until, next) = read_odd(text, from, at, end, field, program.is_escaped)?;
            spans[field.role] = (from as u32, until as u32);
            at = next;
            continue;
        }
        at = find_in_line(text, at, field.first, field.first);
        if kind == Kind::List && ((at > from && byte_at(text, at - 1) == b',') || word_at(text, at) & 0xff_ffff == LIST) {
            let (until, next) = read_odd(text, from, at, end, field, program.is_escaped)?;
            spans[field.role] = (from as u32, until as u32);
            at = next;
            continue;
        }
        if (word_at(text, at) ^ field.begin) & field.mask != 0 {
            return None;
        }
        match kind {
            Kind::Word if at == from || !is_word(text, from, at, [b'"'; 4]) => return None,
            Kind::Number if !is_number(text, from, at) => return None,
            _ => {}
        }
        spans[field.role] = (from as u32, at as u32);
        at += field.size;
    }
    if !(at == end || (at + 1 == end && text[at] == b'\r')) {
        return None;
    }
    match program.fields.last() {
        Some(last) if !program.tails.is_empty() => read_tails(text, last.role, program, spans),
        _ => Some(()),
    }
}

const LIST: u64 = 0x20_3a20; // ` : `, which parts two values of a list

/// Return where the value of a field ends that needs a second look, and where the next begins. None: it does not fit.
#[inline(always)]
fn read_odd(text: &[u8], from: usize, mut at: usize, end: usize, field: &Field, is_escaped: bool) -> Option<(usize, usize)> {
    if field.literal.is_empty() {
        let until = if end > from && text[end - 1] == b'\r' { end - 1 } else { end };
        let is_odd = (field.is_number && !is_number(text, from, until)) || (field.is_word && !is_word(text, from, until, [b'"'; 4]));
        return if is_odd { None } else { Some((until, end)) };
    }
    if is_escaped && field.first == b'"' {
        while at < end && escapes(text, from, at) & 1 == 1 {
            at = find(text, at + 1, field.first);
        }
    } else if field.is_far {
        while at < end && !text[at..].starts_with(&field.literal) {
            at = find(text, at + 1, field.first);
        }
    } else if field.is_list {
        while at < end {
            if at > from && text[at - 1] == b',' {
                at = find(text, at + 1, field.first);
            } else if text[at + 1] == b':' && text[at + 2] == b' ' {
                at = find(text, at + 3, field.first);
            } else {
                break;
            }
        }
    }
    if (field.is_number && !is_number(text, from, at)) || (field.is_word && (at == from || !is_word(text, from, at, [b'"'; 4]))) {
        return None;
    }
    if text[at..].starts_with(&field.literal) { Some((at, at + field.literal.len())) } else { None }
}

/// Return how many backslashes stand before a place.
#[inline(always)]
fn escapes(text: &[u8], from: usize, at: usize) -> usize {
    text[from..at].iter().rev().take_while(|byte| **byte == b'\\').count()
}

#[inline(always)]
fn is_number(text: &[u8], begin: usize, end: usize) -> bool {
    (begin < end && end - begin <= 16 && are_digits(text, begin, end)) || &text[begin..end] == b"-"
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
