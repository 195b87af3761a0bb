//! The inner loop of `why502 logs`: reads the lines that a `log_format` writes, and counts them, within a WebAssembly sandbox.
//!
//! What it cannot read with certainty it hands back ("rejects"), and Python's own parser decides. `../reading.py` does the same
//! in Python, and the tests compare the two. Memory: one linear memory that only grows; the sandbox bounds every access.
//!
//! Built by `make` in this folder; the result is kept beside it as kernel.wasm.
#![no_std]
#![no_main]

use core::arch::wasm32::*;
use core::mem::size_of;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    unreachable()
}

const INPUT: usize = 2 << 20;
const PAD: usize = 128;
const FIELDS: usize = 64;
const ROLES: usize = 16;
const ATTEMPTS: usize = 8;
const REJECTS: usize = 1 << 15;
const IDS: usize = 1 << 18; // strings of a kind
const ARENA: usize = 24 << 20;
const MOST_COUNTERS: u32 = 1 << 20;
const DENSE: usize = 256; // ids of a kind whose times are counted in arrays
const BUCKETS: usize = 2048;
const MEMOS: usize = 512;
const COMBINED: usize = 8; // fields of the combined format
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
const IS_TIME: u8 = 32; // often the same as that of the line before

const NO_FIELD: Field = Field { delimiter: u64x2(0, 0), begin: 0, mask: 0, length: 0, role: 0, flags: 0, byte: 0, literal: [0; 64] };

/// One string: its first 32 bytes stand in it, so that a short one is compared without leaving its cache line.
#[repr(C, align(64))]
struct Entry {
    begin: u32, // in the arena
    length: u32,
    total: u32,
    failures: u32,
    head: Head,
}

type Head = [v128; 2];

/// How often something was met: table, string, and what the table counts by. In the order of coming, which is that of time.
#[derive(Clone, Copy)]
#[repr(C)]
struct Counter {
    key: u64,
    count: u64,
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
static mut SPANS: [Span; ROLES] = [(0 as _, 0 as _); ROLES]; // the values of the line, by role
static mut TIME: usize = 0; // the role that tells when
static mut IS_COMBINED: bool = false; // the program begins as the combined format does, and more follows
static mut TAIL: usize = 0; // the first of those last fields that single spaces part
static mut FITS: bool = false;
static mut CLIENT_SEEN: Span = (0 as _, 0 as _); // whose hash is known already
static mut CLIENT_CODE: u32 = 0;
static mut CLIENT_SLOT: u64 = 0; // these are read early, so that they are near when they are needed
static mut CLIENT_TOTAL: u32 = 0;
static mut FIELD_COUNT: usize = 0;
static mut BEGIN: [u8; 256 + PAD] = [0; 256 + PAD];
static mut BEGIN_LENGTH: usize = 0;
static mut IS_JSON: bool = false;
static mut IS_EXACT: bool = false;
static mut HAS_ROUTE: bool = false;
static mut HAS: [bool; ROLES] = [false; ROLES];
static mut SINCE: i64 = 0;
static mut UNTIL: i64 = 0;
static mut STATUS_MARK: [u8; 2] = [0; 2];

static mut STRINGS: [Strings; 4] = [NO_STRINGS; 4];
static mut ARENA_AT: *mut u8 = 0 as _;
static mut ARENA_USED: usize = 0;
static mut COUNTERS: *mut Counter = 0 as _;
static mut SLOTS: *mut u32 = 0 as _; // number of the counter + 1
static mut SLOTS_MASK: u32 = 0;
static mut USED: u32 = 0;
static mut TIMES: *mut u32 = 0 as _; // of routes, then connect, header, response of outcomes; of each the buckets
static mut REJECTED: [u32; 2 * REJECTS] = [0; 2 * REJECTS];
static mut REJECTED_COUNT: usize = 0;
static mut FIRST: i64 = i64::MAX;
static mut LAST: i64 = i64::MIN;
static mut LINES: u64 = 0;
static mut PLACES: [u32; 1 << 16] = [0; 1 << 16];
static mut SCRATCH: [u8; 8192 + PAD] = [0; 8192 + PAD];
static mut STAMP: [u8; 48] = [0; 48];
static mut STAMP_LENGTH: usize = 0;
static mut STAMP_SEEN: *const u8 = 0 as _; // where it was met again
static mut STAMP_SECONDS: i64 = 0;
static mut STAMP_MINUTE: i64 = 0;
static mut MINUTE: i64 = -1;
static mut OF_MINUTE: *mut u32 = 0 as _; // outcome -> lines of the current minute
static mut TOUCHED: *mut u32 = 0 as _;
static mut TOUCHED_COUNT: usize = 0;
static mut MEMO: [Memo; MEMOS] = [NO_MEMO; MEMOS];
static mut ROOM: *mut u8 = 0 as _; // for what goes in or out
static mut ROOM_SIZE: usize = 0;
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

/// Return where the line ends: its line feed.
#[inline(always)]
unsafe fn find_feed(mut at: *const u8) -> *const u8 {
    let feed = u8x16_splat(b'\n');
    loop {
        let (a, b) = (u8x16_eq(load16(at), feed), u8x16_eq(load16(at.add(16)), feed));
        let (c, d) = (u8x16_eq(load16(at.add(32)), feed), u8x16_eq(load16(at.add(48)), feed));
        if v128_any_true(v128_or(v128_or(a, b), v128_or(c, d))) {
            return at.add((bits(a, b) | bits(c, d) << 32).trailing_zeros() as usize);
        }
        at = at.add(64);
    }
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

/// A window on it is a mask for the first bytes of a vector.
static MASK: [u8; 64] = {
    let mut mask = [0; 64];
    let mut at = 0;
    while at < 32 {
        mask[at] = 0xff;
        at += 1;
    }
    mask
};

/// Return the first bytes of a text, and zeros behind it.
#[inline(always)]
unsafe fn head_of(text: *const u8, length: usize) -> Head {
    let mask = MASK.as_ptr().add(32 - if length > 32 { 32 } else { length });
    [v128_and(load16(text), load16(mask)), v128_and(load16(text.add(16)), load16(mask.add(16)))]
}

#[inline(always)]
fn is_same(a: &Head, b: &Head) -> bool {
    !v128_any_true(v128_or(v128_xor(a[0], b[0]), v128_xor(a[1], b[1])))
}

const K: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline(always)]
fn hash(head: &Head, more: u64) -> u64 {
    let a = (u64x2_extract_lane::<0>(head[0]) ^ u64x2_extract_lane::<0>(head[1]).rotate_left(29) ^ more).wrapping_mul(K);
    let b = (u64x2_extract_lane::<1>(head[0]) ^ u64x2_extract_lane::<1>(head[1]).rotate_left(29)).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    let value = a ^ (a >> 32) ^ b ^ (b >> 29);
    value.wrapping_mul(K)
}

#[inline(always)]
unsafe fn code_of(head: &Head, text: *const u8, length: usize) -> u32 {
    let mut value = hash(head, length as u64);
    let mut at = 32;
    while at < length {
        // the last eight bytes overlap those before
        let from = if at + 8 <= length { at } else { length - 8 };
        value = (value ^ (value >> 32) ^ load64(text.add(from))).wrapping_mul(K);
        at += 8;
    }
    (value >> 32) as u32
}

/// Return a string that was met before, else null.
#[inline(always)]
unsafe fn known(strings: &Strings, text: *const u8, length: usize, head: &Head, code: u32) -> *mut Entry {
    let mut slot = code;
    loop {
        slot &= strings.mask;
        let found = *strings.slots.add(slot as usize);
        if found == 0 {
            return 0 as _;
        }
        if (found >> 32) as u32 == code {
            let entry = strings.entries.add(found as u32 as usize - 1);
            if (*entry).length as usize == length
                && is_same(&(*entry).head, head)
                && (length <= 32 || same(ARENA_AT.add((*entry).begin as usize + 32), text.add(32), length - 32))
            {
                return entry;
            }
        }
        slot += 1;
    }
}

/// Return a string, a new one where it is met the first time.
#[inline(never)]
unsafe fn intern(kind: usize, text: *const u8, length: usize) -> *mut Entry {
    let strings = STRINGS.get_unchecked(kind);
    let head = head_of(text, length);
    let code = code_of(&head, text, length);
    let entry = known(strings, text, length, &head, code);
    if entry.is_null() { add_string(kind, text, length, code) } else { entry }
}

#[inline(always)]
unsafe fn id_of(kind: usize, entry: *mut Entry) -> u32 {
    entry.offset_from(STRINGS[kind].entries) as u32
}

#[inline(never)]
unsafe fn add_string(kind: usize, text: *const u8, length: usize, code: u32) -> *mut Entry {
    let strings = &mut STRINGS[kind];
    let mut slot = code & strings.mask;
    while *strings.slots.add(slot as usize) != 0 {
        slot = (slot + 1) & strings.mask;
    }
    let id = strings.count;
    strings.count += 1;
    *strings.slots.add(slot as usize) = (code as u64) << 32 | (id as u64 + 1);
    let entry = strings.entries.add(id as usize);
    (*entry).begin = ARENA_USED as u32;
    (*entry).length = length as u32;
    (*entry).total = 0;
    (*entry).failures = 0;
    (*entry).head = head_of(text, length);
    core::ptr::copy_nonoverlapping(text, ARENA_AT.add(ARENA_USED), length);
    ARENA_USED += length + 1;
    *ARENA_AT.add(ARENA_USED - 1) = b'\n';
    if kind == OUTCOME {
        *OF_MINUTE.add(id as usize) = 0;
    }
    if (kind == ROUTE || kind == OUTCOME) && (id as usize) < DENSE {
        let tables: &[usize] = if kind == ROUTE { &[0] } else { &[1, 2, 3] };
        for table in tables {
            core::ptr::write_bytes(TIMES.add((*table * DENSE + id as usize) * BUCKETS), 0, BUCKETS);
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

/// Return which counter has a key, a new one where it is met the first time.
#[inline(always)]
unsafe fn slot_of(key: u64) -> *mut u32 {
    let mut slot = mix(key) & SLOTS_MASK;
    loop {
        let found = SLOTS.add(slot as usize);
        if *found == 0 || (*COUNTERS.add(*found as usize - 1)).key == key {
            return found;
        }
        slot = (slot + 1) & SLOTS_MASK;
    }
}

#[inline(never)]
unsafe fn count(table: u64, a: u32, b: u64, by: u64) {
    let key = table << 60 | (a as u64) << 36 | b;
    let slot = slot_of(key);
    if *slot != 0 {
        (*COUNTERS.add(*slot as usize - 1)).count += by;
        return;
    }
    *COUNTERS.add(USED as usize) = Counter { key, count: by };
    USED += 1;
    *slot = USED;
    if USED * 2 > SLOTS_MASK {
        let (old, size) = (COUNTERS, USED as usize);
        SLOTS_MASK = SLOTS_MASK * 2 + 1;
        SLOTS = allocate(4 * (SLOTS_MASK as usize + 1)) as *mut u32;
        COUNTERS = allocate(size_of::<Counter>() * (size * 2 + 2)) as *mut Counter;
        core::ptr::copy_nonoverlapping(old, COUNTERS, size);
        core::ptr::write_bytes(SLOTS, 0, SLOTS_MASK as usize + 1);
        for number in 0..size {
            *slot_of((*COUNTERS.add(number)).key) = number as u32 + 1;
        }
    }
}

/// Return the bucket of a time in microseconds: 64 for each doubling. With IS_EXACT each time is its own.
#[inline(always)]
unsafe fn bucket(micros: u64) -> u64 {
    if IS_EXACT {
        return micros;
    }
    let shift = 57 - (micros | 64).leading_zeros() as u64;
    (shift << 6) + (micros >> shift)
}

/// Count a time of an outcome or (table 0) a route; u64::MAX is none.
#[inline(always)]
unsafe fn took(table: usize, id: u32, micros: u64) {
    if micros == u64::MAX {
        return;
    }
    if IS_EXACT || id as usize >= DENSE {
        return took_rarely(table, id, 0, micros);
    }
    let at = bucket(if micros > LONGEST { LONGEST } else { micros });
    *TIMES.add((table * DENSE + id as usize) * BUCKETS + at as usize) += 1;
}

#[inline(never)]
unsafe fn took_rarely(table: usize, id: u32, attempt: u64, micros: u64) {
    let at = bucket(if micros > LONGEST { LONGEST } else { micros });
    if attempt == 0 && (id as usize) < DENSE && !IS_EXACT {
        *TIMES.add((table * DENSE + id as usize) * BUCKETS + at as usize) += 1;
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
    if *clock.add(2) != b':' || *clock.add(5) != b':' || h > 23 || m > 59 || s > 59 || !(1970..=9998).contains(&y) || !(1..=12).contains(&mo) {
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
            digits(at, 10).filter(|seconds| *seconds > 0)
        }
    }
}

/// Return what `seconds` does of a whole value, as nginx writes it: `-`, or `0.000` to `9999.999`. None: look closer.
#[inline(always)]
unsafe fn plain_seconds((at, end): Span) -> Option<u64> {
    let length = end.offset_from(at) as usize;
    if length.wrapping_sub(5) > 3 {
        return if length == 1 && *at == b'-' { Some(u64::MAX) } else { None };
    }
    // eight bytes: digits, of which the first ones may be missing, a point, three digits
    let text = (load64(end.sub(8)) ^ 0x3030_302e_3030_3030) & (!0 << (64 - 8 * length));
    if (text | text.wrapping_add(0x7676_767f_7676_7676)) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = (text.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
    Some((fours & 0xffff) * 1_000_000 + (fours >> 32) * 1000)
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

#[inline(always)]
fn bits(a: v128, b: v128) -> u64 {
    (u8x16_bitmask(a) as u32 | (u8x16_bitmask(b) as u32) << 16) as u64
}

#[inline(always)]
fn is(block: v128, byte: u8) -> v128 {
    u8x16_eq(block, u8x16_splat(byte))
}

#[inline(always)]
fn are_digits(block: v128) -> v128 {
    u8x16_le(u8x16_sub(block, u8x16_splat(b'0')), u8x16_splat(9))
}

/// Return where a path (or what the kernel leaves to others: a backslash) may end.
#[inline(always)]
fn may_end(block: v128) -> v128 {
    let ends = v128_or(v128_or(is(block, b' '), is(block, b'?')), v128_or(is(block, b'#'), is(block, b';')));
    v128_or(ends, is(block, b'\\'))
}

/// A window on it is a vector with one asterisk.
static ASTERISK: [u8; 64] = {
    let mut found = [0; 64];
    found[32] = b'*';
    found
};

/// Return the route, `METHOD /path` with `*` in place of numbers. Null: leave it to Python.
#[inline(never)]
unsafe fn route(begin: *const u8, method: usize, uri: *const u8, end: *const u8) -> *mut Entry {
    if method.wrapping_sub(1) > 15 || uri >= end || *uri != b'/' {
        return 0 as _;
    }
    let letters = u8x16_le(u8x16_sub(load16(begin), u8x16_splat(b'A')), u8x16_splat(25));
    if (!(u8x16_bitmask(letters) as u32) << (32 - method)) != 0 {
        return 0 as _;
    }
    // a bit for each of the first 64 bytes
    let (a, b) = (load16(uri), load16(uri.add(16)));
    let mut ends = bits(may_end(a), may_end(b));
    let mut slashes = bits(is(a, b'/'), is(b, b'/'));
    let mut digits = bits(are_digits(a), are_digits(b));
    let most = end.offset_from(uri) as usize;
    if ends == 0 && most > 32 {
        let (a, b) = (load16(uri.add(32)), load16(uri.add(48)));
        ends = bits(may_end(a), may_end(b)) << 32;
        slashes |= bits(is(a, b'/'), is(b, b'/')) << 32;
        digits |= bits(are_digits(a), are_digits(b)) << 32;
    }
    if most < 64 {
        ends |= 1 << most;
    }
    let size = ends.trailing_zeros() as usize; // of the path
    let inside = (ends ^ ends.wrapping_sub(1)) >> 1;
    slashes &= inside;
    digits &= inside;
    if ends == 0 || (size < most && *uri.add(size) == b'\\') || slashes.count_ones() > 8 {
        return match long_route((begin, begin.add(method)), (uri, end)) {
            Some(length) => intern(ROUTE, SCRATCH.as_ptr(), length),
            None => 0 as _,
        };
    }
    let target = SCRATCH.as_mut_ptr();
    let (mut to, mut copied) = (target, begin);
    if uri != begin.add(method + 1) {
        v128_store(target as *mut v128, load16(begin));
        *target.add(method) = b' ';
        to = target.add(method + 1);
        copied = uri;
    }
    while digits != 0 {
        // the segment with the first digit
        let first = digits.trailing_zeros();
        let from = 64 - (slashes & ((1 << first) - 1)).leading_zeros() as usize;
        let until = ((slashes | !inside) & (!0 << first)).trailing_zeros() as usize;
        let segment = ((1u64 << until) - 1) & (!0 << from);
        let length = until - from;
        let is_number = digits & segment == segment || length >= 16 || (length >= 8 && is_hexadecimal(uri.add(from), length));
        digits &= !segment;
        if !is_number {
            continue;
        }
        if until == size && copied == begin && method + from < 31 {
            // the usual place of an only number: look it up without writing it down
            let length = method + 1 + from;
            let (head, shift) = (head_of(begin, length), ASTERISK.as_ptr().add(32 - length));
            let head = [v128_or(head[0], load16(shift)), v128_or(head[1], load16(shift.add(16)))];
            let entry = known(&STRINGS[ROUTE], target, length + 1, &head, code_of(&head, target, length + 1));
            if !entry.is_null() {
                return entry;
            }
        }
        to = copy(to, copied, uri.add(from));
        *to = b'*';
        to = to.add(1);
        copied = uri.add(until);
    }
    if copied == begin {
        return intern(ROUTE, begin, method + 1 + size); // as it stands
    }
    to = copy(to, copied, uri.add(size));
    intern(ROUTE, target, to.offset_from(target) as usize)
}

/// Copy what lies between two places (and perhaps some bytes more); return where it ends then.
#[inline(always)]
unsafe fn copy(to: *mut u8, from: *const u8, end: *const u8) -> *mut u8 {
    let length = end.offset_from(from) as usize;
    let mut at = 0;
    while at < length {
        v128_store(to.add(at) as *mut v128, load16(from.add(at)));
        at += 16;
    }
    to.add(length)
}

#[inline(never)]
unsafe fn is_hexadecimal(text: *const u8, length: usize) -> bool {
    (0..length).all(|at| CLASSES[*text.add(at) as usize] < 4)
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
        return v128_any_true(is(head_of(text, length)[0], b'\\'));
    }
    (0..length).any(|at| *text.add(at) == b'\\')
}

#[inline(always)]
fn is_failure(status: u32) -> bool {
    status >= 500 || status == 499 || status == 0 || status == 9 || status == 460 || status == 463
}

type Span = (*const u8, *const u8);

/// Count one line, or reject it. Return where the next begins.
#[inline(always)]
unsafe fn line(begin: *const u8) -> *const u8 {
    let next = part(begin).add(1);
    if !(FITS && fields()) {
        reject(begin, next);
    }
    next
}

/// Part a line into SPANS. Return its line feed; FITS tells whether it fits.
#[inline(never)]
unsafe fn part(begin: *const u8) -> *const u8 {
    if IS_COMBINED {
        let rest = part_combined(begin);
        if !rest.is_null() {
            if TAIL == COMBINED {
                let feed = part_tail(rest);
                if !feed.is_null() {
                    FITS = true;
                    return feed;
                }
            }
            let feed = find_feed(rest);
            FITS = part_fields(rest, COMBINED, feed);
            return feed;
        }
    }
    let feed = find_feed(begin);
    FITS = same(begin, BEGIN.as_ptr(), BEGIN_LENGTH) && part_fields(begin.add(BEGIN_LENGTH), 0, feed);
    feed
}

/// Part a line from a field on. Return whether it fits.
#[inline(never)]
unsafe fn part_fields(mut at: *const u8, first: usize, feed: *const u8) -> bool {
    for number in first..FIELD_COUNT {
        if number == TAIL && part_tail(at) == feed {
            return true;
        }
        let field = PROGRAM.get_unchecked(number);
        let from = at;
        let flags = field.flags;
        if flags & IS_TIME != 0 && is_stamp(at) && *at.add(STAMP_LENGTH) == field.byte {
            STAMP_SEEN = at;
            at = at.add(STAMP_LENGTH);
        } else {
            at = find_any(at, field.delimiter);
        }
        let span = SPANS.get_unchecked_mut(field.role as usize);
        let rest = flags & !IS_TIME;
        if rest != 0 && (rest != KEEPS_LIST || *at.sub(1) == b',' || *at.add(1) == b':') && !(rest == IS_NUMBER && is_short_number(from, at)) {
            match odd_field(field, from, at) {
                Some((end, next)) => {
                    *span = (from, end);
                    at = next;
                    continue;
                }
                None => return false,
            }
        }
        if (load64(at) ^ field.begin) & field.mask != 0 {
            return false;
        }
        *span = (from, at);
        at = at.add(field.length as usize);
    }
    at == feed || (at.add(1) == feed && *at == b'\r')
}

/// Return a bit for each of the next 64 bytes that is this one.
#[inline(always)]
unsafe fn bits64(at: *const u8, byte: u8) -> u64 {
    let low = bits(is(load16(at), byte), is(load16(at.add(16)), byte));
    low | bits(is(load16(at.add(32)), byte), is(load16(at.add(48)), byte)) << 32
}

/// Return where a quote or a line feed comes first among the next 128 bytes, or their end.
#[inline(always)]
unsafe fn find_quote(at: *const u8) -> *const u8 {
    let ends = |place: *const u8| v128_or(is(load16(place), b'"'), is(load16(place), b'\n'));
    let ends64 = |place: *const u8| bits(ends(place), ends(place.add(16))) | bits(ends(place.add(32)), ends(place.add(48))) << 32;
    let found = ends64(at);
    if found != 0 {
        return at.add(found.trailing_zeros() as usize);
    }
    at.add(64 + ends64(at.add(64)).trailing_zeros() as usize)
}

/// Return whether a literal stands somewhere.
#[inline(always)]
unsafe fn stands(at: *const u8, literal: &[u8]) -> bool {
    let mut wanted = 0u32;
    for (i, byte) in literal.iter().enumerate() {
        wanted |= (*byte as u32) << (8 * i);
    }
    ((at as *const u32).read_unaligned() ^ wanted) << (32 - 8 * literal.len()) == 0
}

/// Part the fields of the combined format, as by far the most lines have them; return where the next begins. Null: look closer.
#[inline(always)]
unsafe fn part_combined(begin: *const u8) -> *const u8 {
    let null = 0 as *const u8;
    let block = load16(begin);
    let found = u8x16_bitmask(v128_or(is(block, b' '), is(block, b'\n'))) as u32 | 1 << 16;
    let user = begin.add(found.trailing_zeros() as usize);
    let time = user.add(6);
    if load64(user) & 0xffff_ffff_ffff != u64::from_le_bytes(*b" - - [\0\0") || STAMP_LENGTH < 16 || !is_stamp(time) {
        return null;
    }
    let length = user.offset_from(begin) as usize;
    CLIENT_SEEN = (begin, user);
    CLIENT_CODE = code_of(&head_of(begin, length), begin, length);
    CLIENT_SLOT = *STRINGS[WHO].slots.add((CLIENT_CODE & STRINGS[WHO].mask) as usize);
    let ended = time.add(STAMP_LENGTH);
    let request = ended.add(3);
    let status = find_quote(request);
    let size = status.add(6);
    let digits = (!(u8x16_bitmask(are_digits(load16(size))) as u32)).trailing_zeros() as usize;
    if !stands(ended, b"] \"") || !stands(status, b"\" ") || *status.add(5) != b' ' || digits == 0 || !stands(size.add(digits), b" \"") {
        return null;
    }
    let referer = size.add(digits + 2);
    let agent = find_quote(referer);
    let end = find_quote(agent.add(3));
    if !stands(agent, b"\" \"") || (load64(end) ^ PROGRAM[COMBINED - 1].begin) & PROGRAM[COMBINED - 1].mask != 0 {
        return null;
    }
    STAMP_SEEN = time;
    SPANS[TIME_LOCAL] = (time, ended);
    SPANS[CLIENT] = (begin, user);
    SPANS[REQUEST] = (request, status);
    SPANS[STATUS] = (status.add(2), status.add(5));
    end.add(PROGRAM[COMBINED - 1].length as usize)
}

/// Part fields that single spaces part up to the end of the line, which is not far. Return its line feed. Null: look closer.
#[inline(always)]
unsafe fn part_tail(begin: *const u8) -> *const u8 {
    let feeds = bits64(begin, b'\n');
    let feed = begin.add(feeds.trailing_zeros() as usize);
    let mut ends = (bits64(begin, b' ') | feeds) & (feeds ^ feeds.wrapping_sub(1));
    if feeds == 0 || ends.count_ones() as usize != FIELD_COUNT - TAIL || *feed.sub(1) == b'\r' {
        return 0 as _;
    }
    let mut from = begin;
    for field in PROGRAM.get_unchecked(TAIL..FIELD_COUNT) {
        let end = begin.add(ends.trailing_zeros() as usize);
        ends &= ends - 1;
        if *end.sub(1) == b',' || *end.add(1) == b':' {
            return 0 as _;
        }
        *SPANS.get_unchecked_mut(field.role as usize) = (from, end);
        from = end.add(1);
    }
    feed
}

/// Return whether the time of the line before stands here, too.
#[inline(always)]
unsafe fn is_stamp(at: *const u8) -> bool {
    if STAMP_LENGTH < 16 {
        return STAMP_LENGTH != 0 && same(at, STAMP.as_ptr(), STAMP_LENGTH);
    }
    let last = STAMP_LENGTH - 16;
    let a = v128_xor(load16(at), load16(STAMP.as_ptr()));
    !v128_any_true(v128_or(a, v128_xor(load16(at.add(last)), load16(STAMP.as_ptr().add(last)))))
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

/// Return whether SPANS hold the time of the line before, or another; read it then.
#[inline(always)]
unsafe fn read_stamp() -> bool {
    let (begin, end) = SPANS[TIME];
    if begin == STAMP_SEEN {
        return true;
    }
    let length = end.offset_from(begin) as usize;
    if length == STAMP_LENGTH && same(begin, STAMP.as_ptr(), length) {
        return true;
    }
    if length > 32 {
        return false;
    }
    STAMP_LENGTH = 0;
    if let Some(seconds) = read_time(TIME, begin, length) {
        core::ptr::copy_nonoverlapping(begin, STAMP.as_mut_ptr(), length);
        STAMP_SECONDS = seconds;
        STAMP_MINUTE = seconds.div_euclid(60);
        STAMP_LENGTH = length;
    }
    STAMP_LENGTH != 0
}

/// An outcome that was met before, by what it was made of.
#[derive(Clone, Copy)]
struct Memo {
    addr: Head,
    key: u64, // status, status of the attempt, which times it has, length of its address
    outcome: u32,
    failed: u32,
}

const UNKNOWN: u32 = u32::MAX;
const NO_MEMO: Memo = Memo { addr: [u64x2(0, 0); 2], key: 0, outcome: 0, failed: 0 }; // no status is zeros

/// A request of one attempt, or of none, as most are: the times of the attempt, and what its outcome is remembered by.
struct Plain {
    times: [u64; 3],
    addr: Head,
    key: u64,
}

/// Return what SPANS hold, if it is plain.
#[inline(always)]
unsafe fn plain() -> Option<Plain> {
    let (addr, addr_end) = SPANS[ADDR];
    let length = addr_end.offset_from(addr) as usize;
    let (status, status_end) = SPANS[STATUS];
    if status_end.offset_from(status) != 3 || length > 32 {
        return None;
    }
    let key = (status as *const u32).read_unaligned() as u64 & 0xff_ffff;
    if length == 0 || (length == 1 && *addr == b'-') {
        return if has_no_attempt() { Some(Plain { times: [u64::MAX; 3], addr: [u64x2(0, 0); 2], key }) } else { None };
    }
    let (ustatus, ustatus_end) = SPANS[USTATUS];
    let its = match ustatus_end.offset_from(ustatus) {
        3 => (ustatus as *const u32).read_unaligned() as u64 & 0xff_ffff,
        1 => *ustatus as u64,
        _ => return None,
    };
    let connect = if HAS[UCONNECT] { plain_seconds(SPANS[UCONNECT])? } else { u64::MAX };
    let header = if HAS[UCONNECT + 1] { plain_seconds(SPANS[UCONNECT + 1])? } else { u64::MAX };
    let response = if HAS[UCONNECT + 2] { plain_seconds(SPANS[UCONNECT + 2])? } else { u64::MAX };
    let marks = (connect != u64::MAX) as u64 | ((header != u64::MAX) as u64) << 1;
    let key = key | its << 24 | marks << 56 | (length as u64) << 58;
    Some(Plain { times: [connect, header, response], addr: head_of(addr, length), key })
}

#[inline(never)]
unsafe fn has_no_attempt() -> bool {
    (USTATUS..UCONNECT + 3).all(|role| {
        let (begin, end) = SPANS[role];
        end == begin || (*begin == b'-' && begin.add(1) == end)
    })
}

/// Check how a request ended that nothing is remembered of; its attempts then stand in TRIES and TIMES_OF. None: leave it to Python.
#[inline(never)]
unsafe fn ended() -> Option<u32> {
    let (begin, end) = SPANS[STATUS];
    if end.offset_from(begin) != 3 {
        return None;
    }
    let status = digits(begin, 3)? as u32;
    TRIES = NO_TRIES;
    let (addr, addr_end) = SPANS[ADDR];
    let length = addr_end.offset_from(addr) as usize;
    if length > 1 || (length == 1 && *addr != b'-') {
        TRIES = if length <= 1024 && is_word(addr, length, true) { one()? } else { several()? };
    } else if !has_no_attempt() {
        return None;
    }
    Some(status)
}

/// Return the number of the outcome that SPANS and TRIES hold.
#[inline(never)]
unsafe fn outcome() -> u32 {
    let tries = &TRIES;
    let text = SCRATCH.as_mut_ptr();
    (text as *mut u32).write_unaligned((SPANS[STATUS].0 as *const u32).read_unaligned());
    let mut length = 3;
    if tries.count > 0 {
        for role in [ADDR, USTATUS] {
            let (begin, end) = SPANS[role];
            length = append(text, length, begin, end.offset_from(begin) as usize);
        }
        // no byte of a mark may be a line feed, which parts the strings: two hexadecimal digits each
        *text.add(length) = b'A' + (tries.marks[0] >> 4);
        *text.add(length + 1) = b'A' + (tries.marks[0] & 15);
        *text.add(length + 2) = b'A' + (tries.marks[1] >> 4);
        *text.add(length + 3) = b'A' + (tries.marks[1] & 15);
        length += 4;
    }
    id_of(OUTCOME, intern(OUTCOME, text, length))
}

/// Count the line that SPANS hold. Return whether it was read.
#[inline(never)]
unsafe fn fields() -> bool {
    if !read_stamp() {
        return false;
    }
    if STAMP_SECONDS < SINCE || STAMP_SECONDS > UNTIL {
        return true;
    }
    // by whom: the hash now, what it leads to later
    let (who, who_end) = SPANS[CLIENT];
    let who_length = who_end.offset_from(who) as usize;
    if CLIENT_SEEN != SPANS[CLIENT] {
        if who_length > 64 {
            return false;
        }
        CLIENT_CODE = code_of(&head_of(who, who_length), who, who_length);
        CLIENT_SLOT = *STRINGS[WHO].slots.add((CLIENT_CODE & STRINGS[WHO].mask) as usize);
    }
    CLIENT_TOTAL = (*STRINGS[WHO].entries.add((CLIENT_SLOT as u32).saturating_sub(1) as usize)).total;
    // how it ended
    let plain = plain();
    let (mut ended_as, mut has_failed, mut total) = (UNKNOWN, 0, u64::MAX);
    let mut memo = MEMO.as_mut_ptr();
    if let Some(plain) = &plain {
        memo = memo.add((hash(&plain.addr, plain.key) >> 55) as usize);
        if (*memo).key == plain.key && is_same(&(*memo).addr, &plain.addr) {
            ended_as = (*memo).outcome;
            has_failed = (*memo).failed;
            total = plain.times[2];
        }
    }
    let is_plain = ended_as != UNKNOWN;
    if !is_plain {
        match ended() {
            Some(status) => has_failed = is_failure(status) as u32,
            None => return false,
        }
        total = TRIES.total;
    }
    if HAS[RTIME] {
        match plain_seconds(SPANS[RTIME]).or_else(|| whole_seconds(SPANS[RTIME])) {
            Some(u64::MAX) => (),
            Some(micros) => total = micros,
            None => return false,
        }
    }
    let (host, host_end) = SPANS[SERVER];
    let host_length = host_end.offset_from(host) as usize;
    if who_length > 64 || host_length > 255 || has_backslash(host, host_length) {
        return false;
    }
    let mut client = known(&STRINGS[WHO], who, who_length, &head_of(who, who_length), CLIENT_CODE);
    if client.is_null() && !is_word(who, who_length, false) {
        return false;
    }
    // what was asked for: nothing may be refused after this, since the counters change
    if HAS_ROUTE {
        let route = if HAS[REQUEST] {
            let (begin, end) = SPANS[REQUEST];
            let method = (u8x16_bitmask(is(load16(begin), b' ')) as u32 | 1 << 17).trailing_zeros() as usize; // 17: too long for one
            route(begin, method, begin.add(method + 1), end)
        } else {
            let ((begin, end), (uri, uri_end)) = (SPANS[METHOD], SPANS[URI]);
            route(begin, end.offset_from(begin) as usize, uri, uri_end)
        };
        if route.is_null() {
            return false;
        }
        (*route).total += 1;
        (*route).failures += has_failed;
        took(0, id_of(ROUTE, route), total);
        if has_failed != 0 {
            count_failure(id_of(ROUTE, route));
        }
    }
    if !is_plain {
        ended_as = outcome();
        if let Some(Plain { addr, key, .. }) = plain {
            *memo = Memo { addr, key, outcome: ended_as, failed: has_failed };
        }
        count_times(ended_as);
    } else if let Some(plain) = plain {
        took(1, ended_as, plain.times[0]);
        took(2, ended_as, plain.times[1]);
        took(3, ended_as, plain.times[2]);
    }
    LINES += 1;
    FIRST = if STAMP_SECONDS < FIRST { STAMP_SECONDS } else { FIRST };
    LAST = if STAMP_SECONDS > LAST { STAMP_SECONDS } else { LAST };
    if STAMP_MINUTE != MINUTE {
        flush();
        MINUTE = STAMP_MINUTE;
    }
    let of_minute = OF_MINUTE.add(ended_as as usize);
    if *of_minute == 0 {
        *TOUCHED.add(TOUCHED_COUNT) = ended_as;
        TOUCHED_COUNT += 1;
    }
    *of_minute += 1;
    if who_length > 0 {
        if client.is_null() {
            client = add_string(WHO, who, who_length, CLIENT_CODE);
        }
        (*client).total += 1;
        (*client).failures += has_failed;
    }
    if host_length > 0 {
        let entry = intern(HOST, host, host_length);
        (*entry).total += 1;
        (*entry).failures += has_failed;
    }
    true
}

#[inline(never)]
unsafe fn count_failure(route: u32) {
    count(T_ROUTE_STATUS, route, digits(SPANS[STATUS].0, 3).unwrap_or(0) as u64, 1);
    count(T_ROUTE_MINUTE, route, STAMP_MINUTE as u64, 1);
}

/// Count the times of the attempts that TRIES and TIMES_OF hold.
#[inline(never)]
unsafe fn count_times(outcome: u32) {
    for attempt in 0..TRIES.count {
        for field in 0..3 {
            if TIMES_OF[field][attempt] != u64::MAX {
                took_rarely(field + 1, outcome, attempt as u64, TIMES_OF[field][attempt]);
            }
        }
    }
}

#[inline(never)]
unsafe fn whole_seconds((begin, end): Span) -> Option<u64> {
    let (micros, width) = seconds(begin, end)?;
    if begin.add(width) == end { Some(micros) } else { None }
}

/// What the attempts of a request have in common: how many, a bit for each that has that time, the sum of the response times.
struct Tries {
    count: usize,
    marks: [u8; 3],
    total: u64,
}

const NO_TRIES: Tries = Tries { count: 0, marks: [0; 3], total: u64::MAX };

static mut TRIES: Tries = NO_TRIES;
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

#[inline(never)]
unsafe fn one() -> Option<Tries> {
    let (ustatus, ustatus_end) = SPANS[USTATUS];
    match ustatus_end.offset_from(ustatus) {
        3 => {
            digits(ustatus, 3)?;
        }
        1 if *ustatus == b'-' => (),
        _ => return None,
    }
    let mut tries = Tries { count: 1, marks: [0; 3], total: u64::MAX };
    TIMES_OF = [[u64::MAX; ATTEMPTS]; 3];
    for field in 0..3 {
        if !HAS[UCONNECT + field] {
            continue;
        }
        let micros = whole_seconds(SPANS[UCONNECT + field])?;
        TIMES_OF[field][0] = micros;
        tries.marks[field] = (micros != u64::MAX) as u8;
    }
    tries.total = TIMES_OF[2][0];
    Some(tries)
}

#[inline(never)]
unsafe fn several() -> Option<Tries> {
    let mut tries = Tries { count: 1, marks: [0; 3], total: u64::MAX };
    let (addr, addr_end) = SPANS[ADDR];
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
    let (mut at, end) = SPANS[USTATUS];
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
        let (mut at, end) = SPANS[UCONNECT + field];
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
        || USED > MOST_COUNTERS - 4096
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
    SPANS = [(CONFIG.as_ptr(), CONFIG.as_ptr()); ROLES];
    HAS_ROUTE = HAS[REQUEST] || (HAS[METHOD] && HAS[URI]);
    TIME = if HAS[TIME_LOCAL] { TIME_LOCAL } else if HAS[MSEC] { MSEC } else { TIME_ISO };
    let combined: [(usize, &[u8]); COMBINED] = [
        (CLIENT, b" - "),
        (0, b" ["),
        (TIME_LOCAL, b"] \""),
        (REQUEST, b"\" "),
        (STATUS, b" "),
        (0, b" \""),
        (0, b"\" \""),
        (0, if FIELD_COUNT > COMBINED { b"\" " } else { b"\"" }),
    ];
    IS_COMBINED = BEGIN_LENGTH == 0 && FIELD_COUNT >= COMBINED && !IS_JSON && TIME == TIME_LOCAL;
    for (field, (role, literal)) in PROGRAM.iter().zip(combined) {
        IS_COMBINED &= field.role as usize == role && field.literal[..field.length as usize] == *literal;
    }
    TAIL = FIELD_COUNT;
    while TAIL > 0 {
        let field = &PROGRAM[TAIL - 1];
        if field.flags & !KEEPS_LIST != if TAIL == FIELD_COUNT { IS_LAST } else { 0 } || (TAIL < FIELD_COUNT && (field.length != 1 || field.byte != b' ')) {
            break;
        }
        TAIL -= 1;
    }
    if TAIL == FIELD_COUNT {
        TAIL = FIELDS;
    }
    for field in &mut PROGRAM[..FIELD_COUNT] {
        if field.role as usize == TIME && field.flags & IS_LAST == 0 {
            field.flags |= IS_TIME;
        }
    }
    if COUNTERS.is_null() {
        ARENA_AT = allocate(ARENA + PAD);
        for kind in 0..4 {
            STRINGS[kind].entries = allocate(size_of::<Entry>() * IDS) as *mut Entry;
            STRINGS[kind].mask = (1 << 12) - 1;
            STRINGS[kind].slots = allocate(8 << 12) as *mut u64;
        }
        OF_MINUTE = allocate(4 * IDS) as *mut u32;
        TOUCHED = allocate(4 * IDS) as *mut u32;
        TIMES = allocate(4 * 4 * DENSE * BUCKETS) as *mut u32;
        SLOTS_MASK = (1 << 16) - 1;
        SLOTS = allocate(4 << 16) as *mut u32;
        COUNTERS = allocate(size_of::<Counter>() << 15 | 16) as *mut Counter;
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
    core::ptr::write_bytes(SLOTS, 0, SLOTS_MASK as usize + 1);
    ARENA_USED = 0;
    USED = 0;
    REJECTED_COUNT = 0;
    LINES = 0;
    FIRST = i64::MAX;
    LAST = i64::MIN;
    TOUCHED_COUNT = 0;
    MINUTE = -1;
    MEMO = [NO_MEMO; MEMOS];
}

/// Return what Python wants to know after each scan in one number, since each call costs it: pages of memory, lines rejected, bytes read.
#[inline(always)]
unsafe fn told(read: usize) -> u64 {
    (memory_size(0) as u64) << 40 | (REJECTED_COUNT as u64) << 22 | read as u64
}

/// Count the lines of the first `length` bytes, which end with a line feed. Fewer are read when a table is full.
#[no_mangle]
pub unsafe extern "C" fn scan(length: usize) -> u64 {
    let begin = INPUT_BUFFER.as_ptr();
    let end = begin.add(length);
    let mut at = begin;
    REJECTED_COUNT = 0;
    STAMP_SEEN = 0 as _;
    CLIENT_SEEN = (0 as _, 0 as _);
    let mut number = 0u32;
    while at < end {
        if number & 63 == 0 && is_full() {
            break;
        }
        number += 1;
        at = line(at);
    }
    told(at.offset_from(begin) as usize)
}

/// The same for the lines alone whose status is a failure (only 5xx with `is_only_5xx`): others are passed over unread.
#[no_mangle]
pub unsafe extern "C" fn scan_failures(length: usize, is_only_5xx: u32) -> u64 {
    let begin = INPUT_BUFFER.as_ptr();
    let end = begin.add(length);
    let mut at = begin;
    REJECTED_COUNT = 0;
    STAMP_SEEN = 0 as _;
    CLIENT_SEEN = (0 as _, 0 as _);
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
                return told(from.offset_from(begin) as usize);
            }
            let mut start = found;
            while start > from && *start.sub(1) != b'\n' {
                start = start.sub(1);
            }
            let next = judge(start, is_only_5xx != 0);
            from = next;
        }
    }
    told(length)
}

/// Count a line that holds what looks like the status of a failure, where it is one. Return the begin of the next.
#[inline(never)]
unsafe fn judge(start: *const u8, is_only_5xx: bool) -> *const u8 {
    if let Some(status) = status_of(start) {
        if !is_failure(status) || (is_only_5xx && status < 500) {
            return find(start, b'\n').add(1);
        }
    }
    line(start)
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

/// Where the entries of a kind are: begin in the arena, length, total and failures in four bytes each, then 48 other bytes.
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

/// Call with each counter, those of times in arrays, too.
unsafe fn each_counter(mut take: impl FnMut(u64, u64)) {
    for number in 0..USED as usize {
        let counter = *COUNTERS.add(number);
        take(counter.key, counter.count);
    }
    if IS_EXACT {
        return;
    }
    for table in 0..4 {
        let name = if table == 0 { T_ROUTE_TIME } else { T_CONNECT + table as u64 - 1 };
        let strings = STRINGS[if table == 0 { ROUTE } else { OUTCOME }].count as usize;
        for id in 0..strings.min(DENSE) {
            for at in 0..BUCKETS {
                let count = *TIMES.add((table * DENSE + id) * BUCKETS + at);
                if count != 0 {
                    take(name << 60 | (id as u64) << 36 | at as u64, count as u64);
                }
            }
        }
    }
}

/// Return where so many bytes may be written for `absorb`, or were by `dump` or `pack`; valid until the next call of these.
#[no_mangle]
pub unsafe extern "C" fn room(size: usize) -> usize {
    if size > ROOM_SIZE {
        ROOM = allocate(size + PAD);
        ROOM_SIZE = size;
    }
    ROOM as usize
}

/// Write counters in the order of 16 bits of their keys; equal ones as they come.
unsafe fn sort(from: *const Counter, to: *mut Counter, length: usize, shift: u32) {
    PLACES = [0; 1 << 16];
    for number in 0..length {
        PLACES[((*from.add(number)).key >> shift) as u16 as usize] += 1;
    }
    let mut sum = 0;
    for place in PLACES.iter_mut() {
        sum += core::mem::replace(place, sum);
    }
    for number in 0..length {
        let counter = *from.add(number);
        let place = &mut PLACES[(counter.key >> shift) as u16 as usize];
        *to.add(*place as usize) = counter;
        *place += 1;
    }
}

/// Write what was counted into the room; return how many runs that are, of counters alike but for their minute, bucket or status.
///
/// Two numbers of each run: its name (the key without its last 33 bits), and where it ends among the counters, which are in order. Then,
/// behind sixteen bytes for each counter, the last bits of all keys, with the count in the last 30 bits where they are minutes; then all
/// counts.
#[no_mangle]
pub unsafe extern "C" fn dump() -> usize {
    flush();
    let mut length = 0;
    each_counter(|_, _| length += 1);
    let counters = room(32 * length) as *mut Counter;
    let other = counters.add(length);
    let mut to = counters;
    each_counter(|key, count| {
        *to = Counter { key, count };
        to = to.add(1);
    });
    for shift in [0, 32] {
        sort(counters, other, length, shift);
        sort(other, counters, length, shift + 16);
    }
    let (runs, lasts, counts) = (counters as *mut u64, other as *mut u64, (other as *mut u64).add(length));
    let (mut run, mut before) = (0, Counter { key: 0, count: 0 });
    for number in 0..length {
        let counter = *counters.add(number); // before a run is written over it
        let is_minute = matches!(counter.key >> 60, T_MINUTE | T_ROUTE_MINUTE);
        let last = counter.key & LONGEST;
        *lasts.add(number) = if is_minute { last << 30 | counter.count } else { last };
        *counts.add(number) = counter.count;
        if number == 0 || counter.key >> 33 != before.key >> 33 {
            *runs.add(2 * run) = counter.key >> 33;
            run += 1;
        }
        *runs.add(2 * run - 1) = number as u64 + 1;
        before = counter;
    }
    run
}

/// Write what was counted into the room, for the `absorb` of another instance; return how many bytes.
#[no_mangle]
pub unsafe extern "C" fn pack() -> usize {
    flush();
    let mut head = Packed { lines: LINES, first: FIRST, last: LAST, counters: 0, strings: [0; 4] };
    each_counter(|_, _| head.counters += 1);
    let mut size = size_of::<Packed>() + size_of::<Counter>() * head.counters + ARENA_USED;
    for kind in 0..4 {
        head.strings[kind] = STRINGS[kind].count as usize;
        size += size_of::<Entry>() * head.strings[kind];
    }
    let place = room(size) as *mut Packed;
    let mut to = place.add(1) as *mut Counter;
    each_counter(|key, count| {
        *to = Counter { key, count };
        to = to.add(1);
    });
    let mut to = to as *mut Entry;
    for kind in 0..4 {
        core::ptr::copy_nonoverlapping(STRINGS[kind].entries, to, head.strings[kind]);
        to = to.add(head.strings[kind]);
    }
    core::ptr::copy_nonoverlapping(ARENA_AT, to as *mut u8, ARENA_USED);
    *place = head;
    size
}

/// Add what another instance packed, which stands in the room. 1: there is no place for it beside what is here, but there is in an empty one.
#[no_mangle]
pub unsafe extern "C" fn absorb(size: usize) -> u32 {
    flush();
    let head = ROOM as *const Packed;
    let counters = head.add(1) as *const Counter;
    let mut entries = [counters.add((*head).counters) as *mut Entry; 4];
    for kind in 1..4 {
        entries[kind] = entries[kind - 1].add((*head).strings[kind - 1]);
    }
    let arena = entries[3].add((*head).strings[3]) as *const u8;
    let its = size - (arena as usize - ROOM as usize);
    let has_place = (0..4).all(|kind| STRINGS[kind].count as usize + (*head).strings[kind] <= IDS) && ARENA_USED + its <= ARENA;
    if !has_place || (USED > 0 && USED as usize + (*head).counters > MOST_COUNTERS as usize) {
        return 1;
    }
    for kind in 0..4 {
        for number in 0..(*head).strings[kind] {
            let its = entries[kind].add(number);
            let mine = intern(kind, arena.add((*its).begin as usize), (*its).length as usize);
            (*mine).total += (*its).total;
            (*mine).failures += (*its).failures;
            (*its).begin = id_of(kind, mine); // from now on
        }
    }
    for number in 0..(*head).counters {
        let Counter { key, count: by } = *counters.add(number);
        let table = key >> 60;
        let kind = if matches!(table, T_ROUTE_STATUS | T_ROUTE_TIME | T_ROUTE_MINUTE) { ROUTE } else { OUTCOME };
        let id = (*entries[kind].add((key >> 36) as usize & 0xff_ffff)).begin;
        let rest = key & ((1 << 36) - 1);
        if !IS_EXACT && (table == T_ROUTE_TIME || table >= T_CONNECT) && rest <= LONGEST && (id as usize) < DENSE {
            let table = if table == T_ROUTE_TIME { 0 } else { (table - T_CONNECT) as usize + 1 };
            *TIMES.add((table * DENSE + id as usize) * BUCKETS + rest as usize) += by as u32;
        } else {
            count(table, id, rest, by);
        }
    }
    LINES += (*head).lines;
    FIRST = if (*head).first < FIRST { (*head).first } else { FIRST };
    LAST = if (*head).last > LAST { (*head).last } else { LAST };
    0
}

/// What begins a packed state; then come its counters, the entries of its strings by kind, the texts of these.
#[repr(C, align(16))]
struct Packed {
    lines: u64,
    first: i64,
    last: i64,
    counters: usize,
    strings: [usize; 4],
}
