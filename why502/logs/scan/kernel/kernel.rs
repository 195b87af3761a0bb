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
    delimiter: v128, // sixteen times
    begin: u64,      // of the literal behind the value: its first eight bytes,
    mask: u64,       // and which of them count
    length: u32,
    role: u8,
    flags: u8,
    byte: u8, // the delimiter
    literal: [u8; 64],
}

// flags of a field that make it need a second look
const IS_NUMBER: u8 = 1; // digits, or a dash
const KEEPS_LIST: u8 = 2; // a list of attempts that a space ends: ", " and " : " do not
const IS_QUOTED: u8 = 4; // escape=json: a quote behind a backslash does not end it
const IS_LONG: u8 = 8; // a literal of more than eight bytes
const IS_LAST: u8 = 16; // the line ends with the value

const NO_FIELD: Field = Field { delimiter: u64x2(0, 0), begin: 0, mask: 0, length: 0, role: 0, flags: 0, byte: 0, literal: [0; 64] };

/// One string: its first 16 bytes stand in it, so that a short one is compared without leaving its cache line.
#[repr(C)]
struct Entry {
    begin: u32, // in the arena
    length: u32,
    total: u32,
    failures: u32,
    head: [u8; 16],
}

struct Strings {
    slots: *mut u64, // hash << 32 | id + 1
    mask: u32,
    count: u32,
    entries: *mut Entry,
}

const NO_STRINGS: Strings = Strings {
    slots: 0 as _,
    mask: 0,
    count: 0,
    entries: 0 as _,
};

static mut INPUT_BUFFER: [u8; INPUT + PAD] = [0; INPUT + PAD];
static mut CONFIG: [u8; 8192] = [0; 8192];
static mut PROGRAM: [Field; FIELDS] = [NO_FIELD; FIELDS];
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
static mut STAMP_MINUTE: i64 = 0;
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

#[inline(always)]
unsafe fn find(at: *const u8, delimiter: u8) -> *const u8 {
    find_any(at, u8x16_splat(delimiter))
}

/// Return where a byte (given sixteen times) or a line feed comes first.
#[inline(always)]
unsafe fn find_any(mut at: *const u8, wanted: v128) -> *const u8 {
    let feed = u8x16_splat(b'\n');
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

/// Return the first bytes of a text, and zeros behind it.
#[inline(always)]
unsafe fn head_of(text: *const u8, length: usize) -> v128 {
    let places = u8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    v128_and(load16(text), u8x16_lt(places, u8x16_splat(if length > 16 { 16 } else { length as u8 })))
}

#[inline(always)]
fn hash(head: v128, text: *const u8, length: usize) -> u32 {
    let k = 0x9e37_79b9_7f4a_7c15u64;
    let mut value = (u64x2_extract_lane::<0>(head) ^ length as u64).wrapping_mul(k);
    value = (value ^ (value >> 32) ^ u64x2_extract_lane::<1>(head)).wrapping_mul(k);
    if length > 16 {
        let mut at = 16;
        while at < length {
            // the last eight bytes overlap those before
            let from = if at + 8 <= length { at } else { length - 8 };
            value = (value ^ (value >> 32) ^ unsafe { load64(text.add(from)) }).wrapping_mul(k);
            at += 8;
        }
    }
    (value >> 32) as u32
}

/// Return the number of a string, a new one where it is met the first time.
#[inline(always)]
unsafe fn intern(kind: usize, text: *const u8, length: usize) -> *mut Entry {
    let strings = &mut STRINGS[kind];
    let head = head_of(text, length);
    let code = hash(head, text, length);
    let mut slot = code & strings.mask;
    loop {
        let found = *strings.slots.add(slot as usize);
        if found == 0 {
            break;
        }
        if (found >> 32) as u32 == code {
            let entry = strings.entries.add(found as u32 as usize - 1);
            if (*entry).length as usize == length
                && !v128_any_true(v128_xor(load16((*entry).head.as_ptr()), head))
                && (length <= 16 || same(ARENA_AT.add((*entry).begin as usize + 16), text.add(16), length - 16))
            {
                return entry;
            }
        }
        slot = (slot + 1) & strings.mask;
    }
    add_string(kind, text, length, code, slot)
}

#[inline(always)]
unsafe fn id_of(kind: usize, entry: *mut Entry) -> u32 {
    entry.offset_from(STRINGS[kind].entries) as u32
}

#[inline(never)]
unsafe fn add_string(kind: usize, text: *const u8, length: usize, code: u32, slot: u32) -> *mut Entry {
    let strings = &mut STRINGS[kind];
    let id = strings.count;
    strings.count += 1;
    *strings.slots.add(slot as usize) = (code as u64) << 32 | (id as u64 + 1);
    let entry = strings.entries.add(id as usize);
    (*entry).begin = ARENA_USED as u32;
    (*entry).length = length as u32;
    (*entry).total = 0;
    (*entry).failures = 0;
    v128_store((*entry).head.as_mut_ptr() as *mut v128, head_of(text, length));
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
        for at in 0..size {
            let found = *old.add(at);
            if found != 0 {
                let mut slot = (found >> 32) as u32 & strings.mask;
                while *strings.slots.add(slot as usize) != 0 {
                    slot = (slot + 1) & strings.mask;
                }
                *strings.slots.add(slot as usize) = found;
            }
        }
    }
    entry
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

/// Return a bit for each of the first 32 bytes that lies between two others, both included.
#[inline(always)]
unsafe fn between(a: v128, b: v128, low: u8, high: u8) -> u32 {
    let (from, width) = (u8x16_splat(low), u8x16_splat(high - low));
    u8x16_bitmask(u8x16_le(u8x16_sub(a, from), width)) as u32 | (u8x16_bitmask(u8x16_le(u8x16_sub(b, from), width)) as u32) << 16
}

#[inline(always)]
unsafe fn equal(a: v128, b: v128, byte: u8) -> u32 {
    let wanted = u8x16_splat(byte);
    u8x16_bitmask(u8x16_eq(a, wanted)) as u32 | (u8x16_bitmask(u8x16_eq(b, wanted)) as u32) << 16
}

/// What the bytes of a path are, a bit for each, in blocks of 32.
struct Path {
    slashes: u64,
    digits: u64,
    hexadecimal: u64, // letters of a hexadecimal number, and dashes
    length: usize,
}

/// Look at a path of at most 64 bytes, up to where it ends. None: longer, or with a backslash.
#[inline(always)]
unsafe fn look(at: *const u8, most: usize) -> Option<Path> {
    let mut path = Path { slashes: 0, digits: 0, hexadecimal: 0, length: 0 };
    let mut shift = 0;
    while shift < 64 {
        let (a, b) = (load16(at.add(shift)), load16(at.add(shift + 16)));
        let limit = if most >= shift + 32 { 0 } else { !0u32 << (most - shift) };
        let ends = equal(a, b, b' ') | equal(a, b, b'?') | equal(a, b, b'#') | equal(a, b, b';') | limit;
        let inside = if ends == 0 { !0 } else { (1u32 << ends.trailing_zeros()) - 1 };
        if equal(a, b, b'\\') & inside != 0 {
            return None;
        }
        let lower = u8x16_splat(0x20);
        let (la, lb) = (v128_or(a, lower), v128_or(b, lower));
        path.slashes |= ((equal(a, b, b'/') & inside) as u64) << shift;
        path.digits |= ((between(a, b, b'0', b'9') & inside) as u64) << shift;
        path.hexadecimal |= (((between(la, lb, b'a', b'f') | equal(a, b, b'-')) & inside) as u64) << shift;
        if ends != 0 {
            path.length = shift + ends.trailing_zeros() as usize;
            return Some(path);
        }
        shift += 32;
    }
    if most == 64 {
        path.length = 64;
        return Some(path);
    }
    None
}

/// Return the route's text, `METHOD /path` with `*` in place of numbers: in place, or in SCRATCH. None: leave it to Python.
#[inline(always)]
unsafe fn route(begin: *const u8, method: usize, uri: *const u8, end: *const u8) -> Option<(*const u8, usize)> {
    if method < 1 || method > 16 || uri >= end || *uri != b'/' {
        return None;
    }
    let places = u8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let letters = u8x16_le(u8x16_sub(load16(begin), u8x16_splat(b'A')), u8x16_splat(25));
    if !u8x16_all_true(v128_or(letters, u8x16_ge(places, u8x16_splat(method as u8)))) {
        return None;
    }
    let path = match look(uri, end.offset_from(uri) as usize) {
        Some(path) => path,
        None => {
            let length = long_route((begin, begin.add(method)), (uri, end))?;
            return Some((SCRATCH.as_ptr(), length));
        }
    };
    if path.digits == 0 && path.slashes.count_ones() <= 8 && uri == begin.add(method + 1) {
        return Some((begin, method + 1 + path.length)); // as it stands
    }
    let target = SCRATCH.as_mut_ptr();
    v128_store(target as *mut v128, load16(begin));
    let mut to = method;
    *target.add(to) = b' ';
    to += 1;
    let mut segments = 0;
    let mut rest = path.slashes;
    while rest != 0 {
        let from = rest.trailing_zeros() as usize + 1;
        rest &= rest - 1;
        let until = if rest == 0 { path.length } else { rest.trailing_zeros() as usize };
        if segments == 8 {
            core::ptr::copy_nonoverlapping(b"/...".as_ptr(), target.add(to), 4);
            return Some((target, to + 4));
        }
        segments += 1;
        *target.add(to) = b'/';
        to += 1;
        let length = until - from;
        let bits = if length == 64 { !0 } else { ((1u64 << length) - 1) << from };
        let digits = path.digits & bits;
        let is_number = digits != 0 && (digits == bits || length >= 16 || (length >= 8 && (path.digits | path.hexadecimal) & bits == bits));
        if is_number {
            *target.add(to) = b'*';
            to += 1;
        } else {
            let mut i = 0;
            while i < length {
                v128_store(target.add(to + i) as *mut v128, load16(uri.add(from + i)));
                i += 16;
            }
            to += length;
        }
    }
    Some((target, to))
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

/// The same, byte by byte, for a path of any length, into SCRATCH; return its length.
#[inline(never)]
unsafe fn long_route(method: (*const u8, *const u8), uri: (*const u8, *const u8)) -> Option<usize> {
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
unsafe fn has_backslash(text: *const u8, length: usize) -> bool {
    if length <= 16 {
        return v128_any_true(u8x16_eq(head_of(text, length), u8x16_splat(b'\\')));
    }
    (0..length).any(|at| *text.add(at) == b'\\')
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
        at = find_any(at, field.delimiter);
        let flags = field.flags;
        if flags != 0 && (flags != KEEPS_LIST || *at.sub(1) == b',' || *at.add(1) == b':') && !(flags == IS_NUMBER && is_short_number(from, at)) {
            match odd_field(field, from, at) {
                Some((end, next)) => {
                    *spans.get_unchecked_mut(field.role as usize) = (from, end);
                    at = next;
                    continue;
                }
                None => return (find(at, b'\n').add(1), false),
            }
        }
        if (load64(at) ^ field.begin) & field.mask != 0 {
            return (find(at, b'\n').add(1), false);
        }
        *spans.get_unchecked_mut(field.role as usize) = (from, at);
        at = at.add(field.length as usize);
    }
    if *at == b'\r' && *at.add(1) == b'\n' {
        at = at.add(1);
    }
    if *at != b'\n' {
        return (find(at, b'\n').add(1), false);
    }
    (at.add(1), fields(&spans).is_some())
}

/// Return whether a value is of one to sixteen digits.
#[inline(always)]
unsafe fn is_short_number(from: *const u8, at: *const u8) -> bool {
    let length = at.offset_from(from) as usize;
    let places = u8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let are_digits = u8x16_le(u8x16_sub(load16(from), u8x16_splat(b'0')), u8x16_splat(9));
    length.wrapping_sub(1) < 16 && u8x16_all_true(v128_or(are_digits, u8x16_ge(places, u8x16_splat(length as u8))))
}

/// Return where the value ends and where the next begins, for a field with flags; None: the line does not fit.
#[inline(never)]
unsafe fn odd_field(field: &Field, from: *const u8, mut at: *const u8) -> Option<(*const u8, *const u8)> {
    if field.flags & IS_NUMBER != 0 {
        let is_number = is_short_number(from, at);
        if !is_number && !(at.offset_from(from) == 1 && *from == b'-') {
            return None;
        }
    }
    if field.flags & (KEEPS_LIST | IS_QUOTED) != 0 {
        while *at == field.byte {
            if field.flags & IS_QUOTED != 0 {
                let mut before = at;
                while before > from && *before.sub(1) == b'\\' {
                    before = before.sub(1);
                }
                if at.offset_from(before) & 1 == 0 {
                    break;
                }
                at = find_any(at.add(1), field.delimiter);
            } else if at > from && *at.sub(1) == b',' {
                at = find_any(at.add(1), field.delimiter);
            } else if *at.add(1) == b':' && *at.add(2) == b' ' {
                at = find_any(at.add(3), field.delimiter);
            } else {
                break;
            }
        }
    }
    if field.flags & IS_LAST != 0 {
        let end = if at > from && *at.sub(1) == b'\r' { at.sub(1) } else { at };
        return Some((end, at));
    }
    if !same(at, field.literal.as_ptr(), field.length as usize) {
        return None;
    }
    Some((at, at.add(field.length as usize)))
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
        STAMP_MINUTE = STAMP_SECONDS.div_euclid(60);
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
    let (addr, addr_end) = spans[ADDR];
    let addr_length = addr_end.offset_from(addr) as usize;
    let is_told = addr_length > 1 || (addr_length == 1 && *addr != b'-');
    let mut tries = Tries { count: 0, marks: [0; 3], total: u64::MAX };
    let mut times = [u64::MAX; 3]; // of the only attempt; of several in TIMES_OF
    if is_told {
        tries = if addr_length <= 1024 && is_word(addr, addr_length, true) { one(spans, &mut times)? } else { several(spans)? };
    } else {
        for role in USTATUS..UCONNECT + 3 {
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
            tries.total = micros;
        }
    }
    let (who, who_end) = spans[CLIENT];
    let (host, host_end) = spans[SERVER];
    let (who_length, host_length) = (who_end.offset_from(who) as usize, host_end.offset_from(host) as usize);
    if who_length > 64 || host_length > 255 || !is_word(who, who_length, false) || has_backslash(host, host_length) {
        return None;
    }
    // what was asked for: nothing may be refused after this, since the counters change
    let failed = has_failed as u32;
    let minute = STAMP_MINUTE;
    if HAS[REQUEST] || (HAS[METHOD] && HAS[URI]) {
        let (text, length) = if HAS[REQUEST] {
            let (begin, end) = spans[REQUEST];
            let space = find(begin, b' ');
            if space >= end {
                return None;
            }
            route(begin, space.offset_from(begin) as usize, space.add(1), end)?
        } else {
            route(spans[METHOD].0, spans[METHOD].1.offset_from(spans[METHOD].0) as usize, spans[URI].0, spans[URI].1)?
        };
        let entry = intern(ROUTE, text, length);
        (*entry).total += 1;
        (*entry).failures += failed;
        let id = id_of(ROUTE, entry);
        if tries.total != u64::MAX {
            took(0, id, 0, tries.total);
        }
        if has_failed {
            count(T_ROUTE_STATUS, id, status as u64, 1);
            count(T_ROUTE_MINUTE, id, minute as u64, 1);
        }
    }
    let text = SCRATCH.as_mut_ptr();
    (text as *mut u32).write_unaligned((spans[STATUS].0 as *const u32).read_unaligned());
    let mut length = 3;
    if is_told {
        let (ustatus, ustatus_end) = spans[USTATUS];
        length = append(text, length, addr, addr_length);
        length = append(text, length, ustatus, ustatus_end.offset_from(ustatus) as usize);
        // no byte of a mark may be a line feed, which parts the strings: two hexadecimal digits each
        *text.add(length) = b'A' + (tries.marks[0] >> 4);
        *text.add(length + 1) = b'A' + (tries.marks[0] & 15);
        *text.add(length + 2) = b'A' + (tries.marks[1] >> 4);
        *text.add(length + 3) = b'A' + (tries.marks[1] & 15);
        length += 4;
    }
    let outcome = id_of(OUTCOME, intern(OUTCOME, text, length));
    LINES += 1;
    if when < FIRST {
        FIRST = when;
    }
    if when > LAST {
        LAST = when;
    }
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
    if tries.count == 1 {
        for field in 0..3 {
            if times[field] != u64::MAX {
                took(field + 1, outcome, 0, times[field]);
            }
        }
    } else {
        for attempt in 0..tries.count {
            for field in 0..3 {
                if TIMES_OF[field][attempt] != u64::MAX {
                    took(field + 1, outcome, attempt as u64, TIMES_OF[field][attempt]);
                }
            }
        }
    }
    if who_length > 0 {
        let entry = intern(WHO, who, who_length);
        (*entry).total += 1;
        (*entry).failures += failed;
    }
    if host_length > 0 {
        let entry = intern(HOST, host, host_length);
        (*entry).total += 1;
        (*entry).failures += failed;
    }
    Some(())
}

/// What the attempts of a request have in common: how many, a bit for each that has that time, the sum of the response times.
struct Tries {
    count: usize,
    marks: [u8; 3],
    total: u64,
}

static mut TIMES_OF: [[u64; ATTEMPTS]; 3] = [[0; ATTEMPTS]; 3];

/// Return whether a text is of visible ASCII without quotes and backslashes, and, as an address of an upstream, no list.
#[inline(always)]
unsafe fn is_word(text: *const u8, length: usize, is_upstream: bool) -> bool {
    let mut at = 0;
    while at < length {
        let rest = length - at;
        let block = load16(text.add(at));
        let mut odd = v128_or(
            u8x16_gt(u8x16_sub(block, u8x16_splat(0x21)), u8x16_splat(0x7e - 0x21)),
            v128_or(u8x16_eq(block, u8x16_splat(b'"')), u8x16_eq(block, u8x16_splat(b'\\'))),
        );
        if is_upstream {
            let (comma, bar, semicolon) = (u8x16_splat(b','), u8x16_splat(b'|'), u8x16_splat(b';'));
            odd = v128_or(odd, v128_or(u8x16_eq(block, comma), v128_or(u8x16_eq(block, bar), u8x16_eq(block, semicolon))));
        }
        let bits = u8x16_bitmask(odd) as u32 & if rest >= 16 { 0xffff } else { (1 << rest) - 1 };
        if bits != 0 {
            return false;
        }
        at += 16;
    }
    true
}

#[inline(always)]
unsafe fn one(spans: &[Span; ROLES], times: &mut [u64; 3]) -> Option<Tries> {
    let (ustatus, ustatus_end) = spans[USTATUS];
    match ustatus_end.offset_from(ustatus) {
        3 => {
            digits(ustatus, 3)?;
        }
        1 if *ustatus == b'-' => (),
        _ => return None,
    }
    let mut tries = Tries { count: 1, marks: [0; 3], total: u64::MAX };
    for field in 0..3 {
        if !HAS[UCONNECT + field] {
            continue;
        }
        let (at, end) = spans[UCONNECT + field];
        let (micros, width) = seconds(at, end)?;
        if at.add(width) != end {
            return None;
        }
        times[field] = micros;
        tries.marks[field] = (micros != u64::MAX) as u8;
    }
    tries.total = times[2];
    Some(tries)
}

#[inline(never)]
unsafe fn several(spans: &[Span; ROLES]) -> Option<Tries> {
    let mut tries = Tries { count: 1, marks: [0; 3], total: u64::MAX };
    let (addr, addr_end) = spans[ADDR];
    let mut at = addr;
    while at < addr_end {
        if *at < b' ' || *at >= 0x7f || matches!(*at, b'\\' | b'"' | b'|' | b';') {
            return None;
        }
        if *at == b',' || (*at == b' ' && at.add(1) < addr_end && *at.add(1) == b':') {
            at = at.add(step(at, addr_end)?);
            tries.count += 1;
        } else if *at == b' ' {
            return None;
        } else {
            at = at.add(1);
        }
    }
    if tries.count > ATTEMPTS || addr_end.offset_from(addr) > 1024 {
        return None;
    }
    let (mut at, end) = spans[USTATUS];
    let mut seen = 1;
    loop {
        if at < end && *at == b'-' {
            at = at.add(1);
        } else {
            if end.offset_from(at) < 3 {
                return None;
            }
            digits(at, 3)?;
            at = at.add(3);
        }
        match step(at, end)? {
            0 => break,
            width => at = at.add(width),
        }
        seen += 1;
    }
    if seen != tries.count {
        return None;
    }
    TIMES_OF = [[u64::MAX; ATTEMPTS]; 3];
    for field in 0..3 {
        if !HAS[UCONNECT + field] {
            continue;
        }
        let (mut at, end) = spans[UCONNECT + field];
        let mut i = 0;
        loop {
            let (micros, width) = seconds(at, end)?;
            at = at.add(width);
            if i >= tries.count {
                return None;
            }
            TIMES_OF[field][i] = micros;
            if micros != u64::MAX {
                tries.marks[field] |= 1 << i;
                if field == 2 {
                    tries.total = if tries.total == u64::MAX { micros } else { tries.total + micros };
                }
            }
            i += 1;
            match step(at, end)? {
                0 => break,
                width => at = at.add(width),
            }
        }
        if i != tries.count {
            return None;
        }
    }
    Some(tries)
}

/// Write a text and a tab behind it; return the length then.
#[inline(always)]
unsafe fn append(target: *mut u8, to: usize, text: *const u8, length: usize) -> usize {
    let mut at = 0;
    while at < length {
        v128_store(target.add(to + at) as *mut v128, load16(text.add(at)));
        at += 16;
    }
    *target.add(to + length) = b'\t';
    to + length + 1
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
    REJECTED_COUNT > REJECTS - 128
        || ARENA_USED > ARENA - (256 << 10)
        || USED > COUNTERS - 4096
        || STRINGS.iter().any(|strings| strings.count as usize > IDS - 128)
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
        let mut field = NO_FIELD;
        field.role = role & 127;
        field.length = size as u32;
        field.literal[..size].copy_from_slice(&CONFIG[at + 2..at + 2 + size]);
        field.byte = if size > 0 { field.literal[0] } else { b'\n' };
        field.delimiter = u8x16_splat(field.byte);
        field.begin = load64(field.literal.as_ptr());
        field.mask = if size >= 8 { !0 } else { (1 << (8 * size)) - 1 };
        if role & 128 != 0 {
            field.flags |= IS_NUMBER;
        }
        let role = role & 127;
        if field.byte == b' ' && (ADDR..UCONNECT + 3).contains(&(role as usize)) {
            field.flags |= KEEPS_LIST;
        }
        if IS_JSON && field.byte == b'"' {
            field.flags |= IS_QUOTED;
        }
        if size > 8 {
            field.flags |= IS_LONG;
        }
        if size == 0 {
            field.flags |= IS_LAST;
        }
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
            STRINGS[kind].entries = allocate(32 * IDS) as *mut Entry;
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
    let mut number = 0u32;
    while at < end {
        if number & 63 == 0 && is_full() {
            break;
        }
        number += 1;
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
    if let Some(status) = status_of(start) {
        if !is_failure(status) || (is_only_5xx && status < 500) {
            return find(start, b'\n').add(1);
        }
    }
    let (next, is_read) = line(start);
    if !is_read {
        reject(start, next);
    }
    next
}

/// Return the status of a line that fits as far as that; else None.
unsafe fn status_of(start: *const u8) -> Option<u32> {
    if !same(start, BEGIN.as_ptr(), BEGIN_LENGTH) {
        return None;
    }
    let mut at = start.add(BEGIN_LENGTH);
    for field in PROGRAM.get_unchecked(..FIELD_COUNT) {
        let from = at;
        let found = find_any(at, field.delimiter);
        let (end, next) = if field.flags != 0 { odd_field(field, from, found)? } else { (found, found.add(field.length as usize)) };
        if field.flags == 0 && (load64(found) ^ field.begin) & field.mask != 0 {
            return None;
        }
        if field.role as usize == STATUS {
            return if end.offset_from(from) == 3 { Some(digits(from, 3)? as u32) } else { None };
        }
        at = next;
    }
    None
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

/// Where the entries of a kind are: begin in the arena, length, total and failures in four bytes each, then 16 other bytes.
#[no_mangle]
pub unsafe extern "C" fn strings(kind: usize) -> usize {
    STRINGS[kind].entries as usize
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
