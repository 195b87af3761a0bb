//! The compiled reader of `why502 logs`: reads the lines of a log by a description of its layout, and counts them.
//!
//! It is called from Python through ctypes, which releases the interpreter: one reader for each thread. A panic is a bug; it ends
//! here, and Python reads the log itself, from its begin.

mod find;
mod json;
mod line;
mod names;
mod pairs;
mod program;
mod questions;
mod reader;
mod skeleton;
mod small;
mod stamp;
mod steady;
mod values;

use pairs::Pairing;
use reader::Reader;
use std::panic::{catch_unwind, AssertUnwindSafe};

const FAILED: u64 = u64::MAX;

fn guarded(work: impl FnOnce() -> u64) -> u64 {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(FAILED)
}

/// Return a reader of the description, null where it cannot be carried out.
///
/// # Safety
/// `text` must point to `length` bytes.
#[no_mangle]
pub unsafe extern "C" fn reader_new(text: *const u8, length: usize) -> *mut Reader {
    let made = catch_unwind(|| {
        let text = std::str::from_utf8(std::slice::from_raw_parts(text, length)).ok()?;
        Reader::new(text)
    });
    match made {
        Ok(Some(reader)) => Box::into_raw(Box::new(reader)),
        _ => std::ptr::null_mut(),
    }
}

/// # Safety
/// `reader` must come from `reader_new`, and must not be used afterwards.
#[no_mangle]
pub unsafe extern "C" fn reader_free(reader: *mut Reader) {
    let _ = catch_unwind(|| drop(Box::from_raw(reader)));
}

/// Say where the next text stands: the number of its part, and the byte.
///
/// # Safety
/// `reader` must come from `reader_new`.
#[no_mangle]
pub unsafe extern "C" fn reader_place(reader: *mut Reader, part: u64, byte: u64) {
    (*reader).place = (part, byte);
}

/// Count the lines of a text from a byte on; return how many numbers `reader_rejected` has, u64::MAX after a bug.
///
/// It may stop before a line of a kind that was not met before: `reader_stopped` says where, and `reader_judge` must follow.
///
/// # Safety
/// `text` must point to `length` bytes, the last of which is a line feed, and 64 line feeds more.
#[no_mangle]
pub unsafe extern "C" fn reader_scan(reader: *mut Reader, text: *const u8, from: usize, length: usize) -> u64 {
    guarded(|| {
        let text = std::slice::from_raw_parts(text, length + find::PAD);
        (*reader).scan(text, from, length);
        (*reader).rejected.len() as u64
    })
}

/// # Safety
/// `reader` must come from `reader_new`.
#[no_mangle]
pub unsafe extern "C" fn reader_stopped(reader: *mut Reader) -> usize {
    (*reader).stopped
}

/// Return whether the line that the scan stopped at is taken for one that is no request (1), or is not read, but written by a thread (2).
///
/// # Safety
/// `reader` must come from `reader_new`.
#[no_mangle]
pub unsafe extern "C" fn reader_asked(reader: *mut Reader) -> u32 {
    if (*reader).is_at_odd_line() { 2 } else { (*reader).is_asked_of_said() as u32 }
}

/// Say whether Python takes that line for such a one as well.
///
/// # Safety
/// `reader` must come from `reader_new`.
#[no_mangle]
pub unsafe extern "C" fn reader_judge(reader: *mut Reader, is_good: u32, begins: u32, within: i64, code: u32, after: u32) {
    (*reader).judge(is_good != 0, Pairing { begins: begins != 0, within, code, after });
}

/// Have the line that the scan stopped at left.
///
/// # Safety
/// `reader` must come from `reader_new`.
#[no_mangle]
pub unsafe extern "C" fn reader_pass(reader: *mut Reader) {
    (*reader).pass();
}

/// Begin another log.
///
/// # Safety
/// `reader` must come from `reader_new`.
#[no_mangle]
pub unsafe extern "C" fn reader_begin(reader: *mut Reader) {
    (*reader).begin();
}

/// Go on with a log behind the lines that another reader has read.
///
/// # Safety
/// Both must come from `reader_new`, and not be the same.
#[no_mangle]
pub unsafe extern "C" fn reader_go_on(reader: *mut Reader, other: *const Reader) -> u64 {
    guarded(|| {
        (*reader).go_on_from(&*other);
        0
    })
}

/// Take note of a line that Python reads; return whether it repeats an earlier one of its thread.
///
/// # Safety
/// `thread` must point to `length` bytes.
#[no_mangle]
#[allow(clippy::too_many_arguments)]
pub unsafe extern "C" fn reader_pair(reader: *mut Reader, thread: *const u8, length: usize, at: i64, client: u32, begins: u32, within: i64, code: u32, after: u32) -> u64 {
    guarded(|| {
        let thread = std::slice::from_raw_parts(thread, length);
        (*reader).pair(thread, at, client, Pairing { begins: begins != 0, within, code, after }) as u64
    })
}

/// # Safety
/// `reader` must come from `reader_new`.
#[no_mangle]
pub unsafe extern "C" fn reader_rejected(reader: *mut Reader) -> *const u32 {
    (*reader).rejected.as_ptr()
}

/// Return how many lines were counted.
///
/// # Safety
/// `reader` must come from `reader_new`.
#[no_mangle]
pub unsafe extern "C" fn reader_lines(reader: *mut Reader) -> u64 {
    (*reader).lines
}

/// Add what another reader of the same description counted.
///
/// # Safety
/// Both must come from `reader_new`, and not be the same.
#[no_mangle]
pub unsafe extern "C" fn reader_absorb(reader: *mut Reader, other: *const Reader) -> u64 {
    guarded(|| {
        (*reader).absorb(&*other);
        0
    })
}

/// Have a name told in any case: a route (0), client (1) or server (2).
///
/// # Safety
/// `text` must point to `length` bytes.
#[no_mangle]
pub unsafe extern "C" fn reader_want(reader: *mut Reader, kind: u32, text: *const u8, length: usize) -> u64 {
    guarded(|| {
        let text = std::slice::from_raw_parts(text, length);
        let reader = &mut *reader;
        let names = match kind {
            0 => &mut reader.routes,
            1 => &mut reader.clients,
            _ => &mut reader.servers,
        };
        let key = names.key(text);
        if let Some(number) = names.known(&key, text.len()) {
            names.all[number].is_wanted = true;
        }
        0
    })
}

/// Have the healthy lines of these requests (checksums) in these seconds left.
///
/// # Safety
/// Both must point to as many numbers.
#[no_mangle]
pub unsafe extern "C" fn reader_suspect(reader: *mut Reader, seconds: *const i64, number: usize, marks: *const u32, most: usize) -> u64 {
    guarded(|| {
        (*reader).suspect(std::slice::from_raw_parts(seconds, number), std::slice::from_raw_parts(marks, most));
        0
    })
}

/// Have what failed read as well, from now on.
///
/// # Safety
/// `reader` must come from `reader_new`.
#[no_mangle]
pub unsafe extern "C" fn reader_relax(reader: *mut Reader) {
    (*reader).relax();
}

/// Write down what was counted; return how many numbers it takes. `reader_words` and `reader_blob` are valid until the next call.
///
/// # Safety
/// `reader` must come from `reader_new`.
#[no_mangle]
pub unsafe extern "C" fn reader_export(reader: *mut Reader, most: usize) -> u64 {
    guarded(|| {
        (*reader).export(most);
        (*reader).exported.len() as u64
    })
}

/// # Safety
/// `reader` must come from `reader_new`.
#[no_mangle]
pub unsafe extern "C" fn reader_words(reader: *mut Reader) -> *const u64 {
    (*reader).exported.as_ptr()
}

/// # Safety
/// `reader` must come from `reader_new`, `length` point to a number.
#[no_mangle]
pub unsafe extern "C" fn reader_blob(reader: *mut Reader, length: *mut u64) -> *const u8 {
    *length = (*reader).blob.len() as u64;
    (*reader).blob.as_ptr()
}
