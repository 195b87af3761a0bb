//! From a line to its values: wrappers are taken off, then fields are parted, or the members of an object found (json.rs).

use crate::find::{are_digits, byte_at, find, find_in_line, holds, is_at, is_word, word_at};
use crate::json::{member, unescape};
use crate::program::{Field, Kind, Program, Wrapper, ROLES};

/// Where a value stands in its text; nothing where begin and end are zero.
pub type Span = (u32, u32);
pub type Spans = [Span; ROLES];

pub fn of(text: &[u8], span: Span) -> &[u8] {
    &text[span.0 as usize..span.1 as usize]
}

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
            Wrapper::Json(key, is_line, times) => {
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
                if program.is_stamped {
                    let (from, until) = times.iter().find_map(|time| member(text, at, end, time))?;
                    *stamp = (room.len() as u32, (room.len() + until - from) as u32);
                    room.extend_from_slice(&text[from..until]);
                    room.extend_from_slice(&[b'\n'; crate::find::PAD + 1]);
                }
                return Some(Unwrapped::Room(start, stop));
            }
        }
        if at >= end {
            return None;
        }
    }
    Some(Unwrapped::Here(at, end))
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
            if !field.is_far {
                return None;
            }
            at = far_end(text, at, end, field);
            if at >= end {
                return None;
            }
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
        at = far_end(text, at, end, field);
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

/// Return where the literal behind a value stands whose first byte is at a place, which may still be in the value; `end` or more if nowhere.
#[inline(never)]
fn far_end(text: &[u8], mut at: usize, end: usize, field: &Field) -> usize {
    while at < end && !text[at..].starts_with(&field.literal) {
        at = find(text, at + 1, field.first);
    }
    at
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
