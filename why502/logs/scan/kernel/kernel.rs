//! The inner loop of `why502 logs`: reads the lines that a `log_format` writes, and counts them, within a WebAssembly sandbox.
//!
//! What it cannot read with certainty it hands back ("rejects"), and Python's own parser decides. `../reading.py` does the same
//! in Python, and the tests compare the two. Memory: one linear memory that only grows; the sandbox bounds every access.
//!
//! Built by `make` in this folder; the result is kept beside it as kernel.wasm.
#![no_std]
#![no_main]

use core::arch::wasm32::*;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    unreachable()
}

const INPUT: usize = 2 << 20;
const PAD: usize = 64;
const FIELDS: usize = 64;
const ROLES: usize = 16;
const ATTEMPTS: usize = 8;
const REJECTS: usize = 1 << 15;
const IDS: usize = 1 << 18; // strings of a kind
const ARENA: usize = 24 << 20;
const COUNTERS: u32 = 1 << 20;
const DENSE: usize = 256; // ids of a kind whose times are counted in arrays
const BUCKETS: usize = 2048;
const LONGEST: u64 = (1 << 33) - 1; // microseconds

// roles of a field
const TIME_LOCAL: usize = 1;
const TIME_ISO: usize = 2;
const MSEC: usize = 3;
const STATUS: usize = 4;
const REQUEST: usize = 5;
const METHOD: usize = 6;
const URI: usize = 7;
const CLIENT: usize = 8;
const SERVER: usize = 9;
const ADDR: usize = 10;
const USTATUS: usize = 11;
const UCONNECT: usize = 12; // and header, response
const RTIME: usize = 15;

// kinds of strings
const OUTCOME: usize = 0;
const ROUTE: usize = 1;
const WHO: usize = 2;
const HOST: usize = 3;

// tables of counters
const T_MINUTE: u64 = 1; // outcome, minute
const T_ROUTE_STATUS: u64 = 2; // route, status of a failure
const T_ROUTE_TIME: u64 = 3; // route, bucket
const T_ROUTE_MINUTE: u64 = 4; // route, minute of a failure
const T_CONNECT: u64 = 5; // outcome, attempt and bucket; 6 header, 7 response

#[derive(Clone, Copy)]
struct Field {
    role: u8,
    delimiter: u8,
    is_number: bool,  // begins with a digit or a dash
    keeps_list: bool, // a list of attempts that a space ends: ", " and " : " do not
    length: u8,
    literal: [u8; 60],
}

struct Strings {
    slots: *mut u64, // hash << 32 | id + 1
    mask: u32,
    count: u32,
    begins: *mut u32,
    lengths: *mut u32,
    totals: *mut u32,
    failures: *mut u32,
}

const NO_STRINGS: Strings = Strings {
    slots: 0 as _,
    mask: 0,
    count: 0,
    begins: 0 as _,
    lengths: 0 as _,
    totals: 0 as _,
    failures: 0 as _,
};

static mut INPUT_BUFFER: [u8; INPUT + PAD] = [0; INPUT + PAD];
static mut CONFIG: [u8; 8192] = [0; 8192];
static mut PROGRAM: [Field; FIELDS] = [Field { role: 0, delimiter: 0, is_number: false, keeps_list: false, length: 0, literal: [0; 60] }; FIELDS];
static mut FIELD_COUNT: usize = 0;
static mut BEGIN: [u8; 256 + PAD] = [0; 256 + PAD];
static mut BEGIN_LENGTH: usize = 0;
static mut IS_JSON: bool = false;
static mut IS_EXACT: bool = false;
static mut HAS: [bool; ROLES] = [false; ROLES];
static mut SINCE: i64 = 0;
static mut UNTIL: i64 = 0;
static mut STATUS_MARK: [u8; 2] = [0; 2];

static mut STRINGS: [Strings; 4] = [NO_STRINGS; 4];
static mut ARENA_AT: *mut u8 = 0 as _;
static mut ARENA_USED: usize = 0;
static mut KEYS: *mut u64 = 0 as _;
static mut COUNTS: *mut u64 = 0 as _;
static mut MASK: u32 = 0;
static mut USED: u32 = 0;
static mut TIMES: [*mut u32; 4] = [0 as _; 4]; // route, connect, header, response
static mut REJECTED: [u32; 2 * REJECTS] = [0; 2 * REJECTS];
static mut REJECTED_COUNT: usize = 0;
static mut FIRST: i64 = i64::MAX;
static mut LAST: i64 = i64::MIN;
static mut LINES: u64 = 0;
static mut SCRATCH: [u8; 8192 + PAD] = [0; 8192 + PAD];
static mut STAMP: [u8; 48] = [0; 48];
static mut STAMP_LENGTH: usize = 0;
static mut STAMP_SECONDS: i64 = 0;
static mut MINUTE: i64 = -1;
static mut OF_MINUTE: *mut u32 = 0 as _; // outcome -> lines of the current minute
static mut TOUCHED: *mut u32 = 0 as _;
static mut TOUCHED_COUNT: usize = 0;
static mut DUMPED: *mut u64 = 0 as _;
static mut DUMPED_CAPACITY: usize = 0;
static mut HEAP: usize = 0;
static mut HEAP_END: usize = 0;

unsafe fn allocate(bytes: usize) -> *mut u8 {
    let begin = (HEAP + 63) & !63;
    if begin + bytes > HEAP_END {
        let pages = (begin + bytes - HEAP_END + 65535) / 65536 + 1;
        let old = memory_grow(0, pages);
        if old == usize::MAX {
            unreachable();
        }
        if HEAP_END == 0 {
            HEAP = old * 65536;
            HEAP_END = HEAP + pages * 65536;
            return allocate(bytes);
        }
        HEAP_END += pages * 65536;
    }
    HEAP = begin + bytes;
    begin as *mut u8
}

#[inline(always)]
unsafe fn load64(at: *const u8) -> u64 {
    (at as *const u64).read_unaligned()
}

#[inline(always)]
unsafe fn load16(at: *const u8) -> v128 {
    v128_load(at as *const v128)
}

/// Return where `delimiter` or a line feed comes first.
#[inline(always)]
unsafe fn find(mut at: *const u8, delimiter: u8) -> *const u8 {
    let (wanted, feed) = (u8x16_splat(delimiter), u8x16_splat(b'\n'));
    loop {
        let block = load16(at);
        let bits = u8x16_bitmask(v128_or(u8x16_eq(block, wanted), u8x16_eq(block, feed)));
        if bits != 0 {
            return at.add(bits.trailing_zeros() as usize);
        }
        at = at.add(16);
    }
}

#[inline(always)]
unsafe fn same(a: *const u8, b: *const u8, length: usize) -> bool {
    let mut at = 0;
    while at + 8 <= length {
        if load64(a.add(at)) != load64(b.add(at)) {
            return false;
        }
        at += 8;
    }
    let rest = length - at;
    rest == 0 || (load64(a.add(at)) ^ load64(b.add(at))) << (64 - 8 * rest) == 0
}

#[inline(always)]
unsafe fn hash(text: *const u8, length: usize) -> u64 {
    let mut value = length as u64;
    let mut at = 0;
    while at + 8 <= length {
        value = (value.rotate_left(5) ^ load64(text.add(at))).wrapping_mul(0x517c_c1b7_2722_0a95);
        at += 8;
    }
    let rest = length - at;
    if rest != 0 {
        value = (value.rotate_left(5) ^ (load64(text.add(at)) << (64 - 8 * rest))).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    value ^ (value >> 29)
}

/// Return the number of a string, a new one where it is met the first time.
#[inline(always)]
unsafe fn intern(kind: usize, text: *const u8, length: usize) -> u32 {
    let strings = &mut STRINGS[kind];
    let code = hash(text, length);
    let tag = code << 32;
    let mut slot = (code >> 32) as u32 & strings.mask;
    loop {
        let found = *strings.slots.add(slot as usize);
        if found == 0 {
            break;
        }
        if found & !0xffff_ffff == tag {
            let id = (found as u32) - 1;
            if *strings.lengths.add(id as usize) as usize == length
                && same(ARENA_AT.add(*strings.begins.add(id as usize) as usize), text, length)
            {
                return id;
            }
        }
        slot = (slot + 1) & strings.mask;
    }
    add_string(kind, text, length, tag, slot)
}

#[inline(never)]
unsafe fn add_string(kind: usize, text: *const u8, length: usize, tag: u64, slot: u32) -> u32 {
    let strings = &mut STRINGS[kind];
    let id = strings.count;
    strings.count += 1;
    *strings.slots.add(slot as usize) = tag | (id as u64 + 1);
    *strings.begins.add(id as usize) = ARENA_USED as u32;
    *strings.lengths.add(id as usize) = length as u32;
    *strings.totals.add(id as usize) = 0;
    *strings.failures.add(id as usize) = 0;
    core::ptr::copy_nonoverlapping(text, ARENA_AT.add(ARENA_USED), length);
    ARENA_USED += length + 1;
    *ARENA_AT.add(ARENA_USED - 1) = b'\n';
    if kind == OUTCOME {
        *OF_MINUTE.add(id as usize) = 0;
    }
    if (kind == ROUTE || kind == OUTCOME) && (id as usize) < DENSE {
        let tables: &[usize] = if kind == ROUTE { &[0] } else { &[1, 2, 3] };
        for table in tables {
            core::ptr::write_bytes(TIMES[*table].add(id as usize * BUCKETS), 0, BUCKETS);
        }
    }
    if strings.count * 2 > strings.mask {
        let (old, size) = (strings.slots, strings.mask as usize + 1);
        strings.mask = strings.mask * 2 + 1;
        strings.slots = allocate(16 * size) as *mut u64;
        core::ptr::write_bytes(strings.slots, 0, 2 * size);
        for id in 0..strings.count as usize {
            let code = hash(ARENA_AT.add(*strings.begins.add(id) as usize), *strings.lengths.add(id) as usize);
            let mut slot = (code >> 32) as u32 & strings.mask;
            while *strings.slots.add(slot as usize) != 0 {
                slot = (slot + 1) & strings.mask;
            }
            *strings.slots.add(slot as usize) = (code << 32) | (id as u64 + 1);
        }
        let _ = old;
    }
    id
}

#[inline(always)]
fn mix(key: u64) -> u32 {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

#[inline(always)]
unsafe fn count(table: u64, a: u32, b: u64, by: u64) {
    let key = table << 60 | (a as u64) << 36 | b;
    let mut slot = mix(key) & MASK;
    loop {
        let found = *KEYS.add(slot as usize);
        if found == key {
            *COUNTS.add(slot as usize) += by;
            return;
        }
        if found == 0 {
            break;
        }
        slot = (slot + 1) & MASK;
    }
    *KEYS.add(slot as usize) = key;
    *COUNTS.add(slot as usize) = by;
    USED += 1;
    if USED * 2 > MASK {
        let (keys, counts, size) = (KEYS, COUNTS, MASK as usize + 1);
        MASK = MASK * 2 + 1;
        KEYS = allocate(16 * size) as *mut u64;
        COUNTS = allocate(16 * size) as *mut u64;
        core::ptr::write_bytes(KEYS, 0, 2 * size);
        for old in 0..size {
            let key = *keys.add(old);
            if key != 0 {
                let mut slot = mix(key) & MASK;
                while *KEYS.add(slot as usize) != 0 {
                    slot = (slot + 1) & MASK;
                }
                *KEYS.add(slot as usize) = key;
                *COUNTS.add(slot as usize) = *counts.add(old);
            }
        }
    }
}

/// Return the bucket of a time in microseconds: 64 for each doubling. With IS_EXACT each time is its own.
#[inline(always)]
unsafe fn bucket(micros: u64) -> u64 {
    if IS_EXACT || micros < 128 {
        return micros;
    }
    let shift = 57 - micros.leading_zeros() as u64;
    (shift << 6) + (micros >> shift)
}

#[inline(always)]
unsafe fn took(table: usize, id: u32, attempt: u64, micros: u64) {
    let at = bucket(if micros > LONGEST { LONGEST } else { micros });
    if attempt == 0 && (id as usize) < DENSE && !IS_EXACT {
        *TIMES[table].add(id as usize * BUCKETS + at as usize) += 1;
    } else {
        count(if table == 0 { T_ROUTE_TIME } else { T_CONNECT + table as u64 - 1 }, id, attempt << 33 | at, 1);
    }
}

#[inline(always)]
unsafe fn digits(at: *const u8, count: usize) -> Option<i64> {
    let mut value = 0i64;
    for i in 0..count {
        let digit = (*at.add(i)).wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + digit as i64;
    }
    Some(value)
}

fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)) as i64,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

unsafe fn moment(y: i64, mo: i64, d: i64, clock: *const u8, zone: *const u8, has_colon: bool) -> Option<i64> {
    let (h, m, s) = (digits(clock, 2)?, digits(clock.add(3), 2)?, digits(clock.add(6), 2)?);
    if *clock.add(2) != b':' || *clock.add(5) != b':' || h > 23 || m > 59 || s > 59 || y < 1970 || !(1..=12).contains(&mo) {
        return None;
    }
    if d < 1 || d > month_days(y, mo) {
        return None;
    }
    let offset = match *zone {
        b'Z' => 0,
        b'+' | b'-' => {
            let (zh, zm) = (digits(zone.add(1), 2)?, digits(zone.add(if has_colon { 4 } else { 3 }), 2)?);
            if zh > 23 || zm > 59 {
                return None;
            }
            let value = zh * 3600 + zm * 60;
            if *zone == b'-' { -value } else { value }
        }
        _ => return None,
    };
    Some(days(y, mo, d) * 86400 + h * 3600 + m * 60 + s - offset)
}

#[inline(never)]
unsafe fn read_time(role: usize, at: *const u8, length: usize) -> Option<i64> {
    match role {
        TIME_LOCAL => {
            if length != 26 || *at.add(2) != b'/' || *at.add(6) != b'/' || *at.add(11) != b':' || *at.add(20) != b' ' || *at.add(21) == b'Z' {
                return None;
            }
            let names = b"JanFebMarAprMayJunJulAugSepOctNovDec";
            let month = (0..12).find(|i| same(at.add(3), names.as_ptr().add(3 * i), 3))? as i64 + 1;
            moment(digits(at.add(7), 4)?, month, digits(at, 2)?, at.add(12), at.add(21), false)
        }
        TIME_ISO => {
            if !(length == 25 && *at.add(22) == b':' || length == 20 && *at.add(19) == b'Z') {
                return None;
            }
            if *at.add(4) != b'-' || *at.add(7) != b'-' || *at.add(10) != b'T' || (length == 25 && *at.add(19) == b'Z') {
                return None;
            }
            moment(digits(at, 4)?, digits(at.add(5), 2)?, digits(at.add(8), 2)?, at.add(11), at.add(19), true)
        }
        _ => {
            if length < 12 || length > 17 || *at.add(10) != b'.' {
                return None;
            }
            digits(at.add(11), length - 11)?;
            digits(at, 10)
        }
    }
}

/// Return a decimal number of seconds in microseconds and how many bytes it takes; u64::MAX is `-`.
#[inline(always)]
unsafe fn seconds(at: *const u8, end: *const u8) -> Option<(u64, usize)> {
    if *at == b'-' {
        return Some((u64::MAX, 1));
    }
    let mut length = 0;
    let mut whole = 0u64;
    loop {
        let digit = (*at.add(length)).wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        whole = whole * 10 + digit as u64;
        length += 1;
        if length > 5 {
            return None;
        }
    }
    if length == 0 {
        return None;
    }
    let mut micros = whole * 1_000_000;
    if *at.add(length) == b'.' {
        length += 1;
        let mut scale = 100_000u64;
        let first = length;
        loop {
            let digit = (*at.add(length)).wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            if scale == 0 {
                return None;
            }
            micros += digit as u64 * scale;
            scale /= 10;
            length += 1;
        }
        if length == first {
            return None;
        }
    }
    if at.add(length) > end { None } else { Some((micros, length)) }
}

/// Return 2 where a list of attempts goes on with `, `, 3 with ` : `, 0 at its end; None for anything else.
#[inline(always)]
unsafe fn step(at: *const u8, end: *const u8) -> Option<usize> {
    if at == end {
        Some(0)
    } else if *at == b',' && *at.add(1) == b' ' && at.add(2) < end {
        Some(2)
    } else if *at == b' ' && *at.add(1) == b':' && *at.add(2) == b' ' && at.add(3) < end {
        Some(3)
    } else {
        None
    }
}

// classes of the bytes of a path: 1 digit, 2 hexadecimal letter or dash, 4 anything else, 8 ends a segment, 16 ends the path
static CLASSES: [u8; 256] = classes();
const fn classes() -> [u8; 256] {
    let mut found = [4u8; 256];
    let mut i = 0;
    while i < 256 {
        let byte = i as u8;
        if byte >= b'0' && byte <= b'9' {
            found[i] = 1;
        } else if byte >= b'a' && byte <= b'f' || byte >= b'A' && byte <= b'F' || byte == b'-' {
            found[i] = 2;
        } else if byte == b'/' {
            found[i] = 8;
        } else if byte == b' ' || byte == b'?' || byte == b'#' || byte == b';' {
            found[i] = 16;
        }
        i += 1;
    }
    found
}

/// Write `METHOD /path` with `*` in place of numbers into SCRATCH; return its length. None: leave it to Python.
#[inline(always)]
unsafe fn route(method: (*const u8, *const u8), uri: (*const u8, *const u8)) -> Option<usize> {
    let target = SCRATCH.as_mut_ptr();
    let length = method.1.offset_from(method.0) as usize;
    if length < 1 || length > 16 {
        return None;
    }
    for i in 0..length {
        let byte = *method.0.add(i);
        if !(b'A'..=b'Z').contains(&byte) {
            return None;
        }
        *target.add(i) = byte;
    }
    let mut to = length;
    *target.add(to) = b' ';
    to += 1;
    let (mut at, end) = uri;
    if at >= end || *at != b'/' {
        return None;
    }
    let limit = to + 160;
    let mut segments = 0;
    while at < end && *at == b'/' {
        if segments == 8 || to > limit {
            *target.add(to) = b'/';
            *target.add(to + 1) = b'.';
            *target.add(to + 2) = b'.';
            *target.add(to + 3) = b'.';
            return Some(to + 4);
        }
        segments += 1;
        *target.add(to) = b'/';
        to += 1;
        at = at.add(1);
        let begin = at;
        let mut seen = 0u8;
        while at < end {
            let class = CLASSES[*at as usize];
            if class >= 8 {
                break;
            }
            if *at == b'\\' {
                return None;
            }
            seen |= class;
            let length = at.offset_from(begin) as usize;
            if length < 64 {
                *target.add(to + length) = *at;
            }
            at = at.add(1);
        }
        let length = at.offset_from(begin) as usize;
        if seen == 1 || length > 64 || (seen & 1 != 0 && (length >= 16 || (seen & 4 == 0 && length >= 8))) {
            *target.add(to) = b'*';
            to += 1;
        } else {
            to += length;
        }
        if at < end && CLASSES[*at as usize] == 16 {
            break;
        }
    }
    Some(to)
}

#[inline(always)]
unsafe fn has_backslash(mut at: *const u8, end: *const u8) -> bool {
    while at < end {
        if *at == b'\\' {
            return true;
        }
        at = at.add(1);
    }
    false
}

#[inline(always)]
fn is_failure(status: u32) -> bool {
    status >= 500 || status == 499 || status == 0 || status == 9 || status == 460 || status == 463
}

type Span = (*const u8, *const u8);

/// Count one line. Return where it ends (after its line feed) and whether it was read.
#[inline(always)]
unsafe fn line(begin: *const u8) -> (*const u8, bool) {
    let mut spans: [Span; ROLES] = [(begin, begin); ROLES];
    let mut at = begin;
    if !same(at, BEGIN.as_ptr(), BEGIN_LENGTH) {
        return (find(at, b'\n').add(1), false);
    }
    at = at.add(BEGIN_LENGTH);
    for field in PROGRAM.get_unchecked(..FIELD_COUNT) {
        let from = at;
        loop {
            at = find(at, field.delimiter);
            if *at == b'\n' || *at != field.delimiter {
                break;
            }
            if IS_JSON && field.delimiter == b'"' && *at.sub(1) == b'\\' {
                let mut before = at.sub(1);
                while before > from && *before.sub(1) == b'\\' {
                    before = before.sub(1);
                }
                if at.offset_from(before) & 1 == 1 {
                    at = at.add(1);
                    continue;
                }
            }
            if field.keeps_list {
                if at > from && *at.sub(1) == b',' {
                    at = at.add(1);
                    continue;
                }
                if *at.add(1) == b':' && *at.add(2) == b' ' {
                    at = at.add(3);
                    continue;
                }
            }
            break;
        }
        let mut end = at;
        if field.delimiter == b'\n' {
            if end > from && *end.sub(1) == b'\r' {
                end = end.sub(1);
            }
        } else {
            if *at != field.delimiter || !same(at, field.literal.as_ptr(), field.length as usize) {
                return (find(at, b'\n').add(1), false);
            }
            at = at.add(field.length as usize);
        }
        if field.is_number && *from != b'-' && (*from).wrapping_sub(b'0') > 9 {
            return (find(at, b'\n').add(1), false);
        }
        *spans.get_unchecked_mut(field.role as usize) = (from, end);
    }
    if *at == b'\r' && *at.add(1) == b'\n' {
        at = at.add(1);
    }
    if *at != b'\n' {
        return (find(at, b'\n').add(1), false);
    }
    (at.add(1), fields(&spans).is_some())
}

#[inline(always)]
unsafe fn fields(spans: &[Span; ROLES]) -> Option<()> {
    // when
    let role = if HAS[TIME_LOCAL] { TIME_LOCAL } else if HAS[MSEC] { MSEC } else { TIME_ISO };
    let (begin, end) = spans[role];
    let length = end.offset_from(begin) as usize;
    if length != STAMP_LENGTH || !same(begin, STAMP.as_ptr(), length) {
        if length > 32 {
            return None;
        }
        STAMP_LENGTH = 0;
        STAMP_SECONDS = read_time(role, begin, length)?;
        core::ptr::copy_nonoverlapping(begin, STAMP.as_mut_ptr(), length);
        STAMP_LENGTH = length;
    }
    let when = STAMP_SECONDS;
    if when < SINCE || when > UNTIL {
        return Some(());
    }
    // how it ended
    let (begin, end) = spans[STATUS];
    if end.offset_from(begin) != 3 {
        return None;
    }
    let status = digits(begin, 3)? as u32;
    let has_failed = is_failure(status);
    let mut attempts = 0;
    let mut times = [[u64::MAX; ATTEMPTS]; 3];
    let mut marks = [b'A'; 3];
    let mut micros_all = u64::MAX;
    let (addr, addr_end) = spans[ADDR];
    let (ustatus, ustatus_end) = spans[USTATUS];
    let is_told = addr_end > addr && !(*addr == b'-' && addr.add(1) == addr_end);
    if is_told {
        let mut at = addr;
        attempts = 1;
        while at < addr_end {
            if *at == b'\\' || *at == b'"' || *at >= 0x7f {
                return None;
            }
            if *at == b',' || (*at == b' ' && at.add(1) < addr_end && *at.add(1) == b':') {
                let width = step(at, addr_end)?;
                attempts += 1;
                at = at.add(width);
            } else if *at == b' ' {
                return None;
            } else {
                at = at.add(1);
            }
        }
        if attempts > ATTEMPTS || addr_end.offset_from(addr) > 1024 {
            return None;
        }
        let mut seen = 1;
        let mut at = ustatus;
        loop {
            if at < ustatus_end && *at == b'-' {
                at = at.add(1);
            } else {
                if ustatus_end.offset_from(at) < 3 {
                    return None;
                }
                digits(at, 3)?;
                at = at.add(3);
            }
            match step(at, ustatus_end)? {
                0 => break,
                width => at = at.add(width),
            }
            seen += 1;
        }
        if seen != attempts {
            return None;
        }
        for field in 0..3 {
            if !HAS[UCONNECT + field] {
                continue;
            }
            let (mut at, end) = spans[UCONNECT + field];
            let mut i = 0;
            loop {
                let (micros, width) = seconds(at, end)?;
                at = at.add(width);
                if i >= attempts {
                    return None;
                }
                times[field][i] = micros;
                marks[field] += if micros == u64::MAX { 0 } else { 1 << i };
                i += 1;
                if field == 2 && micros != u64::MAX {
                    micros_all = if micros_all == u64::MAX { micros } else { micros_all + micros };
                }
                match step(at, end)? {
                    0 => break,
                    width => at = at.add(width),
                }
            }
            if i != attempts {
                return None;
            }
        }
    } else {
        for role in [USTATUS, UCONNECT, UCONNECT + 1, UCONNECT + 2] {
            let (begin, end) = spans[role];
            if end > begin && !(*begin == b'-' && begin.add(1) == end) {
                return None;
            }
        }
    }
    if HAS[RTIME] {
        let (begin, end) = spans[RTIME];
        let (micros, width) = seconds(begin, end)?;
        if begin.add(width) != end {
            return None;
        }
        if micros != u64::MAX {
            micros_all = micros;
        }
    }
    let (who, who_end) = spans[CLIENT];
    let (host, host_end) = spans[SERVER];
    let (who_length, host_length) = (who_end.offset_from(who) as usize, host_end.offset_from(host) as usize);
    if who_length > 64 || host_length > 255 || has_backslash(who, who_end) || has_backslash(host, host_end) {
        return None;
    }
    // what was asked for: nothing may be refused after this, since SCRATCH and the counters change
    let (mut method, mut uri) = (spans[METHOD], spans[URI]);
    if HAS[REQUEST] {
        let (begin, end) = spans[REQUEST];
        let mut space = begin;
        while space < end && *space != b' ' {
            space = space.add(1);
        }
        method = (begin, space);
        uri = (if space < end { space.add(1) } else { end }, end);
    }
    let has_route = HAS[REQUEST] || HAS[METHOD] && HAS[URI];
    let mut route_id = 0;
    if has_route {
        let length = route(method, uri)?;
        route_id = intern(ROUTE, SCRATCH.as_ptr(), length);
    }
    let text = SCRATCH.as_mut_ptr();
    core::ptr::copy_nonoverlapping(spans[STATUS].0, text, 3);
    let mut length = 3;
    if is_told {
        let addr_length = addr_end.offset_from(addr) as usize;
        let mut i = 0;
        while i < addr_length {
            v128_store(text.add(length + i) as *mut v128, load16(addr.add(i)));
            i += 16;
        }
        length += addr_length;
        *text.add(length) = b'\t';
        length += 1;
        let status_length = ustatus_end.offset_from(ustatus) as usize;
        let mut i = 0;
        while i < status_length {
            v128_store(text.add(length + i) as *mut v128, load16(ustatus.add(i)));
            i += 16;
        }
        length += status_length;
        *text.add(length) = b'\t';
        *text.add(length + 1) = marks[0] - b'A';
        *text.add(length + 2) = marks[1] - b'A';
        // no byte of a mark may be a line feed, which parts the strings: two hexadecimal digits each
        let (a, b) = (*text.add(length + 1), *text.add(length + 2));
        *text.add(length + 1) = b'A' + (a >> 4);
        *text.add(length + 2) = b'A' + (a & 15);
        *text.add(length + 3) = b'A' + (b >> 4);
        *text.add(length + 4) = b'A' + (b & 15);
        length += 5;
    }
    let outcome = intern(OUTCOME, text, length);

    LINES += 1;
    if when < FIRST {
        FIRST = when;
    }
    if when > LAST {
        LAST = when;
    }
    let minute = when.div_euclid(60);
    if minute != MINUTE {
        flush();
        MINUTE = minute;
    }
    let of_minute = OF_MINUTE.add(outcome as usize);
    if *of_minute == 0 {
        *TOUCHED.add(TOUCHED_COUNT) = outcome;
        TOUCHED_COUNT += 1;
    }
    *of_minute += 1;
    for attempt in 0..attempts {
        for field in 0..3 {
            if times[field][attempt] != u64::MAX {
                took(field + 1, outcome, attempt as u64, times[field][attempt]);
            }
        }
    }
    let failed = has_failed as u32;
    if has_route {
        let strings = &STRINGS[ROUTE];
        *strings.totals.add(route_id as usize) += 1;
        *strings.failures.add(route_id as usize) += failed;
        if micros_all != u64::MAX {
            took(0, route_id, 0, micros_all);
        }
        if has_failed {
            count(T_ROUTE_STATUS, route_id, status as u64, 1);
            count(T_ROUTE_MINUTE, route_id, minute as u64, 1);
        }
    }
    if who_length > 0 {
        let id = intern(WHO, who, who_length) as usize;
        *STRINGS[WHO].totals.add(id) += 1;
        *STRINGS[WHO].failures.add(id) += failed;
    }
    if host_length > 0 {
        let id = intern(HOST, host, host_length) as usize;
        *STRINGS[HOST].totals.add(id) += 1;
        *STRINGS[HOST].failures.add(id) += failed;
    }
    Some(())
}

#[inline(never)]
unsafe fn flush() {
    for i in 0..TOUCHED_COUNT {
        let outcome = *TOUCHED.add(i);
        let of_minute = OF_MINUTE.add(outcome as usize);
        count(T_MINUTE, outcome, MINUTE as u64, *of_minute as u64);
        *of_minute = 0;
    }
    TOUCHED_COUNT = 0;
}

#[inline(always)]
unsafe fn is_full() -> bool {
    REJECTED_COUNT >= REJECTS
        || ARENA_USED > ARENA - 65536
        || USED > COUNTERS - 4096
        || STRINGS.iter().any(|strings| strings.count as usize >= IDS - 1)
}

/// Where Python writes the text of a log.
#[no_mangle]
pub unsafe extern "C" fn input() -> usize {
    INPUT_BUFFER.as_ptr() as usize
}

/// How much of it there is room for.
#[no_mangle]
pub unsafe extern "C" fn capacity() -> usize {
    INPUT
}

/// Where Python writes the program for `configure`.
#[no_mangle]
pub unsafe extern "C" fn config() -> usize {
    CONFIG.as_ptr() as usize
}

/// Take the program: flags, then the literal that begins a line, then role, delimiter and literal of each field. 1: it is refused.
#[no_mangle]
pub unsafe extern "C" fn configure(length: usize, since: i64, until: i64) -> u32 {
    SINCE = since;
    UNTIL = until;
    IS_JSON = CONFIG[0] & 1 != 0;
    IS_EXACT = CONFIG[0] & 2 != 0;
    BEGIN_LENGTH = CONFIG[1] as usize;
    BEGIN[..BEGIN_LENGTH].copy_from_slice(&CONFIG[2..2 + BEGIN_LENGTH]);
    let mut at = 2 + BEGIN_LENGTH;
    let mut before = [0u8; 2];
    if BEGIN_LENGTH >= 2 {
        before = [BEGIN[BEGIN_LENGTH - 2], BEGIN[BEGIN_LENGTH - 1]];
    }
    FIELD_COUNT = 0;
    HAS = [false; ROLES];
    while at < length {
        let (role, size) = (CONFIG[at], CONFIG[at + 1] as usize);
        if FIELD_COUNT == FIELDS || size > 52 || (role & 127) as usize >= ROLES {
            return 1;
        }
        let mut field = Field { role: role & 127, delimiter: b'\n', is_number: role & 128 != 0, keeps_list: false, length: size as u8, literal: [0; 60] };
        field.literal[..size].copy_from_slice(&CONFIG[at + 2..at + 2 + size]);
        if size > 0 {
            field.delimiter = field.literal[0];
        }
        let role = role & 127;
        field.keeps_list = field.delimiter == b' ' && (ADDR..=UCONNECT + 2).contains(&(role as usize));
        if role as usize == STATUS {
            STATUS_MARK = before;
        }
        before = if size >= 2 { [field.literal[size - 2], field.literal[size - 1]] } else { [0, if size == 1 { field.literal[0] } else { 0 }] };
        HAS[role as usize] = true;
        PROGRAM[FIELD_COUNT] = field;
        FIELD_COUNT += 1;
        at += 2 + size;
    }
    STAMP_LENGTH = 0;
    if KEYS.is_null() {
        ARENA_AT = allocate(ARENA + PAD);
        for kind in 0..4 {
            STRINGS[kind].begins = allocate(4 * IDS) as *mut u32;
            STRINGS[kind].lengths = allocate(4 * IDS) as *mut u32;
            STRINGS[kind].totals = allocate(4 * IDS) as *mut u32;
            STRINGS[kind].failures = allocate(4 * IDS) as *mut u32;
            STRINGS[kind].mask = (1 << 12) - 1;
            STRINGS[kind].slots = allocate(8 << 12) as *mut u64;
        }
        OF_MINUTE = allocate(4 * IDS) as *mut u32;
        TOUCHED = allocate(4 * IDS) as *mut u32;
        for table in 0..4 {
            TIMES[table] = allocate(4 * DENSE * BUCKETS) as *mut u32;
        }
        MASK = (1 << 14) - 1;
        KEYS = allocate(8 << 14) as *mut u64;
        COUNTS = allocate(8 << 14) as *mut u64;
    }
    reset();
    0
}

/// Forget everything that was counted.
#[no_mangle]
pub unsafe extern "C" fn reset() {
    for strings in STRINGS.iter_mut() {
        strings.count = 0;
        core::ptr::write_bytes(strings.slots, 0, strings.mask as usize + 1);
    }
    core::ptr::write_bytes(KEYS, 0, MASK as usize + 1);
    ARENA_USED = 0;
    USED = 0;
    REJECTED_COUNT = 0;
    LINES = 0;
    FIRST = i64::MAX;
    LAST = i64::MIN;
    TOUCHED_COUNT = 0;
    MINUTE = -1;
}

/// Count the lines of the first `length` bytes, which end with a line feed; return how many bytes were read: fewer when a table is full.
#[no_mangle]
pub unsafe extern "C" fn scan(length: usize) -> usize {
    let begin = INPUT_BUFFER.as_ptr();
    let end = begin.add(length);
    let mut at = begin;
    REJECTED_COUNT = 0;
    while at < end {
        if is_full() {
            break;
        }
        let (next, is_read) = line(at);
        if !is_read {
            reject(at, next);
        }
        at = next;
    }
    at.offset_from(begin) as usize
}

/// The same for the lines alone whose status is a failure (only 5xx with `is_only_5xx`): others are passed over unread.
#[no_mangle]
pub unsafe extern "C" fn scan_failures(length: usize, is_only_5xx: u32) -> usize {
    let begin = INPUT_BUFFER.as_ptr();
    let end = begin.add(length);
    let mut at = begin;
    REJECTED_COUNT = 0;
    let (first, second, five) = (u8x16_splat(STATUS_MARK[0]), u8x16_splat(STATUS_MARK[1]), u8x16_splat(b'5'));
    let (four, zero) = (u8x16_splat(b'4'), u8x16_splat(b'0'));
    let mut from = begin; // begin of a line that was not passed yet
    while at < end {
        let digit = load16(at.add(2));
        let wanted = if is_only_5xx != 0 {
            u8x16_eq(digit, five)
        } else {
            v128_or(u8x16_eq(digit, five), v128_or(u8x16_eq(digit, four), u8x16_eq(digit, zero)))
        };
        let mut bits = u8x16_bitmask(v128_and(v128_and(u8x16_eq(load16(at), first), u8x16_eq(load16(at.add(1)), second)), wanted)) as u32;
        let block = at;
        at = at.add(16);
        while bits != 0 {
            let found = block.add(bits.trailing_zeros() as usize);
            bits &= bits - 1;
            if found < from || found >= end {
                continue;
            }
            let status = match digits(found.add(2), 3) {
                Some(status) => status as u32,
                None => continue,
            };
            if !is_failure(status) || (is_only_5xx != 0 && status < 500) {
                continue;
            }
            if is_full() {
                return from.offset_from(begin) as usize;
            }
            let mut start = found;
            while start > from && *start.sub(1) != b'\n' {
                start = start.sub(1);
            }
            let next = judge(start, is_only_5xx != 0);
            from = next;
        }
    }
    length
}

/// Count a line that holds what looks like the status of a failure, where it is one. Return the begin of the next.
#[inline(never)]
unsafe fn judge(start: *const u8, is_only_5xx: bool) -> *const u8 {
    let mut at = start.add(BEGIN_LENGTH);
    let mut status = 0;
    for field in PROGRAM.get_unchecked(..FIELD_COUNT) {
        let from = at;
        at = find(at, field.delimiter);
        if *at == b'\n' {
            break;
        }
        if field.role as usize == STATUS && at.offset_from(from) == 3 {
            status = digits(from, 3).unwrap_or(0) as u32 + 1;
            break;
        }
        at = at.add(field.length as usize);
    }
    if status != 0 && (!is_failure(status - 1) || is_only_5xx && status < 501) {
        let sure = line_fits(start);
        if sure {
            return find(start, b'\n').add(1);
        }
    }
    let (next, is_read) = line(start);
    if !is_read {
        reject(start, next);
    }
    next
}

unsafe fn line_fits(start: *const u8) -> bool {
    let mut at = start;
    if !same(at, BEGIN.as_ptr(), BEGIN_LENGTH) {
        return false;
    }
    at = at.add(BEGIN_LENGTH);
    for field in PROGRAM.get_unchecked(..FIELD_COUNT) {
        at = find(at, field.delimiter);
        if field.delimiter != b'\n' {
            if *at != field.delimiter || !same(at, field.literal.as_ptr(), field.length as usize) {
                return false;
            }
            at = at.add(field.length as usize);
        }
        if field.role as usize == STATUS {
            return true;
        }
    }
    false
}

#[inline(never)]
unsafe fn reject(from: *const u8, to: *const u8) {
    let begin = INPUT_BUFFER.as_ptr();
    REJECTED[2 * REJECTED_COUNT] = from.offset_from(begin) as u32;
    REJECTED[2 * REJECTED_COUNT + 1] = to.offset_from(begin) as u32;
    REJECTED_COUNT += 1;
}

/// Where the rejected lines of the last scan stand: pairs of begin and end.
#[no_mangle]
pub unsafe extern "C" fn rejected() -> usize {
    REJECTED.as_ptr() as usize
}

#[no_mangle]
pub unsafe extern "C" fn rejected_count() -> usize {
    REJECTED_COUNT
}

#[no_mangle]
pub unsafe extern "C" fn lines() -> u64 {
    LINES
}

#[no_mangle]
pub unsafe extern "C" fn first() -> i64 {
    FIRST
}

#[no_mangle]
pub unsafe extern "C" fn last() -> i64 {
    LAST
}

#[no_mangle]
pub unsafe extern "C" fn strings_count(kind: usize) -> usize {
    STRINGS[kind].count as usize
}

/// What is known of the strings of a kind. `what`: 0 begins in the arena, 1 lengths, 2 totals, 3 failures.
#[no_mangle]
pub unsafe extern "C" fn strings(kind: usize, what: usize) -> usize {
    let strings = &STRINGS[kind];
    (match what {
        0 => strings.begins,
        1 => strings.lengths,
        2 => strings.totals,
        _ => strings.failures,
    }) as usize
}

#[no_mangle]
pub unsafe extern "C" fn arena() -> usize {
    ARENA_AT as usize
}

#[no_mangle]
pub unsafe extern "C" fn arena_used() -> usize {
    ARENA_USED
}

/// Write the counters as pairs of key and count; return how many there are. `dumped` tells where.
#[no_mangle]
pub unsafe extern "C" fn dump() -> usize {
    flush();
    let ids = [STRINGS[ROUTE].count as usize, STRINGS[OUTCOME].count as usize];
    let mut most = USED as usize;
    if !IS_EXACT {
        most += (ids[0].min(DENSE) + 3 * ids[1].min(DENSE)) * BUCKETS;
    }
    if most > DUMPED_CAPACITY {
        DUMPED = allocate(16 * most) as *mut u64;
        DUMPED_CAPACITY = most;
    }
    let mut to = 0;
    for slot in 0..=MASK as usize {
        if *KEYS.add(slot) != 0 {
            *DUMPED.add(2 * to) = *KEYS.add(slot);
            *DUMPED.add(2 * to + 1) = *COUNTS.add(slot);
            to += 1;
        }
    }
    if !IS_EXACT {
        for table in 0..4usize {
            let name = if table == 0 { T_ROUTE_TIME } else { T_CONNECT + table as u64 - 1 };
            for id in 0..ids[(table > 0) as usize].min(DENSE) {
                let times = TIMES[table].add(id * BUCKETS);
                for at in 0..BUCKETS {
                    if *times.add(at) != 0 {
                        *DUMPED.add(2 * to) = name << 60 | (id as u64) << 36 | at as u64;
                        *DUMPED.add(2 * to + 1) = *times.add(at) as u64;
                        to += 1;
                    }
                }
            }
        }
    }
    to
}

#[no_mangle]
pub unsafe extern "C" fn dumped() -> usize {
    DUMPED as usize
}
