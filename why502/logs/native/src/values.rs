//! Times, durations, statuses and routes from their texts. `None`: Python is to read the line.

use crate::find::word_at;
use crate::line::Span;
use crate::program::{Clock, Zone};

const LAST_YEAR: i64 = 2090; // minutes since the epoch are kept in 26 bits
pub const LONGEST_MICROS: u64 = (1 << 33) - 1;

#[inline(always)]
pub fn digits(text: &[u8]) -> Option<i64> {
    let mut value = 0i64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + digit as i64;
    }
    Some(value)
}

/// Return the days from the epoch to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let of_era = y.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    y.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)) as i64,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn local(year: i64, month: i64, day: i64, clock: &[u8]) -> Option<i64> {
    let (h, m, s) = (digits(&clock[..2])?, digits(&clock[3..5])?, digits(&clock[6..8])?);
    if clock[2] != b':' || clock[5] != b':' || h > 23 || m > 59 || s > 59 {
        return None;
    }
    if !(1971..=LAST_YEAR).contains(&year) || !(1..=12).contains(&month) || day < 1 || day > month_days(year, month) {
        return None;
    }
    Some(days(year, month, day) * 86400 + h * 3600 + m * 60 + s)
}

fn month(name: &[u8]) -> Option<i64> {
    let names = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    (0..12).find(|at| &names[3 * at..3 * at + 3] == name).map(|at| at as i64 + 1)
}

fn is_name(day: &[u8]) -> bool {
    day[0].is_ascii_uppercase() && day[1..].iter().all(u8::is_ascii_lowercase)
}

/// Return how far a zone is from UTC: `Z`, `+0100`, `+01:00`.
fn offset(text: &[u8]) -> Option<i64> {
    if text == b"Z" {
        return Some(0);
    }
    let minutes = match text.len() {
        5 => 3,
        6 if text[3] == b':' => 4,
        _ => return None,
    };
    let (h, m) = (digits(&text[1..3])?, digits(&text[minutes..minutes + 2])?);
    let value = h * 3600 + m * 60;
    match text[0] {
        _ if h > 23 || m > 59 => None,
        b'+' => Some(value),
        b'-' => Some(-value),
        _ => None,
    }
}

fn in_zone(at: i64, zones: &[Zone]) -> Option<i64> {
    zones.iter().find(|zone| zone.since <= at && at < zone.until).map(|zone| at - zone.offset)
}

/// Return the second since the epoch that a text tells. `today`: days since the epoch, for times without a year.
#[inline(never)]
pub fn moment(clock: Clock, text: &[u8], zones: &[Zone], today: i64) -> Option<i64> {
    match clock {
        Clock::Common => {
            if text.len() != 26 || text[2] != b'/' || text[6] != b'/' || text[11] != b':' || text[20] != b' ' {
                return None;
            }
            let at = local(digits(&text[7..11])?, month(&text[3..6])?, digits(&text[..2])?, &text[12..20])?;
            Some(at - offset(&text[21..]).filter(|_| text[21] != b'Z')?)
        }
        Clock::Haproxy => {
            if text.len() != 24 || text[2] != b'/' || text[6] != b'/' || text[11] != b':' || text[20] != b'.' {
                return None;
            }
            digits(&text[21..])?;
            in_zone(local(digits(&text[7..11])?, month(&text[3..6])?, digits(&text[..2])?, &text[12..20])?, zones)
        }
        Clock::Nginx => {
            if text.len() != 19 || text[4] != b'/' || text[7] != b'/' || text[10] != b' ' {
                return None;
            }
            in_zone(local(digits(&text[..4])?, digits(&text[5..7])?, digits(&text[8..10])?, &text[11..19])?, zones)
        }
        Clock::Short => {
            if text.len() != 15 || text[3] != b' ' || text[6] != b' ' {
                return None;
            }
            let (month, day) = (month(&text[..3])?, if text[4] == b' ' { digits(&text[5..6])? } else { digits(&text[4..6])? });
            let last = 1971 + today / 365; // or a year later
            let at = (last - 10..=last).rev().filter_map(|year| local(year, month, day, &text[7..])).find(|at| at.div_euclid(86400) <= today + 1)?;
            in_zone(at, zones)
        }
        Clock::Apache => {
            let size = text.len();
            if !(24..=34).contains(&size) || !is_name(&text[..3]) || text[3] != b' ' || text[7] != b' ' || text[10] != b' ' || text[size - 5] != b' ' {
                return None;
            }
            if size > 24 {
                digits(&text[20..size - 5]).filter(|_| text[19] == b'.' && size > 25)?;
            }
            let day = if text[8] == b' ' { digits(&text[9..10])? } else { digits(&text[8..10])? };
            in_zone(local(digits(&text[size - 4..])?, month(&text[4..7])?, day, &text[11..19])?, zones)
        }
        Clock::Iso => {
            if text.len() < 20 || text[4] != b'-' || text[7] != b'-' || (text[10] != b'T' && text[10] != b' ') {
                return None;
            }
            let at = local(digits(&text[..4])?, digits(&text[5..7])?, digits(&text[8..10])?, &text[11..19])?;
            let mut rest = &text[19..];
            if rest[0] == b'.' {
                let size = 1 + rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                if size == 1 || size > 10 {
                    return None;
                }
                rest = &rest[size..];
            }
            Some(at - offset(rest)?)
        }
        Clock::Seconds => {
            let size = text.iter().take_while(|byte| **byte != b'.').count();
            if size != 10 || (size < text.len() && (text.len() - size < 2 || text.len() - size > 10)) {
                return None;
            }
            let part = text.get(size + 1..).unwrap_or(b"");
            digits(part).filter(|_| !part.starts_with(b"999999"))?; // Python may round that up
            digits(&text[..size])
        }
        Clock::Millis | Clock::Micros | Clock::Nanos => {
            let size = match clock {
                Clock::Millis => 13,
                Clock::Micros => 16,
                _ => 19,
            };
            if text.len() != size || text[10..].starts_with(b"999999") { None } else { digits(text)?; digits(&text[..10]) }
        }
    }
}

/// Return the part of a time between its seconds and its zone, which does not change the second: where it begins and ends.
#[inline(always)]
pub fn part_of(clock: Clock, text: &[u8]) -> (usize, usize) {
    let begin = match clock {
        Clock::Haproxy => 20,
        Clock::Iso | Clock::Apache => 19,
        Clock::Seconds | Clock::Millis | Clock::Micros | Clock::Nanos => 10,
        _ => return (0, 0),
    };
    let dot = matches!(text.get(begin), Some(b'.')) as usize;
    let digits = text.iter().skip(begin + dot).take_while(|byte| byte.is_ascii_digit()).count();
    if begin > text.len() { (0, 0) } else { (begin, begin + dot + digits) }
}

/// Return the microseconds of a time that Python reads with them, besides its seconds.
pub fn fraction(clock: Clock, text: &[u8]) -> Option<u64> {
    match clock {
        Clock::Iso | Clock::Apache => {
            let part = text.get(19..)?.strip_prefix(b".").unwrap_or(b"");
            let found = part.iter().take_while(|byte| byte.is_ascii_digit()).take(6);
            Some((0..6).zip(found.map(|byte| (byte - b'0') as u64).chain(core::iter::repeat(0))).fold(0, |sum, (_, digit)| sum * 10 + digit))
        }
        Clock::Nanos => {
            let nanos = digits(text)? as f64; // a number of JSON beyond what a double holds exactly; rounded as Python does
            let part = (nanos / 1000.0 / 1000.0 / 1000.0).fract() * 1e6;
            let whole = part.floor();
            let is_up = part - whole > 0.5 || (part - whole == 0.5 && whole % 2.0 == 1.0);
            Some(whole as u64 + is_up as u64)
        }
        _ => None,
    }
}

/// Return the number that at most eight digits tell; PAD bytes follow the text.
#[inline(always)]
pub fn short_number(text: &[u8], begin: usize, end: usize) -> Option<u64> {
    let length = end.wrapping_sub(begin);
    if length.wrapping_sub(1) > 7 {
        return None;
    }
    let shift = 64 - 8 * length as u32;
    let digits = (word_at(text, begin) << shift) ^ (0x3030_3030_3030_3030 << shift); // zeros in front
    if (digits | digits.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let (low, high) = (pairs & 0x0000_00ff_0000_00ff, pairs >> 16 & 0x0000_00ff_0000_00ff);
    Some((low.wrapping_mul(0x000f_4240_0000_0064).wrapping_add(high.wrapping_mul(0x0000_2710_0000_0001))) >> 32)
}

/// The same of at most fifteen digits.
#[inline(always)]
fn number_at(text: &[u8], begin: usize, end: usize) -> Option<u64> {
    match end - begin {
        0..=8 => short_number(text, begin, end),
        9..=15 => Some(short_number(text, begin, end - 8)? * 100_000_000 + short_number(text, end - 8, end)?),
        _ => None,
    }
}

const SCALES: [u64; 7] = [1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

/// The same as `micros` of a value in a text that PAD bytes follow.
#[inline(always)]
pub fn micros_at(text: &[u8], (begin, end): Span, unit: u64) -> Option<Option<u64>> {
    let (begin, end) = (begin as usize, end as usize);
    if unit == 1_000_000_000 {
        let dots = word_at(text, begin) ^ 0x2e2e_2e2e_2e2e_2e2e;
        let dots = dots.wrapping_sub(0x0101_0101_0101_0101) & !dots & 0x8080_8080_8080_8080;
        let dot = begin + dots.trailing_zeros() as usize / 8; // the first one; eight if there is none
        if dot < end && end - dot <= 7 {
            if let (Some(whole), Some(part)) = (short_number(text, begin, dot), short_number(text, dot + 1, end)) {
                return Some(Some(LONGEST_MICROS.min(whole * 1_000_000 + part * SCALES[end - dot - 1])));
            }
        }
    } else if unit == 1 {
        if let Some(nanos) = number_at(text, begin, end) {
            let (found, rest) = (nanos / 1000, nanos % 1000);
            return Some(Some(LONGEST_MICROS.min(found + (rest > 500 || (rest == 500 && found & 1 == 1)) as u64))); // as Python rounds
        }
    } else if unit == 1_000_000 || unit == 1_000 {
        if let Some(whole) = short_number(text, begin, end) {
            return Some(Some(LONGEST_MICROS.min(whole * (unit / 1000))));
        }
    }
    micros(&text[begin..end], unit)
}

/// Return a duration in microseconds, None inside where there is none (`-`); `unit` are the nanoseconds of one.
#[inline(always)]
pub fn micros(text: &[u8], unit: u64) -> Option<Option<u64>> {
    if text.first() == Some(&b'-') {
        return if text.len() == 1 || text == b"-1" { Some(None) } else { None };
    }
    let (mut whole, mut at) = (0u64, 0);
    while at < text.len() && text[at].wrapping_sub(b'0') <= 9 {
        whole = whole * 10 + (text[at] - b'0') as u64;
        at += 1;
        if at > 15 {
            return None;
        }
    }
    if at == 0 {
        return None;
    }
    if at == text.len() && unit % 1000 == 0 && unit <= 1_000_000 {
        return Some(Some(LONGEST_MICROS.min(whole * (unit / 1000)))); // at most 15 digits of milliseconds
    }
    if unit == 1_000_000_000 && at < 8 && text.len() - at <= 7 && (at == text.len() || (text[at] == b'.' && at + 1 < text.len())) {
        let mut scale = 1_000_000;
        let mut found = whole * scale;
        for byte in text.get(at + 1..).unwrap_or(b"") {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            scale /= 10;
            found += digit as u64 * scale;
        }
        return Some(Some(if found > LONGEST_MICROS { LONGEST_MICROS } else { found }));
    }
    let mut nanos = whole as u128 * unit as u128;
    if at < text.len() {
        if text[at] != b'.' || at + 1 == text.len() || text.len() - at > 10 {
            return None;
        }
        let scale = unit as u128;
        let mut part = 0u128;
        for byte in &text[at + 1..] {
            if byte.wrapping_sub(b'0') > 9 {
                return None;
            }
            part = part * 10 + (byte - b'0') as u128;
        }
        nanos += part * scale / 10u128.pow((text.len() - at - 1) as u32);
    }
    let (whole, rest) = ((nanos / 1000) as u64, (nanos % 1000) as u32);
    let found = whole + (rest > 500 || (rest == 500 && whole & 1 == 1)) as u64; // as Python rounds
    Some(Some(if found > LONGEST_MICROS { LONGEST_MICROS } else { found }))
}

/// Return the bucket of a time: 64 for each doubling, so that the middle of one is at most 0.8 % off.
#[inline(always)]
pub fn bucket(micros: u64) -> u64 {
    let shift = 57 - (micros | 64).leading_zeros() as u64;
    (shift << 6) + (micros >> shift)
}

#[inline(always)]
pub fn is_failure(status: u32) -> bool {
    status >= 500 || status == 499 || status == 0 || status == 9 || status == 460 || status == 463
}

/// Return a status of up to three digits.
#[inline(always)]
pub fn status(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 3 {
        return None;
    }
    digits(text).map(|value| value as u32)
}

const DIGIT: u8 = 1;
const HEX: u8 = 2; // a letter or dash
const OTHER: u8 = 4;
const SLASH: u8 = 8;
const END: u8 = 16;

static CLASSES: [u8; 256] = {
    let mut found = [OTHER; 256];
    let mut at = 0;
    while at < 256 {
        found[at] = match at as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' | b'A'..=b'F' | b'-' => HEX,
            b'/' => SLASH,
            b' ' | b'?' | b'#' | b';' => END,
            _ => OTHER,
        };
        at += 1;
    }
    found
};

/// Return the length of a path in which nothing is to be replaced: the first of its 64 bytes that ends it, digits only in short names,
/// eight segments. None: `route` decides.
#[inline(always)]
pub fn plain_path(text: &[u8], begin: usize, end: usize) -> Option<usize> {
    if begin >= end || text[begin] != b'/' {
        return None;
    }
    let (ends, slashes, digits) = crate::find::marks(text, begin);
    let length = if end - begin < 64 { (ends | 1 << (end - begin)).trailing_zeros() } else { ends.trailing_zeros() };
    if length == 64 {
        return None;
    }
    let inside = (1u64 << length) - 1;
    let (slashes, digits) = (slashes & inside, digits & inside);
    if slashes.count_ones() <= 8 && are_in_names(digits, slashes, length) { Some(length as usize) } else { None }
}

const LONGEST_NAME: u32 = 7; // with digits, whatever the rest of it is

/// Return whether all digits of a path stand in short segments of other bytes, too: `v2`. The path begins with a slash.
#[inline(always)]
fn are_in_names(mut digits: u64, slashes: u64, length: u32) -> bool {
    while digits != 0 {
        let first = digits.trailing_zeros();
        let begin = 64 - (slashes & ((1 << first) - 1)).leading_zeros();
        let end = (slashes >> first << first | 1 << length).trailing_zeros();
        let segment = (1u64 << end) - (1u64 << begin);
        if end - begin > LONGEST_NAME || digits & segment == segment {
            return false;
        }
        digits &= !segment;
    }
    true
}

/// Append the route of a request, `METHOD /path` with `*` in place of numbers, to a text. None: Python is to make it.
#[inline(always)]
pub fn route(method: &[u8], uri: &[u8], to: &mut Vec<u8>) -> Option<()> {
    if method.is_empty() || method.len() > 16 || uri.first() != Some(&b'/') || !method.iter().all(u8::is_ascii_uppercase) {
        return None;
    }
    to.extend_from_slice(method);
    to.push(b' ');
    let limit = to.len() + 160;
    let (mut at, mut segments) = (0, 0);
    while at < uri.len() && uri[at] == b'/' {
        if segments == 8 || to.len() > limit {
            to.extend_from_slice(b"/...");
            return Some(());
        }
        segments += 1;
        at += 1;
        let first = at;
        let mut seen = 0;
        while at < uri.len() {
            let class = CLASSES[uri[at] as usize];
            if class >= SLASH {
                break;
            }
            seen |= class;
            at += 1;
        }
        to.push(b'/');
        let length = at - first;
        if seen == DIGIT || length > 64 || (seen & DIGIT != 0 && (length >= 16 || (seen & OTHER == 0 && length >= 8))) {
            to.push(b'*');
        } else {
            to.extend_from_slice(&uri[first..at]);
        }
        if at < uri.len() && CLASSES[uri[at] as usize] == END {
            break;
        }
    }
    Some(())
}

/// Return the CRC-32 of a text, as zlib computes it.
pub fn checksum(text: &[u8]) -> u32 {
    !text.iter().fold(!0u32, |found, byte| CHECKSUMS[(found as u8 ^ byte) as usize] ^ found >> 8)
}

static CHECKSUMS: [u32; 256] = checksums();

const fn checksums() -> [u32; 256] {
    let mut found = [0u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ value >> 1 } else { value >> 1 };
            bit += 1;
        }
        found[byte] = value;
        byte += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTC: [Zone; 1] = [Zone { since: i64::MIN, until: i64::MAX, offset: 0 }];

    #[test]
    fn times_are_read_as_they_are_written() {
        let at = Some(1_772_600_767);
        assert_eq!(moment(Clock::Common, b"04/Mar/2026:06:06:07 +0100", &[], 0), at);
        assert_eq!(moment(Clock::Iso, b"2026-03-04T05:06:07.123456789Z", &[], 0), at);
        assert_eq!(moment(Clock::Haproxy, b"04/Mar/2026:05:06:07.123", &UTC, 0), at);
        assert_eq!(moment(Clock::Nginx, b"2026/03/04 05:06:07", &UTC, 0), at);
        assert_eq!(moment(Clock::Apache, b"Wed Mar  4 05:06:07.123456 2026", &UTC, 0), at);
        assert_eq!(moment(Clock::Seconds, b"1772600767.5", &[], 0), at);
        assert_eq!(moment(Clock::Nanos, b"1772600767123456789", &[], 0), at);
        assert_eq!(moment(Clock::Short, b"Mar  4 05:06:07", &UTC, 20_515), at); // 2026-03-03
        assert_eq!(moment(Clock::Short, b"Mar  4 05:06:07", &UTC, 20_515 + 364), at);
        assert_eq!(moment(Clock::Short, b"Mar  4 05:06:07", &UTC, 20_514), Some(1_772_600_767 - 365 * 86400));
        assert_eq!(moment(Clock::Iso, b"2026-02-30T05:06:07Z", &[], 0), None);
        assert_eq!(moment(Clock::Nginx, b"2026/03/04 05:06:07", &[], 0), None);
    }

    #[test]
    fn what_python_may_round_up_is_left() {
        assert_eq!(moment(Clock::Seconds, b"1772600767.9999999", &[], 0), None);
        assert_eq!(moment(Clock::Nanos, b"1772600767999999999", &[], 0), None);
    }

    #[test]
    fn durations_are_rounded_as_python_rounds() {
        assert_eq!(micros(b"0.123", 1_000_000_000), Some(Some(123_000)));
        assert_eq!(micros(b"12", 1_000_000), Some(Some(12_000)));
        assert_eq!(micros(b"2500", 1), Some(Some(2)));
        assert_eq!(micros(b"3500", 1), Some(Some(4)));
        assert_eq!(micros(b"-1", 1), Some(None));
        assert_eq!(micros(b"1e3", 1), None);
    }

    #[test]
    fn durations_in_a_text_are_read_as_alone() {
        let values = ["0", "7", "12", "123", "12345678", "123456789", "999999999999999", "1234567890123456", "500", "1500", "2500", "123456x890", "0.005", "0.005759", "12.345678", "1234567.123456", "12345678.1", "1.", ".5", "1.1234567", "-", "-1", "", "1e3", "1.2.3", "a", "0.00a", "99999999", "99999.999"];
        for value in values {
            for after in ["", " ", "/1", "0", ".", "\u{ff}"] {
                let mut text = format!("x{value}{after}").into_bytes();
                text.extend_from_slice(&[b'\n'; crate::find::PAD]);
                for unit in [1, 1_000, 1_000_000, 1_000_000_000] {
                    assert_eq!(micros_at(&text, (1, 1 + value.len() as u32), unit), micros(value.as_bytes(), unit), "{value} {unit}");
                }
                let number = value.parse::<u64>().ok().filter(|_| value.len() <= 8);
                assert_eq!(short_number(&text, 1, 1 + value.len()), number, "{value}");
            }
        }
    }

    #[test]
    fn numbers_in_a_path_are_left_out() {
        let mut found = Vec::new();
        assert_eq!(route(b"GET", b"/a/17/feedbee1/x?y=1", &mut found), Some(()));
        assert_eq!(found, b"GET /a/*/*/x");
    }

    #[test]
    fn a_path_is_plain_where_its_route_is_itself() {
        for path in ["/", "/a/b", "/api/v2/x", "/v2", "/v2/", "/3d/a1b2c3d", "/17", "/a/17/x", "/a17/18", "/a1234567", "/feedbee1", "//1a", "/a//2/"] {
            let whole = format!("{path}?b=1");
            let mut text = whole.clone().into_bytes();
            text.extend_from_slice(&[b'\n'; crate::find::PAD]);
            let mut found = Vec::new();
            assert_eq!(route(b"GET", whole.as_bytes(), &mut found), Some(()));
            let is_kept = found == format!("GET {path}").into_bytes();
            let may_be_plain = path.split('/').all(|name| name.len() <= 7 || !name.bytes().any(|byte| byte.is_ascii_digit()));
            let plain = plain_path(&text, 0, whole.len());
            assert_eq!(plain, if is_kept && may_be_plain { Some(path.len()) } else { None }, "{path}");
        }
    }

    #[test]
    fn the_middle_of_a_bucket_is_near() {
        assert_eq!((bucket(127), bucket(128), bucket(129), bucket(130)), (127, 128, 128, 129));
    }
}
