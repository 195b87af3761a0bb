//! Looking for bytes, sixteen at a time where the processor can.

/// So many bytes behind a text may be read with it: every buffer that is searched ends with as many that belong to nobody.
pub const PAD: usize = 64;

/// Return where `byte` or a line feed comes first, from `from` on.
///
/// The text must hold a line feed at or behind `from`, at least PAD bytes before its end.
#[inline(always)]
pub fn find(text: &[u8], from: usize, byte: u8) -> usize {
    find_either(text, from, byte, b'\n')
}

/// Return the byte at a place that is known to lie in the text.
#[inline(always)]
pub fn byte_at(text: &[u8], at: usize) -> u8 {
    debug_assert!(at < text.len());
    // SAFETY: see above; the tests check it.
    unsafe { *text.get_unchecked(at) }
}

/// The same as `find` from a place in a line: the feed that ends the line, or one before it, ends the search.
#[inline(always)]
pub fn find_in_line(text: &[u8], mut at: usize, one: u8, other: u8) -> usize {
    debug_assert!(text[at..text.len() - PAD + 1].contains(&b'\n'));
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of x86_64. A line feed lies at `at` or behind it, and PAD bytes behind that one.
    unsafe {
        use core::arch::x86_64::*;
        let (one, other, feed) = (_mm_set1_epi8(one as i8), _mm_set1_epi8(other as i8), _mm_set1_epi8(b'\n' as i8));
        loop {
            let block = _mm_loadu_si128(text.as_ptr().add(at).cast());
            let found = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(block, one), _mm_cmpeq_epi8(block, other)), _mm_cmpeq_epi8(block, feed));
            let bits = _mm_movemask_epi8(found) as u32;
            if bits != 0 {
                return at + bits.trailing_zeros() as usize;
            }
            at += 16;
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        while byte_at(text, at) != one && byte_at(text, at) != other && byte_at(text, at) != b'\n' {
            at += 1;
        }
        at
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn find_either(text: &[u8], mut at: usize, one: u8, other: u8) -> usize {
    use core::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86_64. `at` stays PAD bytes below the end: a line feed or the check below ends the search.
    unsafe {
        let (one, other) = (_mm_set1_epi8(one as i8), _mm_set1_epi8(other as i8));
        while at + 16 <= text.len() {
            let block = _mm_loadu_si128(text.as_ptr().add(at).cast());
            let found = _mm_or_si128(_mm_cmpeq_epi8(block, one), _mm_cmpeq_epi8(block, other));
            let bits = _mm_movemask_epi8(found) as u32;
            if bits != 0 {
                return at + bits.trailing_zeros() as usize;
            }
            at += 16;
        }
    }
    text.len() - PAD
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub fn find_either(text: &[u8], from: usize, one: u8, other: u8) -> usize {
    let found = text[from..].iter().position(|byte| *byte == one || *byte == other);
    found.map_or(text.len() - PAD, |at| from + at)
}

/// What is noted of a line beside its end, in the two lowest bits.
pub const HAS_SLASH: u32 = 1; // a backslash
pub const IS_ODD: u32 = 2; // a control character, or one that is not ASCII
pub const NOTES: u32 = 2; // bits

/// Append where each line of the first `length` bytes ends (its line feed), and what is noted of it. PAD bytes follow the text.
pub fn ends_of_lines(text: &[u8], length: usize, to: &mut Vec<u32>) {
    assert!(length + PAD <= text.len() && length < 1 << (32 - NOTES));
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { far_ends(text, length, to) };
    }
    ends(text, length, to, |_, _| None, bits_of)
}

/// # Safety
/// The processor must have AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn far_ends(text: &[u8], length: usize, to: &mut Vec<u32>) {
    use core::arch::x86_64::*;
    // SAFETY: each block of 64 bytes begins before `length`, and PAD bytes follow that.
    let plain = |text: &[u8], at: usize| {
        let place = text.as_ptr().add(at);
        let (low, high) = (_mm256_loadu_si256(place.cast()), _mm256_loadu_si256(place.add(32).cast()));
        let (feed, slash, space) = (_mm256_set1_epi8(b'\n' as i8), _mm256_set1_epi8(b'\\' as i8), _mm256_set1_epi8(b' ' as i8));
        let noted = |block| _mm256_movemask_epi8(_mm256_or_si256(_mm256_cmpgt_epi8(space, block), _mm256_cmpeq_epi8(block, slash))) as u32 as u64;
        let feeds = |block| _mm256_movemask_epi8(_mm256_cmpeq_epi8(block, feed)) as u32 as u64;
        let found = feeds(low) | feeds(high) << 32;
        if found == noted(low) | noted(high) << 32 { Some(found) } else { None }
    };
    ends(text, length, to, plain, |text, at| {
        let place = text.as_ptr().add(at);
        let (low, high) = (_mm256_loadu_si256(place.cast()), _mm256_loadu_si256(place.add(32).cast()));
        let both = |low, high| _mm256_movemask_epi8(low) as u32 as u64 | (_mm256_movemask_epi8(high) as u32 as u64) << 32;
        let is = |byte: u8| {
            let wanted = _mm256_set1_epi8(byte as i8);
            both(_mm256_cmpeq_epi8(low, wanted), _mm256_cmpeq_epi8(high, wanted))
        };
        // as numbers with a sign, bytes that are not ASCII are below the space as well
        let space = _mm256_set1_epi8(b' ' as i8);
        (is(b'\n'), is(b'\\'), both(_mm256_cmpgt_epi8(space, low), _mm256_cmpgt_epi8(space, high)))
    })
}

/// `plain`: the line feeds of 64 bytes (bits), if nothing else is to be noted of them.
#[inline(always)]
fn ends(text: &[u8], length: usize, to: &mut Vec<u32>, plain: impl Fn(&[u8], usize) -> Option<u64>, bits: impl Fn(&[u8], usize) -> (u64, u64, u64)) {
    let note = |bits: u64, note: u32| if bits == 0 { 0 } else { note };
    let mut notes = 0;
    let mut at = 0;
    while at < length {
        if let Some(mut feeds) = plain(text, at).filter(|_| length - at >= 64) {
            while feeds != 0 {
                to.push((at as u32 + feeds.trailing_zeros()) << NOTES | notes);
                notes = 0;
                feeds &= feeds - 1;
            }
            at += 64;
            continue;
        }
        let (mut feeds, slashes, odd) = bits(text, at);
        if length - at < 64 {
            feeds &= (1 << (length - at)) - 1;
        }
        let odd = odd & !feeds;
        let mut rest = !0u64; // the bits behind the last end
        while feeds != 0 {
            let mine = rest & (feeds - 1) & !feeds;
            notes |= note(slashes & mine, HAS_SLASH) | note(odd & mine, IS_ODD);
            to.push((at as u32 + feeds.trailing_zeros()) << NOTES | notes);
            notes = 0;
            rest = !(feeds ^ (feeds - 1));
            feeds &= feeds - 1;
        }
        notes |= note(slashes & rest, HAS_SLASH) | note(odd & rest, IS_ODD);
        at += 64;
    }
    if length > 0 && text[length - 1] != b'\n' {
        to.push((length as u32) << NOTES | HAS_SLASH | IS_ODD);
    }
}

/// Bits for each of 64 bytes: line feeds, backslashes, those that are odd.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn bits_of(text: &[u8], at: usize) -> (u64, u64, u64) {
    use core::arch::x86_64::*;
    let window = &text[at..at + 64];
    let (mut feeds, mut slashes, mut odd) = (0u64, 0u64, 0u64);
    // SAFETY: SSE2 is part of x86_64, and the window has 64 bytes.
    unsafe {
        for number in 0..4 {
            let block = _mm_loadu_si128(window.as_ptr().add(16 * number).cast());
            let is = |byte: u8| _mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8(byte as i8))) as u64;
            feeds |= is(b'\n') << (16 * number);
            slashes |= is(b'\\') << (16 * number);
            odd |= (_mm_movemask_epi8(_mm_cmplt_epi8(block, _mm_set1_epi8(b' ' as i8))) as u64) << (16 * number);
        }
    }
    (feeds, slashes, odd)
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn bits_of(text: &[u8], at: usize) -> (u64, u64, u64) {
    let (mut feeds, mut slashes, mut odd) = (0u64, 0u64, 0u64);
    for (place, byte) in text[at..at + 64].iter().enumerate() {
        feeds |= ((*byte == b'\n') as u64) << place;
        slashes |= ((*byte == b'\\') as u64) << place;
        odd |= (!(b' '..128).contains(byte) as u64) << place;
    }
    (feeds, slashes, odd)
}

/// Return whether no byte of a text comes before the space.
#[inline(always)]
pub fn is_without_controls(text: &[u8]) -> bool {
    let mut found = false; // without an end in between, the compiler makes it a loop of blocks
    for byte in text {
        found |= *byte < b' ';
    }
    !found
}

/// Return whether two texts are the same.
#[inline(always)]
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    let length = one.len();
    if other.len() != length {
        return false;
    }
    if length < 8 {
        return one == other;
    }
    let mut at = 0;
    while at + 8 <= length {
        if word(one, at) != word(other, at) {
            return false;
        }
        at += 8;
    }
    word(one, length - 8) == word(other, length - 8)
}

/// Return the eight bytes at a place as a number.
#[inline(always)]
pub fn word(text: &[u8], at: usize) -> u64 {
    let mut raw = [0u8; 8];
    raw.copy_from_slice(&text[at..at + 8]);
    u64::from_le_bytes(raw)
}

/// The same at a place of a text that PAD bytes follow.
#[inline(always)]
pub fn word_at(text: &[u8], at: usize) -> u64 {
    debug_assert!(at + 8 <= text.len());
    // SAFETY: see above; the tests check it.
    unsafe { u64::from_le(text.as_ptr().add(at).cast::<u64>().read_unaligned()) }
}

pub const BLOCK: usize = 16;

/// Return whether a text holds, at a place, one that stands in another text and is padded to blocks there; PAD bytes follow the first.
#[inline(always)]
pub fn is_at_padded(text: &[u8], at: usize, others: &[u8], place: usize, size: usize) -> bool {
    debug_assert!(at + size + BLOCK <= text.len() && place + (size + BLOCK - 1) / BLOCK * BLOCK <= others.len());
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of x86_64. The blocks lie in their texts: see above; the tests check it.
    unsafe {
        use core::arch::x86_64::*;
        let (one, other) = (text.as_ptr().add(at), others.as_ptr().add(place));
        let same = |done: usize| _mm_cmpeq_epi8(_mm_loadu_si128(one.add(done).cast()), _mm_loadu_si128(other.add(done).cast()));
        if size < BLOCK {
            let wanted = (1u32 << size) - 1;
            return _mm_movemask_epi8(same(0)) as u32 & wanted == wanted;
        }
        let mut all = same(size - BLOCK); // it overlaps the one before
        let mut done = 0;
        while done + BLOCK < size {
            all = _mm_and_si128(all, same(done));
            done += BLOCK;
        }
        _mm_movemask_epi8(all) == 0xffff
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        text[at..at + size] == others[place..place + size]
    }
}

/// Bits for each of the 32 bytes at a place: whether they are those of another text, whether they are digits; PAD bytes follow the text.
#[inline(always)]
pub fn same_and_digits(text: &[u8], at: usize, other: &[u8; 32]) -> (u32, u32) {
    debug_assert!(at + 32 <= text.len());
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of x86_64, and the 32 bytes lie in the text.
    unsafe {
        use core::arch::x86_64::*;
        let load = |text: *const u8| _mm_loadu_si128(text.cast());
        let (low, high) = (load(text.as_ptr().add(at)), load(text.as_ptr().add(at + 16)));
        let same = |block, place: usize| _mm_movemask_epi8(_mm_cmpeq_epi8(block, load(other.as_ptr().add(place)))) as u32;
        let digits = |block| {
            let below = _mm_sub_epi8(block, _mm_set1_epi8(b'0' as i8));
            _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(below, _mm_set1_epi8(9)), below)) as u32
        };
        (same(low, 0) | same(high, 16) << 16, digits(low) | digits(high) << 16)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let bits = |is: &dyn Fn(u8, u8) -> bool| (0..32).fold(0u32, |found, place| found | (is(byte_at(text, at + place), other[place]) as u32) << place);
        (bits(&|one, other| one == other), bits(&|one, _| one.is_ascii_digit()))
    }
}

/// Return how many digits there are from a place on, 16 at most; PAD bytes follow the text.
#[inline(always)]
pub fn digits_at(text: &[u8], at: usize) -> usize {
    debug_assert!(at + 16 <= text.len());
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of x86_64, and the 16 bytes lie in the text.
    unsafe {
        use core::arch::x86_64::*;
        let below = _mm_sub_epi8(_mm_loadu_si128(text.as_ptr().add(at).cast()), _mm_set1_epi8(b'0' as i8));
        let digits = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(below, _mm_set1_epi8(9)), below)) as u32;
        (!digits).trailing_zeros() as usize
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        (0..16).take_while(|place| byte_at(text, at + place).is_ascii_digit()).count()
    }
}

/// Return whether a value is of capital letters of ASCII alone, 16 at most.
#[inline(always)]
pub fn are_capitals(text: &[u8], begin: usize, end: usize) -> bool {
    debug_assert!(end - begin <= 16 && begin + 16 <= text.len());
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of x86_64, and the 16 bytes lie in the text.
    unsafe {
        use core::arch::x86_64::*;
        let below = _mm_sub_epi8(_mm_loadu_si128(text.as_ptr().add(begin).cast()), _mm_set1_epi8(b'A' as i8));
        let capitals = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(below, _mm_set1_epi8(25)), below)) as u32;
        let wanted = (1u32 << (end - begin)) - 1;
        capitals & wanted == wanted
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        text[begin..end].iter().all(u8::is_ascii_uppercase)
    }
}

/// Return whether a value of at most 16 bytes is of digits alone; PAD bytes follow its text.
#[inline(always)]
pub fn are_digits(text: &[u8], begin: usize, end: usize) -> bool {
    debug_assert!(end - begin <= 16 && begin + 16 <= text.len());
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of x86_64, and the 16 bytes lie in the text.
    unsafe {
        use core::arch::x86_64::*;
        let below = _mm_sub_epi8(_mm_loadu_si128(text.as_ptr().add(begin).cast()), _mm_set1_epi8(b'0' as i8));
        let digits = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(below, _mm_set1_epi8(9)), below)) as u32;
        let wanted = (1u32 << (end - begin)) - 1;
        digits & wanted == wanted
    }
    #[cfg(not(target_arch = "x86_64"))]
    text[begin..end].iter().all(u8::is_ascii_digit)
}

/// Return whether a text is the one at a place of another, which PAD bytes follow. The first holds no line feed, or is shorter than those.
#[inline(always)]
pub fn is_at(text: &[u8], at: usize, wanted: &[u8]) -> bool {
    let length = wanted.len();
    if length < 8 {
        return (0..length).all(|place| byte_at(text, at + place) == wanted[place]);
    }
    let mut place = 0;
    while place + 8 <= length {
        if word_at(text, at + place) != word_at(wanted, place) {
            return false;
        }
        place += 8;
    }
    word_at(text, at + length - 8) == word_at(wanted, length - 8)
}

/// Return whether a text holds a byte.
#[inline(always)]
pub fn holds(text: &[u8], byte: u8) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let length = text.len();
    if length < 8 {
        return text.iter().any(|one| *one == byte);
    }
    let is_in = |at: usize| {
        let zero = word(text, at) ^ (ONES * byte as u64); // where the byte stands
        zero.wrapping_sub(ONES) & !zero & (ONES << 7) != 0
    };
    (0..length / 8).any(|number| is_in(8 * number)) || is_in(length - 8)
}

/// Return whether a text holds another one, of two bytes at least.
pub fn contains(text: &[u8], wanted: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = position(text, at, wanted[0], wanted[1]) {
        if text[found..].starts_with(wanted) {
            return true;
        }
        at = found + 1;
    }
    false
}

/// Return where one byte stands before another.
#[inline(always)]
fn position(text: &[u8], at: usize, first: u8, second: u8) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if text.len() - at.min(text.len()) > FAR && std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { far_position(text, at, first, second) };
    }
    near_position(text, at, first, second)
}

#[cfg(any(target_arch = "x86_64", test))]
const FAR: usize = 4096;

/// The same in a long text, 32 bytes at a time.
///
/// # Safety
/// The processor must have AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn far_position(text: &[u8], mut at: usize, first: u8, second: u8) -> Option<usize> {
    use core::arch::x86_64::*;
    let (one, other) = (_mm256_set1_epi8(first as i8), _mm256_set1_epi8(second as i8));
    while at + 65 <= text.len() {
        // the four blocks lie in the text
        let load = |at: usize| _mm256_loadu_si256(text.as_ptr().add(at).cast());
        let pairs = |at: usize| _mm256_and_si256(_mm256_cmpeq_epi8(load(at), one), _mm256_cmpeq_epi8(load(at + 1), other));
        let (low, high) = (pairs(at), pairs(at + 32));
        if _mm256_movemask_epi8(_mm256_or_si256(low, high)) != 0 {
            let bits = _mm256_movemask_epi8(low) as u32 as u64 | (_mm256_movemask_epi8(high) as u32 as u64) << 32;
            return Some(at + bits.trailing_zeros() as usize);
        }
        at += 64;
    }
    near_position(text, at, first, second)
}

#[inline(always)]
fn near_position(text: &[u8], at: usize, first: u8, second: u8) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of x86_64, and both blocks lie in the text.
    let at = unsafe {
        use core::arch::x86_64::*;
        let mut at = at;
        let (one, other) = (_mm_set1_epi8(first as i8), _mm_set1_epi8(second as i8));
        while at + 17 <= text.len() {
            let load = |at: usize| _mm_loadu_si128(text.as_ptr().add(at).cast());
            let found = _mm_and_si128(_mm_cmpeq_epi8(load(at), one), _mm_cmpeq_epi8(load(at + 1), other));
            let bits = _mm_movemask_epi8(found) as u32;
            if bits != 0 {
                return Some(at + bits.trailing_zeros() as usize);
            }
            at += 16;
        }
        at
    };
    (at..text.len().saturating_sub(1)).find(|at| text[*at] == first && text[*at + 1] == second)
}

/// Ask for the memory of a value ahead of its use.
#[inline(always)]
pub fn prefetch<T>(values: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is harmless; this one lies in the slice.
    unsafe {
        use core::arch::x86_64::*;
        if at < values.len() {
            _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().add(at).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, at);
}

/// Bits for each of the next 64 bytes: those that end a path, slashes, digits.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn marks(text: &[u8], at: usize) -> (u64, u64, u64) {
    use core::arch::x86_64::*;
    let (mut ends, mut slashes, mut digits) = (0u64, 0u64, 0u64);
    let window = match text.get(at..at + 64) {
        Some(window) => window,
        None => return (0, 0, 0),
    };
    // SAFETY: the window has 64 bytes.
    unsafe {
        for number in 0..4 {
            let block = _mm_loadu_si128(window.as_ptr().add(16 * number).cast());
            let is = |byte: u8| _mm_cmpeq_epi8(block, _mm_set1_epi8(byte as i8));
            let ending = _mm_or_si128(_mm_or_si128(is(b' '), is(b'?')), _mm_or_si128(is(b'#'), is(b';')));
            let below = _mm_sub_epi8(block, _mm_set1_epi8(b'0' as i8));
            let digit = _mm_cmpeq_epi8(_mm_min_epu8(below, _mm_set1_epi8(9)), below);
            ends |= (_mm_movemask_epi8(ending) as u64) << (16 * number);
            slashes |= (_mm_movemask_epi8(is(b'/')) as u64) << (16 * number);
            digits |= (_mm_movemask_epi8(digit) as u64) << (16 * number);
            if ends != 0 {
                break; // what comes behind does not count
            }
        }
    }
    (ends, slashes, digits)
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub fn marks(text: &[u8], at: usize) -> (u64, u64, u64) {
    let (mut ends, mut slashes, mut digits) = (0u64, 0u64, 0u64);
    for (place, byte) in text[at..].iter().take(64).enumerate() {
        match byte {
            b' ' | b'?' | b'#' | b';' => ends |= 1 << place,
            b'/' => slashes |= 1 << place,
            b'0'..=b'9' => digits |= 1 << place,
            _ => {}
        }
    }
    (ends, slashes, digits)
}

/// Return whether a value is of visible ASCII characters alone, without any of four.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn is_word(text: &[u8], begin: usize, end: usize, without: [u8; 4]) -> bool {
    use core::arch::x86_64::*;
    assert!(end + 16 <= text.len());
    let mut at = begin;
    while at < end {
        let wanted = if end - at < 16 { (1u32 << (end - at)) - 1 } else { 0xffff };
        // SAFETY: the 16 bytes lie in the text.
        let fits = unsafe {
            let block = _mm_loadu_si128(text.as_ptr().add(at).cast());
            let is = |byte: u8| _mm_cmpeq_epi8(block, _mm_set1_epi8(byte as i8));
            let below = _mm_sub_epi8(block, _mm_set1_epi8(0x21));
            let visible = _mm_cmpeq_epi8(_mm_min_epu8(below, _mm_set1_epi8(0x5d)), below);
            let odd = _mm_or_si128(_mm_or_si128(is(without[0]), is(without[1])), _mm_or_si128(is(without[2]), is(without[3])));
            _mm_movemask_epi8(_mm_andnot_si128(odd, visible)) as u32
        };
        if fits & wanted != wanted {
            return false;
        }
        at += 16;
    }
    true
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub fn is_word(text: &[u8], begin: usize, end: usize, without: [u8; 4]) -> bool {
    text[begin..end].iter().all(|byte| byte.is_ascii_graphic() && !without.contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_wherever_it_stands() {
        for length in 1..40 {
            let mut text = vec![0x80u8; length];
            assert!(!holds(&text, 0) && !holds(&text, 0x81) && holds(&text, 0x80));
            for at in 0..length {
                text[at] = b'\\';
                assert!(holds(&text, b'\\'));
                text[at] = b'\\' ^ 1;
                assert!(!holds(&text, b'\\'));
                text[at] = 0x80;
            }
        }
    }

    #[test]
    fn lines_end_where_their_feeds_are() {
        let line = |number: usize| -> Vec<u8> { (0..number * 7 % 150).map(|at| if at == number % 91 { b"a\\\x80\r"[number % 4] } else { b'x' }).collect() };
        for first in 0..130 {
            let mut text = vec![b'y'; first];
            let mut wanted = Vec::new();
            text.push(b'\n');
            wanted.push((first as u32) << NOTES);
            for number in 0..40 {
                let line = line(number);
                let (slash, odd) = (line.contains(&b'\\') as u32, line.iter().any(|byte| !(b' '..128).contains(byte)) as u32);
                text.extend_from_slice(&line);
                wanted.push((text.len() as u32) << NOTES | slash * HAS_SLASH | odd * IS_ODD);
                text.push(b'\n');
            }
            let length = text.len();
            text.extend_from_slice(&[b'\n'; PAD]);
            let (mut found, mut plainly) = (Vec::new(), Vec::new());
            ends_of_lines(&text, length, &mut found);
            ends(&text, length, &mut plainly, |_, _| None, bits_of);
            assert_eq!((&found, &plainly), (&wanted, &wanted));
        }
    }

    #[test]
    fn a_text_is_found_wherever_it_stands() {
        for least in [0, FAR] {
            for before in least..least + 70 {
                for after in 0..70 {
                    let text = [&vec![b'w'; before][..], b"why502", &vec![b'w'; after][..]].concat();
                    assert!(contains(&text, b"why502") && !contains(&text[..before + 5], b"why502"));
                }
            }
        }
    }
}
