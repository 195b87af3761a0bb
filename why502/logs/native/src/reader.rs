//! Counts the lines of a log. What it cannot read with certainty it hands back, and Python's own parser decides.

use crate::find::{are_capitals, contains, ends_of_lines, find, find_in_line, holds, is_word, HAS_SLASH, IS_ODD, NOTES};
use crate::json::{read_members, Memory, Notes};
use crate::line::{of, read_fields, unwrap, Span, Spans, Unwrapped};
use crate::names::{Key, Names};
use crate::pairs::{number, thread_of, Pairing, Pairs};
use crate::program::*;
use crate::questions::{answer, is_there, short_answer};
use crate::small::{Map, Pool};
use crate::stamp::Stamp;
use crate::steady::{Known, Mark, Marking, Steady, NO_NUMBER};
use crate::values::{bucket, checksum, fraction, is_failure, micros, micros_at, moment, plain_path, route, status, LONGEST_MICROS};
use std::collections::HashSet;

const BATCH: usize = 48; // lines whose names are looked up together, so that their memory is near when it is needed
const ATTEMPTS: usize = 8;
const SHAPES: usize = 1 << 16;
const SAMPLES: usize = 32 << 20; // bytes of all samples together
const MEMOS: usize = 256;
const SAMPLE: usize = 8192;
const LONGEST_CLIENT: usize = 64;
const LONGEST_SERVER: usize = 255;
const LONGEST_ADDRESS: usize = 512;
const REFUSED: u32 = 400; // and above: statuses whose times are told by path
const CLIENTS: usize = 8; // that are told apart by path
const OF_THREAD: &[u8] = b"[pid ";
const LONGEST_PAIR: i64 = 4; // seconds
const AGENT: &[u8] = b"why502-probe"; // our own requests, which are nobody's
const NO_TIME: u64 = u64::MAX;
const MINUTE_BITS: u32 = 26;
const ENTRY_BITS: u32 = 30; // of a count beside its minute
const WHOSE_BITS: u32 = 34; // of a bucket beside the number of its time
const BUCKETS: u64 = (1 << WHOSE_BITS) - 1;
const CONTAINER: usize = 1 << 18; // bytes of unwrapped text of a batch

/// How a request ended, without the addresses of its attempts.
struct Shape {
    sample: Vec<u8>, // the first line that ended so, and where it stands: the number of its part, and the byte
    place: (u64, u64),
    later: Vec<u8>, // another one, which must mean the same
    is_said: bool,
    judged: u8,
    pairing: Pairing,
    first: i64,
    last: i64,
    minutes: Map,
    minute: i64, // the last one met, and how often since
    count: u64,
    total: u64,
}

// what Python says of the first line of a shape: whether it reads it as such a line at all
const UNKNOWN: u8 = 0;
const GOOD: u8 = 1;
const BAD: u8 = 2;

impl Shape {
    fn new(sample: &[u8], place: (u64, u64), is_said: bool) -> Shape {
        Shape { sample: sample.to_vec(), place, later: Vec::new(), is_said, judged: UNKNOWN, pairing: Pairing::default(), first: i64::MAX, last: i64::MIN, minutes: Map::default(), minute: i64::MIN, count: 0, total: 0 }
    }
}

/// One attempt of a line.
#[derive(Clone, Copy)]
struct Attempt {
    address: (u32, u32),
    answer: (u32, u32),
    class: u8,
    failed: bool,
    times: [u64; 3],
}

const OF_GROUP: u8 = 8; // class of an attempt that names no address but a group; the next: not even that

const NO_ATTEMPT: Attempt = Attempt { address: (0, 0), answer: (0, 0), class: 0, failed: false, times: [NO_TIME; 3] };

/// Where a name stands: in the text that is read, in the room of unwrapped text, or among the texts of the batch.
#[derive(Clone, Copy)]
struct Place {
    source: u8,
    begin: u32,
    end: u32,
}

const READ: u8 = 0;
const ROOM: u8 = 1;
const MADE: u8 = 2;

/// A line whose names are still to be counted.
struct Pending {
    route: Key,
    route_at: Place,
    client: Key,
    client_at: Place,
    number: u32, // of the route, once it is known
    client_number: u32,
    minute: i64,
    total: u64, // key of the time of the request
    status: u32,
    failed: bool,
    at: i64,
    server_at: Place,
    caller: u32, // mark of the client, where it was refused
    attempt: u32, // the number of its only attempt, and the keys of its times
    times: [u64; 3],
}

pub struct Reader {
    programs: Vec<Program>,
    pub place: (u64, u64), // of the text that is read
    room: Vec<u8>,  // unwrapped text
    texts: Vec<u8>, // routes and clients of the batch
    batch: Vec<Pending>,
    pool: Pool,
    pub routes: Names,
    pub clients: Names,
    pub servers: Names,
    tries: Names,
    paths: Names, // status, server, zero, route
    hot: HashSet<i64>,   // seconds in which a line may belong to an error that was told elsewhere
    marks: HashSet<u32>, // and the checksums of such requests
    has_own: bool, // the text holds requests of ours
    shapes: Names,
    all_shapes: Vec<Shape>,
    sampled: usize, // bytes
    stamp: Stamp,
    key: Vec<u8>,
    attempts: Vec<Attempt>, // of the line that is read
    is_exact: bool,
    memories: Vec<Memory>, // of each program
    has_keys: bool,            // whether further values decide an outcome
    steady: Steady,
    memos: [(u64, u32); MEMOS], // shapes of plain lines
    pub lines: u64,
    pub rejected: Vec<u32>,
    pub stopped: usize,   // where the scan ended
    ends: Vec<u32>, // of the lines of the text: see find.rs
    next: usize, // the first of them that is not read
    asked: Option<usize>, // the new shape before which it did
    pairs: Pairs,
    is_odd: bool, // it stopped before a line of a thread that it does not read
    is_passed: bool, // which Python has seen
    pub exported: Vec<u64>,
    pub blob: Vec<u8>,
}

impl Reader {
    pub fn new(description: &str) -> Option<Reader> {
        let programs = Program::all(description)?;
        let first = programs.first()?;
        let (seed, most) = (first.seed, first.most);
        let is_exact = first.is_exact;
        let memories = programs.iter().map(|_| Memory::default()).collect();
        let has_keys = programs.len() > 1 || !first.questions.is_empty() || !first.questions_of_failures.is_empty();
        let few = (most / 4).max(16);
        Some(Reader {
            programs,
            place: (0, 0),
            room: Vec::new(),
            texts: Vec::new(),
            batch: Vec::with_capacity(BATCH),
            pool: Pool::default(),
            routes: Names::new(most, seed),
            clients: Names::new(most, seed),
            servers: Names::new(few, seed),
            tries: Names::new(few, seed),
            paths: Names::new(few, seed),
            hot: HashSet::new(),
            marks: HashSet::new(),
            has_own: false,
            shapes: Names::new(SHAPES, seed),
            all_shapes: Vec::new(),
            sampled: 0,
            stamp: Stamp::default(),
            key: Vec::new(),
            attempts: vec![NO_ATTEMPT; ATTEMPTS],
            is_exact,
            memories,
            has_keys,
            steady: Steady::default(),
            memos: [(u64::MAX, 0); MEMOS],
            lines: 0,
            rejected: Vec::new(),
            stopped: 0,
            ends: Vec::new(),
            next: 0,
            asked: None,
            pairs: Pairs::default(),
            is_odd: false,
            is_passed: false,
            exported: Vec::new(),
            blob: Vec::new(),
        })
    }

    /// Count the lines in the first `length` bytes of a text, which end with a line feed; PAD bytes follow. See `rejected` for the rest.
    ///
    /// It begins at `from`, and stops before a line of a new shape: see `asked`.
    pub fn scan(&mut self, text: &[u8], from: usize, length: usize) {
        if from == 0 {
            self.rejected.clear();
            self.ends.clear();
            ends_of_lines(text, length, &mut self.ends);
        }
        self.next = self.ends.partition_point(|line| ((line >> NOTES) as usize) < from);
        self.stopped = length;
        if self.programs[0].is_entry {
            return self.scan_entries(text, from);
        }
        if from == 0 {
            self.has_own = contains(&text[..length], AGENT);
        }
        let mut at = from;
        while let Some(line) = self.ends.get(self.next) {
            let (end, notes) = ((line >> NOTES) as usize, noted(*line));
            let is_own = end > at && self.has_own && contains(&text[at..end], AGENT);
            if end > at && (is_own || self.line(text, at, end, notes).is_none()) {
                self.is_odd = self.asked.is_none() && self.programs[0].has_pairs && !self.is_passed && self.may_name_thread(&text[at..end]);
                if self.asked.is_some() || self.is_odd {
                    self.stopped = at;
                    break;
                }
                self.is_passed = false;
                self.reject(at, end);
            }
            at = end + 1;
            self.next += 1;
            if self.batch.len() >= BATCH || self.room.len() > CONTAINER {
                self.settle(text);
            }
        }
        self.settle(text);
    }

    fn reject(&mut self, begin: usize, end: usize) {
        self.rejected.push(begin as u32);
        self.rejected.push(end as u32 + 1);
    }

    /// The same where a line may go on with the one before: a line counts when the next one has begun, else both are left. So is the last.
    fn scan_entries(&mut self, text: &[u8], from: usize) {
        let mut held: Option<(usize, usize, u8)> = None;
        let (mut spans, mut before): (Spans, Spans) = ([(0, 0); ROLES], [(0, 0); ROLES]);
        let mut at = from;
        while let Some(line) = self.ends.get(self.next) {
            let (end, notes) = ((line >> NOTES) as usize, noted(*line));
            if end > at {
                let found = self.parted(text, at, end, notes, 0, &mut spans).filter(|source| self.has_time(text, *source, &spans));
                if let Some((begin, end, source)) = held.take() {
                    if found.is_none() || self.count(text, (begin, end), source, &mut before, true, 0).is_none() {
                        if self.asked.is_some() {
                            self.stopped = begin;
                            self.room.clear();
                            return;
                        }
                        self.reject(begin, end);
                    }
                }
                match found {
                    Some(source) if self.room.len() <= CONTAINER => held = Some((at, end, source)),
                    _ => self.reject(at, end),
                }
                before = spans;
                if held.is_none() {
                    self.room.clear();
                }
            }
            at = end + 1;
            self.next += 1;
        }
        if let Some((begin, end, _)) = held {
            self.reject(begin, end);
        }
        self.room.clear();
    }

    /// Return whether a line begins with a time: what does not may go on with the line before.
    fn has_time(&mut self, read: &[u8], source: u8, spans: &Spans) -> bool {
        let room = core::mem::take(&mut self.room);
        let found = self.moment(if source == READ { read } else { &room }, spans[TIME], &[], 0);
        self.room = room;
        found.is_some()
    }

    #[inline(always)]
    fn line(&mut self, text: &[u8], begin: usize, end: usize, notes: Notes) -> Option<()> {
        for which in 0..self.programs.len() {
            let mut spans: Spans = [(0, 0); ROLES];
            if let Some(source) = self.parted(text, begin, end, notes, which, &mut spans) {
                if self.count(text, (begin, end), source, &mut spans, notes.may_be_escaped, which).is_some() {
                    return Some(());
                }
                if self.asked.is_some() {
                    return None;
                }
            }
        }
        None
    }

    /// Return whether a line that is not read may be one of a thread, or a part of one that a container's runtime cut.
    fn may_name_thread(&self, line: &[u8]) -> bool {
        !self.programs[0].wrappers.is_empty() || contains(line, OF_THREAD)
    }

    /// Take note of what Python says of the line that the scan stopped at.
    pub fn judge(&mut self, is_good: bool, pairing: Pairing) {
        if let Some(number) = self.asked.take() {
            self.all_shapes[number].judged = if is_good { GOOD } else { BAD };
            self.all_shapes[number].pairing = pairing;
        }
    }

    /// Take note of a line that Python reads, such as the one that the scan stopped at; return whether it repeats an earlier one.
    pub fn pair(&mut self, thread: &[u8], at: i64, client: u32, pairing: Pairing) -> bool {
        self.pairs.repeats(number(thread), at, client, pairing)
    }

    /// Go on behind the line that the scan stopped at, which Python reads.
    pub fn pass(&mut self) {
        self.is_odd = false;
        self.is_passed = true;
    }

    /// Begin another log.
    pub fn begin(&mut self) {
        self.pairs.clear();
        self.is_odd = false;
        self.is_passed = false;
    }

    /// Go on with a log whose lines before another reader has read; nothing is counted of them.
    pub fn go_on_from(&mut self, other: &Reader) {
        self.pairs = other.pairs.clone();
    }

    pub fn is_at_odd_line(&self) -> bool {
        self.is_odd
    }

    /// Return whether the line that the scan stopped at is read as one that is no request.
    pub fn is_asked_of_said(&self) -> bool {
        self.asked.map_or(false, |number| self.all_shapes[number].is_said)
    }

    /// Fill the values of a line as a program parts it; return in which text they stand.
    #[inline(always)]
    fn parted(&mut self, text: &[u8], begin: usize, end: usize, notes: Notes, which: usize, spans: &mut Spans) -> Option<u8> {
        let program = &self.programs[which];
        let mut stamp = (0, 0);
        let (source, from, until) = if program.wrappers.is_empty() {
            (READ, begin, end)
        } else {
            match unwrap(text, begin, end, program, &mut self.room, &mut stamp)? {
                Unwrapped::Here(from, until) => (READ, from, until),
                Unwrapped::Room(from, until) => (ROOM, from, until),
            }
        };
        let text = if source == READ { text } else { &self.room[..] };
        let notes = if source == READ { notes } else { Notes { may_be_escaped: true, may_be_odd: true } };
        *spans = [(0, 0); ROLES];
        let fits = if program.is_json {
            read_members(text, from, until, program, &mut self.memories[which], notes, spans)
        } else {
            read_fields(text, from, until, program, notes.may_be_escaped, spans).is_some()
        };
        if program.is_stamped {
            spans[TIME] = stamp;
        }
        if fits && program.is_changing {
            change(text, spans, program)?;
        }
        if fits { Some(source) } else { None }
    }

    /// Count a line.
    #[inline(always)]
    fn count(&mut self, read: &[u8], whole: (usize, usize), source: u8, spans: &mut Spans, may_be_escaped: bool, which: usize) -> Option<()> {
        if source == READ {
            return self.bare(read, spans, read, whole, may_be_escaped, which);
        }
        let room = core::mem::take(&mut self.room);
        let done = self.bare(&room, spans, read, whole, true, which);
        self.room = room;
        done
    }

    /// Count the line of these values; `whole` is where it stands with its wrapper.
    #[inline(never)]
    fn bare(&mut self, text: &[u8], spans: &mut Spans, read: &[u8], whole: (usize, usize), may_be_escaped: bool, which: usize) -> Option<()> {
        let at = self.moment(text, spans[TIME], of(text, spans[DATE]), which)?;
        let program = &self.programs[which];
        let is_outside = at < program.since || at > program.until;
        if is_outside && (!program.has_pairs || at < program.since.saturating_sub(LONGEST_PAIR) || at > program.until.saturating_add(LONGEST_PAIR)) {
            return Some(());
        }
        for (role, begin) in &program.expects {
            if !of(text, spans[*role]).starts_with(begin) {
                return None;
            }
        }
        let is_said = program.is_said;
        let mut checks = program.checks.iter().zip(&program.is_decided).filter(|(_, is_decided)| is_said || !**is_decided);
        if !checks.all(|((role, check), _)| spans[*role] == (0, 0) || check.holds(text, spans[*role])) {
            return None;
        }
        if let Some(last) = of(text, spans[SERVER]).last() {
            spans[SERVER].1 -= program.strips.contains(last) as u32;
        }
        if program.is_said {
            let thread = if program.has_pairs { thread_of(of(text, spans[THREAD]))? } else { 0 };
            let shape = self.shape_of(text, spans, 0, &[], NO_TIME, read, whole, which)?;
            let is_repeat = self.programs[which].has_pairs && self.is_repeat(text, spans, shape, thread, which)?;
            if !is_outside {
                self.lines += 1;
                if !is_repeat {
                    self.count_shape(shape, at, read, whole);
                }
            }
            return Some(());
        }
        let code = of(text, spans[STATUS]);
        if code.len() != 3 && !program.is_json && !program.is_short {
            return None;
        }
        let code = status(code)?;
        let failed = is_failure(code);
        if program.is_careful && (failed || program.leaves.contains(&code)) {
            return None;
        }
        if program.needs_client && spans[CLIENT].0 == spans[CLIENT].1 {
            return None;
        }
        if program.has_port {
            spans[CLIENT] = without_port(text, spans[CLIENT])?;
        }
        if program.has_brackets {
            let client = of(text, spans[CLIENT]);
            if client.starts_with(b"[") && client.ends_with(b"]") {
                spans[CLIENT] = (spans[CLIENT].0 + 1, spans[CLIENT].1 - 1);
            }
        }
        if program.least != 0 && (!failed || (program.least == 500 && code < 500)) {
            return Some(());
        }
        if may_be_escaped && [CLIENT, SERVER, ADDRESS, GROUP].iter().any(|role| holds(of(text, spans[*role]), b'\\')) {
            return None;
        }
        if !self.hot.is_empty() && self.hot.contains(&at) && is_suspect(text, spans, program, &self.marks, may_be_escaped) {
            return None;
        }
        let mut attempts = core::mem::take(&mut self.attempts);
        let done = self.request(text, spans, read, whole, may_be_escaped, which, (at, code), &mut attempts);
        self.attempts = attempts;
        done
    }

    /// Return whether a line repeats an earlier one of its thread.
    #[inline(never)]
    fn is_repeat(&mut self, text: &[u8], spans: &Spans, shape: usize, thread: u64, which: usize) -> Option<bool> {
        let pairing = self.all_shapes[shape].pairing;
        if !pairing.begins && pairing.within == 0 {
            return Some(false);
        }
        let time = of(text, spans[TIME]);
        let clock = self.programs[which].clock?;
        let at = moment(clock, time, &[Zone { since: i64::MIN, until: i64::MAX, offset: 0 }], 0)? * 1_000_000 + fraction(clock, time)? as i64;
        Some(self.pairs.repeats(thread, at, 0, pairing))
    }

    /// Count a request that ended at a second with a status.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn request(&mut self, text: &[u8], spans: &mut Spans, read: &[u8], whole: (usize, usize), may_be_escaped: bool, which: usize, (at, code): (i64, u32), attempts: &mut [Attempt]) -> Option<()> {
        let program = &self.programs[which];
        let failed = is_failure(code);
        let total = total_of(text, spans, at, program)?;
        let route_source = line_source(text, read);
        let route_at = put_route(text, spans, program, route_source, may_be_escaped, &mut self.texts)?;
        if program.has_url && spans[SERVER] == (0, 0) {
            spans[SERVER] = host_of(text, spans[URI])?;
        }
        let client = of(text, spans[CLIENT]);
        if client.len() > LONGEST_CLIENT || !is_word(text, spans[CLIENT].0 as usize, spans[CLIENT].1 as usize, *b"\",\"\"") {
            return None;
        }
        let timed = times_of(text, spans, program);
        let mark = timed.and_then(|times| mark_of(text, spans, which, &self.programs[which], code, total, &times));
        let known = mark.and_then(|mark| self.steady.known(mark));
        let (attempt, times, total) = match (known, timed) {
            (Some(known), Some(times)) => {
                if self.programs[which].is_careful && known.has_failed {
                    return None;
                }
                self.count_shape(known.shape as usize, at, read, whole);
                if known.attempt != NO_NUMBER {
                    self.count_try(known.attempt as usize, failed || known.has_failed, at);
                }
                if known.server != NO_NUMBER {
                    self.count_server(known.server as usize, failed);
                }
                let times = if known.attempt == NO_NUMBER { [NO_TIME; 3] } else if known.is_of_group { [NO_TIME, NO_TIME, times[2]] } else { times };
                (known.attempt, times, with_times(total, &times))
            }
            _ => self.unknown(text, spans, read, whole, which, (at, code, total), mark, attempts)?,
        };
        let minute = at.div_euclid(60);
        self.lines += 1;
        let client_at = if !is_there(client) { (0, 0) } else { spans[CLIENT] };
        let route = match route_at.source {
            MADE => self.routes.key_in(&self.texts, route_at.begin as usize, route_at.end as usize),
            _ => self.routes.key_in(text, route_at.begin as usize, route_at.end as usize),
        };
        self.routes.prefetch_slot(&route);
        let client = self.clients.key_in(text, client_at.0 as usize, client_at.1 as usize);
        self.clients.prefetch_slot(&client);
        let client_at = Place { source: route_source, begin: client_at.0, end: client_at.1 };
        let server_at = Place { source: route_source, begin: spans[SERVER].0, end: spans[SERVER].1 };
        let is_refused = self.programs[which].has_paths && code >= REFUSED;
        let caller = if is_refused { checksum(of(text, spans[CLIENT])) } else { 0 };
        let (status, is_exact) = (code, self.is_exact);
        let (total, times) = (key_of_time(total, is_exact), times.map(|time| key_of_time(time, is_exact)));
        self.batch.push(Pending { route, route_at, client, client_at, number: 0, client_number: 0, minute, total, status, failed, at, server_at, caller, attempt, times });
        Some(())
    }

    /// Count the outcome of a line whose words were not met before. Return the number of its only attempt, its times, and the time of the request.
    #[inline(never)]
    #[allow(clippy::too_many_arguments)]
    fn unknown(&mut self, text: &[u8], spans: &Spans, read: &[u8], whole: (usize, usize), which: usize, (at, code, total): (i64, u32, u64), mark: Option<Mark>, attempts: &mut [Attempt]) -> Option<(u32, [u64; 3], u64)> {
        let program = &self.programs[which];
        if !program.checks.iter().zip(&program.is_decided).all(|((role, check), is_decided)| !is_decided || spans[*role] == (0, 0) || check.holds(text, spans[*role])) {
            return None;
        }
        let failed = is_failure(code);
        let number = read_attempts(text, spans, program, code, attempts)?;
        let attempts = &attempts[..number];
        if program.is_careful && attempts.iter().any(|attempt| attempt.failed) {
            return None;
        }
        let total = attempts.iter().fold((total, total == NO_TIME), |(sum, is_sum), attempt| if is_sum { (with_more(sum, attempt.times[2]), true) } else { (sum, false) }).0;
        let server = of(text, spans[SERVER]);
        if server.len() > LONGEST_SERVER {
            return None;
        }
        let shape = self.shape(text, spans, code, attempts, total, read, whole, which)?;
        self.count_shape(shape, at, read, whole);
        let mut only = NO_NUMBER;
        for (place, one) in attempts.iter().enumerate() {
            let found = self.number_of_try(text, shape, place, one);
            self.count_try(found, failed || one.failed, at);
            if number == 1 {
                only = found as u32;
            } else {
                let is_exact = self.is_exact;
                self.count_times(found, &one.times.map(|time| key_of_time(time, is_exact)));
            }
        }
        let mut its_server = NO_NUMBER;
        if is_there(server) {
            let key = self.servers.key(server);
            let number = self.servers.number(&key, server);
            self.count_server(number, failed);
            its_server = number as u32;
        }
        if let Some(mark) = mark.filter(|_| number < 2) {
            let one = attempts.first().unwrap_or(&NO_ATTEMPT);
            self.steady.keep(Known { mark, shape: shape as u32, attempt: only, server: its_server, has_failed: one.failed, is_of_group: one.class >= OF_GROUP });
        }
        Some((only, if number == 1 { attempts[0].times } else { [NO_TIME; 3] }, total))
    }

    #[inline(always)]
    fn count_server(&mut self, number: usize, failed: bool) {
        let name = &mut self.servers.all[number];
        name.total += 1;
        name.failed += failed as u32;
    }

    /// Return the second of a time in a text that PAD bytes follow; `date` is empty where the time tells it.
    #[inline(always)]
    fn moment(&mut self, text: &[u8], time: Span, date: &[u8], which: usize) -> Option<i64> {
        match self.stamp.known(text, time, which) {
            Some(at) if date.is_empty() => Some(at),
            _ => self.other_moment(text, time, date, which),
        }
    }

    #[inline(never)]
    fn other_moment(&mut self, text: &[u8], time: Span, date: &[u8], which: usize) -> Option<i64> {
        let (clock, program) = (self.programs[which].clock?, &self.programs[which]);
        if !date.is_empty() {
            let mut both = date.to_vec();
            both.push(b'T');
            both.extend_from_slice(of(text, time));
            both.push(b'Z');
            return moment(clock, &both, &program.zones, 0);
        }
        let found = moment(clock, of(text, time), &program.zones, program.today)?;
        self.stamp.keep(clock, text, time, which, found);
        Some(found)
    }

    /// Return the number of the shape of a line. None: there are too many, or the line is too long for a sample.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn shape(&mut self, text: &[u8], spans: &Spans, code: u32, attempts: &[Attempt], took: u64, read: &[u8], whole: (usize, usize), which: usize) -> Option<usize> {
        let memo = if self.has_keys { None } else { memo_of(text, code, attempts) };
        if let Some(memo) = memo {
            let (known, number) = self.memos[place_of(memo)];
            if known == memo {
                return Some(number as usize);
            }
        }
        let number = self.shape_of(text, spans, code, attempts, took, read, whole, which)?;
        if let Some(memo) = memo {
            self.memos[place_of(memo)] = (memo, number as u32);
        }
        Some(number)
    }

    #[inline(never)]
    #[allow(clippy::too_many_arguments)]
    fn shape_of(&mut self, text: &[u8], spans: &Spans, code: u32, attempts: &[Attempt], took: u64, read: &[u8], whole: (usize, usize), which: usize) -> Option<usize> {
        let program = &self.programs[which];
        let key = &mut self.key;
        key.clear();
        key.push(which as u8);
        key.extend_from_slice(&(code as u16).to_le_bytes());
        for attempt in attempts {
            let has = (attempt.times[0] != NO_TIME) as u8 | ((attempt.times[1] != NO_TIME) as u8) << 1;
            key.extend_from_slice(&[attempt.class, has]);
            key.extend_from_slice(of(text, attempt.answer));
            if program.is_bare && attempt.class != 1 {
                let address = of(text, attempt.address);
                let begin = address.iter().position(|byte| *byte == b'<').unwrap_or(0);
                key.extend_from_slice(&address[begin..]); // which of the names that stand for nobody
            }
        }
        for question in &program.questions {
            answer(question, text, spans, program, took, key)?;
        }
        if is_failure(code) {
            for question in &program.questions_of_failures {
                answer(question, text, spans, program, took, key)?;
            }
        }
        let found = self.shapes.key(key);
        if let Some(number) = self.shapes.known(&found, key.len()) {
            match self.all_shapes[number].judged {
                GOOD => return Some(number),
                BAD => return None,
                _ => self.asked = Some(number),
            }
            return None;
        }
        let sample = &read[whole.0..whole.1];
        if self.all_shapes.len() >= SHAPES || sample.len() > SAMPLE || self.sampled > SAMPLES {
            return None;
        }
        let number = self.shapes.number(&found, key);
        self.sampled += 2 * sample.len();
        let place = (self.place.0, self.place.1 + whole.0 as u64);
        self.all_shapes.push(Shape::new(sample, place, program.is_said));
        self.asked = Some(number);
        None
    }

    #[inline(always)]
    fn count_shape(&mut self, number: usize, at: i64, read: &[u8], whole: (usize, usize)) {
        let minute = at.div_euclid(60);
        let place = (self.place.0, self.place.1 + whole.0 as u64);
        let shape = &mut self.all_shapes[number];
        if shape.total == 0 && shape.place != place {
            shape.place = place; // the lines before it repeated others
            shape.sample.clear();
            shape.sample.extend_from_slice(&read[whole.0..whole.1]);
        }
        shape.first = shape.first.min(at);
        shape.last = shape.last.max(at);
        shape.total += 1;
        if shape.total & (shape.total - 1) == 0 && shape.total > 1 {
            shape.later.clear();
            shape.later.extend_from_slice(&read[whole.0..whole.1.min(whole.0 + SAMPLE)]);
        }
        if shape.minute != minute {
            if shape.count != 0 {
                self.pool.add(&mut shape.minutes, shape.minute as u64, shape.count);
            }
            shape.minute = minute;
            shape.count = 0;
        }
        shape.count += 1;
    }

    /// Return the number of an attempt.
    #[inline(always)]
    fn number_of_try(&mut self, text: &[u8], shape: usize, number: usize, attempt: &Attempt) -> usize {
        let number = number as u8 | ((attempt.class >= OF_GROUP) as u8) << 7;
        let key = self.tries.key_in(text, attempt.address.0 as usize, attempt.address.1 as usize).with((shape as u64) << 8 | number as u64);
        let length = (attempt.address.1 - attempt.address.0) as usize + 3;
        match self.tries.known(&key, length) {
            Some(place) => place,
            None => {
                let name = try_name(shape, number, of(text, attempt.address));
                self.tries.number(&key, &name)
            }
        }
    }

    #[inline(always)]
    fn count_try(&mut self, place: usize, failed: bool, at: i64) {
        self.tries.lasts[place] = self.tries.lasts[place].max(at);
        let name = &mut self.tries.all[place];
        name.total += 1;
        if failed {
            self.pool.add(&mut name.fails, at.div_euclid(60) as u64, 1);
        }
    }

    /// Leave the healthy lines of these requests in these seconds.
    pub fn suspect(&mut self, seconds: &[i64], marks: &[u32]) {
        self.hot.extend(seconds);
        self.marks.extend(marks);
    }

    /// From now on, read what failed as well.
    pub fn relax(&mut self) {
        for program in &mut self.programs {
            program.is_careful = false;
        }
    }

    /// Count the times of an attempt by their keys.
    #[inline(always)]
    fn count_times(&mut self, place: usize, keys: &[u64; 3]) {
        let name = &mut self.tries.all[place];
        for (whose, key) in keys.iter().enumerate() {
            if *key != NO_TIME {
                self.pool.add(&mut name.times, (whose as u64) << WHOSE_BITS | *key, 1);
            }
        }
    }

    /// Count the names of the batch.
    #[inline(never)]
    fn settle(&mut self, read: &[u8]) {
        let mut batch = core::mem::take(&mut self.batch);
        for line in &batch {
            self.routes.prefetch_name(&line.route);
            self.clients.prefetch_name(&line.client);
            if line.attempt != NO_NUMBER {
                let map = self.tries.all[line.attempt as usize].times;
                for (whose, value) in line.times.iter().enumerate() {
                    if *value != NO_TIME {
                        self.pool.prefetch_key(map, (whose as u64) << WHOSE_BITS | *value);
                    }
                }
            }
        }
        let mut path = Vec::new();
        for line in &mut batch {
            let text = |place: Place| {
                let source = match place.source {
                    READ => read,
                    ROOM => &self.room[..],
                    _ => &self.texts[..],
                };
                &source[place.begin as usize..place.end as usize]
            };
            line.number = self.routes.number(&line.route, text(line.route_at)) as u32;
            if line.total != NO_TIME {
                self.pool.prefetch_key(self.routes.all[line.number as usize].times, line.total);
            }
            if self.programs[0].has_paths {
                path.clear();
                path.extend_from_slice(&(line.status as u16).to_le_bytes());
                path.extend_from_slice(text(line.server_at));
                path.push(0);
                path.extend_from_slice(text(line.route_at));
                let key = self.paths.key(&path);
                let number = self.paths.number(&key, &path);
                self.paths.lasts[number] = self.paths.lasts[number].max(line.at);
                let name = &mut self.paths.all[number];
                name.total += 1;
                if line.status >= REFUSED {
                    self.pool.add(&mut name.fails, (line.at - line.at.rem_euclid(self.programs[0].step)) as u64, 1);
                    if self.pool.items(name.times).count() < CLIENTS {
                        self.pool.add(&mut name.times, line.caller as u64, 1);
                    }
                }
            }
            if line.client_at.end != 0 {
                line.client_number = self.clients.number(&line.client, text(line.client_at)) as u32;
            }
        }
        for line in &batch {
            if line.attempt != NO_NUMBER {
                self.count_times(line.attempt as usize, &line.times);
            }
        }
        for line in &batch {
            let name = &mut self.routes.all[line.number as usize];
            name.total += 1;
            if line.total != NO_TIME {
                self.pool.add(&mut name.times, line.total, 1);
            }
            if line.failed {
                name.failed += 1;
                self.pool.add(&mut name.fails, (line.status as u64) << MINUTE_BITS | line.minute as u64 & ((1 << MINUTE_BITS) - 1), 1);
            }
            if line.client_at.end != 0 {
                let name = &mut self.clients.all[line.client_number as usize];
                name.total += 1;
                name.failed += line.failed as u32;
            }
        }
        self.batch = batch;
        self.batch.clear();
        self.texts.clear();
        self.room.clear();
        if self.routes.is_full() {
            self.routes.prune(&mut self.pool);
        }
        if self.clients.is_full() {
            self.clients.prune(&mut self.pool);
        }
        if self.servers.is_full() {
            self.servers.prune(&mut self.pool);
            self.steady.clear();
        }
        if self.tries.is_full() {
            self.tries.prune(&mut self.pool);
            self.steady.clear();
        }
        if self.paths.is_full() {
            self.paths.prune(&mut self.pool);
        }
    }

    /// Add what another reader of the same program counted.
    pub fn absorb(&mut self, other: &Reader) {
        self.steady.clear();
        self.lines += other.lines;
        self.routes.absorb(&other.routes, &mut self.pool, &other.pool);
        self.clients.absorb(&other.clients, &mut self.pool, &other.pool);
        self.servers.absorb(&other.servers, &mut self.pool, &other.pool);
        self.paths.absorb(&other.paths, &mut self.pool, &other.pool);
        let mut numbers = Vec::new();
        for (name, shape) in other.shapes.all.iter().zip(&other.all_shapes) {
            let text = other.shapes.text(name).to_vec();
            let key = self.shapes.key(&text);
            let number = self.shapes.number(&key, &text);
            if number == self.all_shapes.len() {
                self.all_shapes.push(Shape::new(&shape.sample, shape.place, shape.is_said));
                self.all_shapes[number].judged = shape.judged;
                self.all_shapes[number].pairing = shape.pairing;
            }
            numbers.push(number as u16);
            if shape.total == 0 {
                continue;
            }
            if self.all_shapes[number].total == 0 {
                self.all_shapes[number].place = shape.place;
                self.all_shapes[number].sample = shape.sample.clone();
            }
            let mine = &mut self.all_shapes[number];
            mine.first = mine.first.min(shape.first);
            mine.last = mine.last.max(shape.last);
            mine.total += shape.total;
            mine.later = shape.later.clone();
            if mine.later.is_empty() && mine.place != shape.place {
                mine.later = shape.sample.clone();
            }
            if shape.place < mine.place {
                mine.place = shape.place;
                mine.sample = shape.sample.clone();
            }
            self.pool.absorb(&mut mine.minutes, &other.pool, shape.minutes);
            if shape.count != 0 {
                self.pool.add(&mut mine.minutes, shape.minute as u64, shape.count);
            }
        }
        for (name, last) in other.tries.all.iter().zip(&other.tries.lasts) {
            let mut text = other.tries.text(name).to_vec();
            let number = match numbers.get(u16::from_le_bytes([text[0], text[1]]) as usize) {
                Some(number) => *number,
                None => continue, // the rest of too many
            };
            text[..2].copy_from_slice(&number.to_le_bytes());
            let key = self.tries.key(&text[3..]).with((number as u64) << 8 | text[2] as u64);
            let place = self.tries.number(&key, &text);
            self.tries.lasts[place] = self.tries.lasts[place].max(*last);
            let mine = &mut self.tries.all[place];
            mine.total += name.total;
            self.pool.absorb(&mut mine.times, &other.pool, name.times);
            self.pool.absorb(&mut mine.fails, &other.pool, name.fails);
        }
    }

    /// Put what was counted into `exported` and the texts of it into `blob`: see `_decoded` in Python.
    pub fn export(&mut self, most: usize) {
        for shape in &mut self.all_shapes {
            if shape.count != 0 {
                self.pool.add(&mut shape.minutes, shape.minute as u64, shape.count);
                shape.count = 0;
            }
        }
        let (out, blob) = (&mut self.exported, &mut self.blob);
        out.clear();
        blob.clear();
        out.extend_from_slice(&[self.lines, self.all_shapes.len() as u64]);
        for shape in &self.all_shapes {
            put(out, blob, &shape.sample);
            put(out, blob, &shape.later);
            out.extend_from_slice(&[shape.place.0, shape.place.1, shape.is_said as u64, shape.first as u64, shape.last as u64, shape.total]);
            put_minutes(out, self.pool.items(shape.minutes).collect());
        }
        out.push(self.tries.all.len() as u64);
        for (name, last) in self.tries.all.iter().zip(&self.tries.lasts) {
            put(out, blob, self.tries.text(name));
            out.push(name.total);
            out.push(*last as u64);
            for whose in 0..3 {
                put_pairs(out, self.pool.items(name.times).filter(|(key, _)| key >> WHOSE_BITS == whose).map(|(key, count)| (key & BUCKETS, count)));
            }
            put_minutes(out, self.pool.items(name.fails).collect());
        }
        for names in [&self.routes, &self.clients, &self.servers] {
            let chosen = names.top(most);
            out.extend_from_slice(&[chosen.len() as u64, names.distinct(), names.lost, names.lost_failed]);
            for number in chosen {
                let name = &names.all[number];
                put(out, blob, names.text(name));
                out.extend_from_slice(&[name.total, name.failed as u64]);
                put_pairs(out, self.pool.items(name.times));
                put_failures(out, self.pool.items(name.fails).collect());
            }
        }
        out.push(self.paths.all.len() as u64);
        for (name, last) in self.paths.all.iter().zip(&self.paths.lasts) {
            put(out, blob, self.paths.text(name));
            out.extend_from_slice(&[name.total, *last as u64]);
            put_pairs(out, self.pool.items(name.times));
            put_pairs(out, self.pool.items(name.fails));
        }
    }
}

/// Return what is noted of a line beside its end.
#[inline(always)]
fn noted(line: u32) -> Notes {
    Notes { may_be_escaped: line & HAS_SLASH != 0, may_be_odd: line & IS_ODD != 0 }
}

/// Return whether a request may be one that an error tells of.
fn is_suspect(text: &[u8], spans: &Spans, program: &Program, marks: &HashSet<u32>, may_be_escaped: bool) -> bool {
    let (first, second) = if program.has[REQUEST] { (of(text, spans[REQUEST]), None) } else { (of(text, spans[METHOD]), Some(of(text, spans[URI]))) };
    if may_be_escaped && (holds(first, b'\\') || holds(second.unwrap_or(b""), b'\\')) {
        return true;
    }
    let request = match second {
        Some(uri) => [first, b" ", uri].concat(),
        None => first.to_vec(),
    };
    let end = request.windows(6).rposition(|part| part == b" HTTP/").filter(|end| *end > 0).unwrap_or(request.len());
    marks.contains(&checksum(&request[..end]))
}

fn put(out: &mut Vec<u64>, blob: &mut Vec<u8>, text: &[u8]) {
    out.push(blob.len() as u64);
    out.push(text.len() as u64);
    blob.extend_from_slice(text);
}

/// Put how many pairs there are, and the pairs.
fn put_pairs(out: &mut Vec<u64>, pairs: impl Iterator<Item = (u64, u64)>) {
    let place = out.len();
    out.push(0);
    for (key, count) in pairs {
        out.push(key);
        out.push(count);
    }
    out[place] = (out.len() - place - 1) as u64 / 2;
}

/// Put how many minutes there are, and the minutes in order with their counts, each as Python keeps it (scan/minutes.py).
fn put_minutes(out: &mut Vec<u64>, mut minutes: Vec<(u64, u64)>) {
    minutes.sort_unstable();
    let place = out.len();
    out.push(0);
    let mut before = None;
    for (minute, count) in minutes {
        if before == Some(minute) {
            *out.last_mut().expect("there is one") += count;
        } else {
            out.push(minute << ENTRY_BITS | count);
        }
        before = Some(minute);
    }
    out[place] = (out.len() - place - 1) as u64;
}

/// Put how often each status failed, and the minutes of all failures.
fn put_failures(out: &mut Vec<u64>, mut fails: Vec<(u64, u64)>) {
    fails.sort_unstable();
    let mut statuses: Vec<(u64, u64)> = Vec::new();
    for (key, count) in &fails {
        let status = key >> MINUTE_BITS;
        match statuses.last_mut() {
            Some(last) if last.0 == status => last.1 += count,
            _ => statuses.push((status, *count)),
        }
    }
    put_pairs(out, statuses.into_iter());
    put_minutes(out, fails.into_iter().map(|(key, count)| (key & ((1 << MINUTE_BITS) - 1), count)).collect());
}

#[inline(always)]
fn key_of_time(micros: u64, is_exact: bool) -> u64 {
    if is_exact || micros == NO_TIME { micros } else { bucket(micros) }
}

const NO_REQUEST: &[u8] = b"(no request)";
const NO_HTTP: &[u8] = b"(no HTTP request)";

/// Return where the route of a line stands, which is made where it must. None: Python is to read the line.
#[inline(always)]
fn put_route(text: &[u8], spans: &Spans, program: &Program, source: u8, may_be_escaped: bool, made: &mut Vec<u8>) -> Option<Place> {
    let begin = made.len();
    let place = |made: &Vec<u8>| Place { source: MADE, begin: begin as u32, end: made.len() as u32 };
    if program.has[REQUEST] {
        let (from, until) = (spans[REQUEST].0 as usize, spans[REQUEST].1 as usize);
        let request = &text[from..until];
        if may_be_escaped && holds(request, b'\\') {
            if !program.has_hex {
                return None;
            }
            let plain = unescaped(request, program.is_escaped);
            match plain.iter().position(|byte| *byte == b' ') {
                Some(space) if is_url(&plain[space + 1..]) => {
                    route(&plain[..space], path_of(&plain[space + 1..], program.has_url)?, made)?;
                }
                Some(space) if route(&plain[..space], &plain[space + 1..], made).is_some() => {}
                _ => made.extend_from_slice(NO_HTTP),
            }
            return Some(place(made));
        }
        let space = find_in_line(text, from, b' ', b' ');
        if space < until && text[space + 1] == b'/' && space > from && space - from <= 16 && are_capitals(text, from, space) {
            if let Some(length) = plain_path(text, space + 1, until) {
                return Some(Place { source, begin: from as u32, end: (space + 1 + length) as u32 });
            }
            route(&text[from..space], &text[space + 1..until], made)?;
        } else if space < until && is_url(&text[space + 1..until]) {
            let path = path_of(&text[space + 1..until], program.has_url)?;
            route(&text[from..space], path, made)?;
        } else {
            made.extend_from_slice(if matches!(request, b"" | b"-") { NO_REQUEST } else { NO_HTTP });
        }
    } else if program.has[METHOD] {
        let (method, uri) = (of(text, spans[METHOD]), of(text, spans[URI]));
        if may_be_escaped && (holds(method, b'\\') || holds(uri, b'\\')) {
            return None;
        }
        if !program.has_protocol && !is_there(method) && !is_there(uri) {
            made.extend_from_slice(NO_REQUEST);
            return Some(place(made));
        }
        if is_there(method) && !(method.len() <= 16 && are_capitals(text, spans[METHOD].0 as usize, spans[METHOD].1 as usize)) && !method.iter().all(u8::is_ascii_uppercase) {
            made.extend_from_slice(NO_HTTP);
            return Some(place(made));
        }
        if !uri.is_empty() && (1..17).contains(&method.len()) && are_capitals(text, spans[METHOD].0 as usize, spans[METHOD].1 as usize) {
            if let Some(length) = plain_path(text, spans[URI].0 as usize, spans[URI].1 as usize) {
                made.extend_from_slice(method);
                made.push(b' ');
                made.extend_from_slice(&uri[..length]);
                return Some(place(made));
            }
        }
        let uri = if program.has_url && is_url(uri) { path_of(uri, true)? } else { uri };
        route(method, uri, made)?;
    } else {
        made.extend_from_slice(NO_REQUEST);
    }
    Some(place(made))
}

fn is_url(text: &[u8]) -> bool {
    text.len() > 4 && text[..4].eq_ignore_ascii_case(b"http")
}

/// Return the path of a URL. None: Python is to tell whether it has one. `is_strict`: a scheme is written in small letters.
fn path_of(url: &[u8], is_strict: bool) -> Option<&[u8]> {
    let size = if url[4] == b's' || (url[4] == b'S' && !is_strict) { 5 } else { 4 };
    if (is_strict && !url.starts_with(b"http")) || !url[size..].starts_with(b"://") {
        return None;
    }
    let after = &url[size + 3..];
    let slash = after.iter().position(|byte| matches!(byte, b'/' | b' ' | b'?' | b'#'))?;
    if after[slash] != b'/' || (is_strict && (slash == 0 || slash > 255)) { None } else { Some(&after[slash..]) }
}

/// Return where the host of a URL stands.
fn host_of(text: &[u8], url: (u32, u32)) -> Option<(u32, u32)> {
    let whole = of(text, url);
    let begin = whole.windows(3).position(|three| three == b"://")? + 3;
    let size = whole[begin..].iter().position(|byte| *byte == b'/')?;
    let at = whole[begin..begin + size].iter().rposition(|byte| *byte == b'@').map_or(begin, |at| begin + at + 1);
    Some((url.0 + at as u32, url.0 + (begin + size) as u32))
}

/// Return the time between two, in microseconds. None: Python is to read the line.
fn between(text: &[u8], spans: &Spans, at: i64, program: &Program) -> Option<u64> {
    let clock = program.clock?;
    let (one, other) = (of(text, spans[TIME]), of(text, spans[OTHER]));
    if !is_there(other) {
        return None;
    }
    let seconds = moment(clock, other, &program.zones, 0)? - at;
    let (from, to) = (fraction(clock, one)? as i64, fraction(clock, other)? as i64);
    let took = seconds * 1_000_000 + to - from;
    if program.is_fine && from == 0 && to == 0 {
        return Some(NO_TIME); // whole seconds tell nothing
    }
    if program.is_fine && took < 0 {
        return None;
    }
    let took = if program.is_fine { took } else { -took };
    if took < 0 { None } else { Some(LONGEST_MICROS.min(took as u64)) }
}

/// Change the values that are not written as they count.
#[inline(never)]
fn change(text: &[u8], spans: &mut Spans, program: &Program) -> Option<()> {
    for (role, byte) in &program.after {
        let place = of(text, spans[*role]).iter().rposition(|one| one == byte);
        spans[*role].0 += match place {
            Some(at) => at as u32 + 1,
            None => spans[*role].1 - spans[*role].0,
        };
    }
    for (role, suffix) in &program.suffixes {
        if spans[*role] != (0, 0) {
            if !of(text, spans[*role]).ends_with(suffix) {
                return None;
            }
            spans[*role].1 -= suffix.len() as u32;
        }
    }
    for (role, other) in &program.same_as {
        spans[*role] = spans[*other];
    }
    Some(())
}

fn line_source(text: &[u8], read: &[u8]) -> u8 {
    if core::ptr::eq(text, read) { READ } else { ROOM }
}

/// Return a text in which `\x41` is the byte that it stands for, and, where they may be escaped, quotes are quotes.
fn unescaped(text: &[u8], has_quotes: bool) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'\\' && at + 3 < text.len() && text[at + 1] == b'x' {
            if let (Some(high), Some(low)) = (digit(text[at + 2]), digit(text[at + 3])) {
                plain.push((high * 16 + low) as u8);
                at += 4;
                continue;
            }
        }
        at += (has_quotes && text[at] == b'\\' && text.get(at + 1) == Some(&b'"')) as usize;
        plain.push(text[at]);
        at += 1;
    }
    plain
}

/// Fill the attempts of a line; return how many there are. None: Python is to read it.
#[inline(always)]
fn read_attempts(text: &[u8], spans: &Spans, program: &Program, code: u32, attempts: &mut [Attempt]) -> Option<usize> {
    let (address, answer) = (spans[ADDRESS], spans[ANSWER]);
    attempts[0] = NO_ATTEMPT;
    if !program.has[ADDRESS] {
        return Some(0);
    }
    let whole = of(text, address);
    if program.is_grouped && !is_there(whole) {
        let group = spans[GROUP];
        let is_named = is_there(of(text, group));
        if !is_word(text, group.0 as usize, group.1 as usize, [b'"'; 4]) || of(text, group).len() > LONGEST_ADDRESS {
            return None;
        }
        attempts[0].address = if is_named { group } else { (0, 0) };
        attempts[0].class = if is_named { OF_GROUP } else { OF_GROUP + 1 };
        attempts[0].answer = spans[ANSWER];
        attempts[0].failed = is_failure(code);
        if is_there(of(text, spans[RESPONSE])) {
            let took = micros_at(text, spans[RESPONSE], program.units[RESPONSE])?;
            attempts[0].times[2] = took.filter(|_| !(program.has_nought && is_nought(of(text, spans[RESPONSE])))).unwrap_or(NO_TIME);
        }
        return Some(1);
    }
    if program.is_numeric && !matches!(whole.first(), Some(b'0'..=b'9') | Some(b'[')) {
        return None;
    }
    if whole.is_empty() || whole == b"-" {
        let nobody = [ANSWER, CONNECT, HEADER, RESPONSE].iter().all(|role| matches!(of(text, spans[*role]), b"" | b"-"));
        return if nobody && !program.is_bare { Some(0) } else { None };
    }
    if program.is_bare || find(text, address.0 as usize, b' ') >= address.1 as usize {
        return read_attempt(text, spans, program, code, &mut attempts[0]);
    }
    let mut lists = [address, answer, spans[CONNECT], spans[HEADER], spans[RESPONSE]];
    let mut number = 0;
    loop {
        if number == ATTEMPTS {
            return None;
        }
        attempts[number] = NO_ATTEMPT;
        let attempt = &mut attempts[number];
        let mut goes_on = [false; 5];
        for (which, list) in lists.iter_mut().enumerate() {
            if *list == (0, 0) {
                continue;
            }
            let one = next(text, list, &mut goes_on[which]);
            let value = of(text, one);
            match which {
                0 => {
                    if value.is_empty() || value.len() > LONGEST_ADDRESS || !is_address(text, one) {
                        return None;
                    }
                    attempt.address = one;
                    attempt.class = class_in(value, program)?;
                }
                1 => {
                    attempt.answer = one;
                    attempt.failed = value == b"-" || is_failure(status(value)?);
                }
                _ => attempt.times[which - 2] = micros(value, program.units[CONNECT + which - 2])?.unwrap_or(NO_TIME),
            }
        }
        number += 1;
        let first = goes_on[0];
        if (0..5).any(|which| lists[which] != (0, 0) && goes_on[which] != first) {
            return None;
        }
        if answer == (0, 0) {
            attempts[number - 1].failed = is_failure(code);
        }
        if !first {
            return Some(number);
        }
    }
}

/// Fill the only attempt of a line.
#[inline(always)]
fn read_attempt(text: &[u8], spans: &Spans, program: &Program, code: u32, attempt: &mut Attempt) -> Option<usize> {
    let (address, answer) = (of(text, spans[ADDRESS]), of(text, spans[ANSWER]));
    if address.len() > LONGEST_ADDRESS || !(program.is_bare || is_address(text, spans[ADDRESS])) {
        return None;
    }
    attempt.address = spans[ADDRESS];
    attempt.class = if program.is_bare { class_of_name(address) } else { class_in(address, program)? };
    attempt.answer = spans[ANSWER];
    attempt.failed = match answer {
        b"" if !program.has[ANSWER] => is_failure(code),
        b"" | b"-" => true,
        _ => is_failure(status(answer)?),
    };
    for which in 0..3 {
        let span = spans[CONNECT + which];
        if span != (0, 0) {
            attempt.times[which] = micros_at(text, span, program.units[CONNECT + which])?.unwrap_or(NO_TIME);
        }
    }
    if program.has_nought && is_nought(of(text, spans[RESPONSE])) {
        attempt.times[2] = NO_TIME;
    }
    if program.is_summed {
        attempt.times = summed(text, spans, program)?;
    }
    Some(1)
}

/// Return the times of an attempt from those of its steps, of which some may be missing.
#[inline(always)]
fn summed(text: &[u8], spans: &Spans, program: &Program) -> Option<[u64; 3]> {
    let time = |role: usize| if spans[role] == (0, 0) { Some(None) } else { micros_at(text, spans[role], program.units[TOTAL]) };
    let (connect, header, total) = (time(CONNECT)?, time(HEADER)?, time(TOTAL)?);
    let waits = (time(WAIT)?, time(WAIT + 1)?);
    let is_missing = |role: usize, wait: Option<u64>| wait.is_none() && spans[role] != (0, 0);
    let connect = match connect {
        Some(connect) if !is_missing(WAIT, waits.0) && !is_missing(WAIT + 1, waits.1) => connect,
        _ => return Some([NO_TIME; 3]),
    };
    let response = match (waits, total) {
        ((Some(one), Some(other)), Some(total)) => total.saturating_sub(one + other),
        _ => NO_TIME,
    };
    Some([connect, header.map_or(NO_TIME, |header| connect + header), response])
}

/// Return the time that a line tells of its request; NO_TIME where it tells none. None: Python is to read it.
#[inline(always)]
fn total_of(text: &[u8], spans: &Spans, at: i64, program: &Program) -> Option<u64> {
    let total = match spans[TOTAL] {
        (0, 0) if program.is_json && program.has[TOTAL] => return None,
        (0, 0) => NO_TIME,
        span => micros_at(text, span, program.units[TOTAL])?.unwrap_or(NO_TIME),
    };
    if program.has[OTHER] { between(text, spans, at, program) } else { Some(total) }
}

/// Return the sum of two times, of which each may be missing.
#[inline(always)]
fn with_more(total: u64, time: u64) -> u64 {
    match (total, time) {
        (_, NO_TIME) => total,
        (NO_TIME, _) => LONGEST_MICROS.min(time),
        _ => LONGEST_MICROS.min(total + time),
    }
}

/// Return the time of a request: that of its only attempt where no other is told.
#[inline(always)]
fn with_times(total: u64, times: &[u64; 3]) -> u64 {
    if total == NO_TIME { with_more(total, times[2]) } else { total }
}

/// Return the times of the only attempt of a line, if it has one. None: it may have more, or Python is to read it.
#[inline(always)]
fn times_of(text: &[u8], spans: &Spans, program: &Program) -> Option<[u64; 3]> {
    if !program.has[ADDRESS] {
        return Some([NO_TIME; 3]);
    }
    if program.is_summed {
        return if program.is_grouped { None } else { summed(text, spans, program) };
    }
    let mut times = [NO_TIME; 3];
    for (which, time) in times.iter_mut().enumerate() {
        let span = spans[CONNECT + which];
        if span != (0, 0) {
            *time = micros_at(text, span, program.units[CONNECT + which])?.unwrap_or(NO_TIME);
        }
    }
    if program.has_nought && is_nought(of(text, spans[RESPONSE])) {
        times[2] = NO_TIME;
    }
    Some(times)
}

/// Return the mark of a line with these times. None: an answer cannot be told.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn mark_of(text: &[u8], spans: &Spans, which: usize, program: &Program, code: u32, total: u64, times: &[u64; 3]) -> Option<Mark> {
    let (words, failed) = (&program.words, is_failure(code));
    let mut has = 0;
    for (place, time) in times.iter().enumerate() {
        has |= ((*time != NO_TIME) as u64) << place;
        if program.has[CONNECT + place] {
            has |= (is_there(of(text, spans[CONNECT + place])) as u64) << (3 + place);
        }
    }
    let mut found = Marking::new(program.seed, code as u64 | has << 16 | (which as u64) << 32);
    words.add(text, spans, failed, &mut found);
    let took = with_times(total, times);
    let mut answers = 1u64;
    let mut add = |one: u8| {
        if answers >> 56 != 0 {
            found.add(answers);
            answers = 1;
        }
        answers = answers << 8 | one as u64;
    };
    for number in &words.codes {
        add(short_answer(&program.questions[*number], text, spans, program, took)?);
    }
    if failed {
        for number in &words.codes_of_failures {
            add(short_answer(&program.questions_of_failures[*number], text, spans, program, took)?);
        }
    }
    found.add(answers);
    Some(found.mark())
}

/// Return the next of a list that `, ` and ` : ` part.
#[inline(always)]
fn next(text: &[u8], list: &mut (u32, u32), goes_on: &mut bool) -> (u32, u32) {
    let whole = of(text, *list);
    for at in 0..whole.len() {
        let size = match whole[at] {
            b',' if whole.get(at + 1) == Some(&b' ') => 2,
            b' ' if whole[at..].starts_with(b" : ") => 3,
            _ => continue,
        };
        let one = (list.0, list.0 + at as u32);
        list.0 += (at + size) as u32;
        *goes_on = true;
        return one;
    }
    *list
}

/// Return what the shape of a line with one attempt at most is remembered by.
#[inline(always)]
fn memo_of(text: &[u8], code: u32, attempts: &[Attempt]) -> Option<u64> {
    let attempt = match attempts.len() {
        0 => return Some(code as u64),
        1 => &attempts[0],
        _ => return None,
    };
    let answer = of(text, attempt.answer);
    if answer.len() > 3 {
        return None;
    }
    let digits = answer.iter().fold(0u64, |found, byte| found << 8 | *byte as u64);
    let has = (attempt.times[0] != NO_TIME) as u64 | ((attempt.times[1] != NO_TIME) as u64) << 1;
    Some(code as u64 | (attempt.class as u64) << 10 | has << 16 | digits << 20 | (1 + answer.len() as u64) << 50)
}

#[inline(always)]
fn place_of(memo: u64) -> usize {
    (memo.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % MEMOS
}

/// Return where an address stands without the port behind it. None: it has none.
#[inline(always)]
fn without_port(text: &[u8], span: (u32, u32)) -> Option<(u32, u32)> {
    let address = of(text, span);
    let digits = address.iter().rev().take(6).take_while(|byte| byte.is_ascii_digit()).count();
    let is_port = digits < 6 && digits != 0 && address.len() > digits + 1 && address[address.len() - digits - 1] == b':';
    if is_port { Some((span.0, span.1 - digits as u32 - 1)) } else { None }
}

/// Return the name of an attempt: the number of its shape, which attempt it is, and the address.
fn try_name(shape: usize, number: u8, address: &[u8]) -> Vec<u8> {
    let mut name = vec![shape as u8, (shape >> 8) as u8, number];
    name.extend_from_slice(address);
    name
}

/// Return whether a value may be one of the addresses that nginx writes.
#[inline(always)]
fn is_address(text: &[u8], span: (u32, u32)) -> bool {
    is_word(text, span.0 as usize, span.1 as usize, *b",\"|;")
}

const NAMED: u8 = 6; // class of an address with a name in place of numbers

/// Return whether a time is exactly none.
fn is_nought(time: &[u8]) -> bool {
    time.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

/// Return the class of an address. None: Python is to tell it.
#[inline(always)]
fn class_in(address: &[u8], program: &Program) -> Option<u8> {
    if !program.has_names {
        return Some(class_of(address)).filter(|class| *class != NAMED);
    }
    let address = address.strip_prefix(b"http://").or_else(|| address.strip_prefix(b"https://")).unwrap_or(address);
    match class_of(address) {
        NAMED | 2 => Some(NAMED).filter(|_| is_host(address)),
        class => Some(class),
    }
}

/// Return whether an address is the name of a host, with or without a port.
fn is_host(address: &[u8]) -> bool {
    let mut parts = address.split(|byte| *byte == b':');
    let (name, port) = (parts.next().unwrap_or(b""), parts.next().unwrap_or(b"1"));
    let is_edge = |byte: Option<&u8>| byte.map_or(false, u8::is_ascii_alphanumeric);
    parts.next().is_none()
        && name.first().map_or(false, u8::is_ascii_alphabetic)
        && is_edge(name.last())
        && name.len() < 254
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        && (1..5).contains(&port.len())
        && port.iter().all(u8::is_ascii_digit)
}

/// Return whether an attempt was at an address (1), or only at a group, which is then named (2). 3: neither.
#[inline(always)]
fn class_of(address: &[u8]) -> u8 {
    if address == b"-" {
        return 3;
    }
    if address.starts_with(b"unix:") {
        return 1;
    }
    let digits = address.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..6).contains(&digits) || address.len() <= digits + 1 || address[address.len() - digits - 1] != b':' {
        let is_odd = holds(address, b':') || address.first().map_or(true, u8::is_ascii_digit);
        return if is_ipv4(address) { 1 } else if is_odd { NAMED } else { 2 };
    }
    let host = &address[..address.len() - digits - 1];
    let is_plain = digits < 5 || address[address.len() - 5] < b'6'; // up to 59999; Python looks at the others
    if is_plain && (is_ipv4(host) || is_ipv6(host)) { 1 } else { NAMED }
}

fn is_ipv4(text: &[u8]) -> bool {
    let mut parts = 0;
    for part in text.split(|byte| *byte == b'.') {
        let value = part.iter().fold(0u32, |sum, byte| sum.saturating_mul(10).saturating_add(byte.wrapping_sub(b'0') as u32));
        if part.is_empty() || part.len() > 3 || !part.iter().all(u8::is_ascii_digit) || value > 255 || (part.len() > 1 && part[0] == b'0') {
            return false;
        }
        parts += 1;
    }
    parts == 4
}

/// Return whether a text is an IPv6 address in brackets.
fn is_ipv6(text: &[u8]) -> bool {
    let inside = match text {
        [b'[', inside @ .., b']'] => inside,
        _ => return false,
    };
    core::str::from_utf8(inside).map_or(false, |inside| inside.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Return whether a name is one of those that stand for nobody, such as HAProxy's <NOSRV>.
#[inline(always)]
fn class_of_name(name: &[u8]) -> u8 {
    if holds(name, b'<') { 2 } else { 1 }
}


#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::PAD;

    #[test]
    fn addresses_are_told_from_names() {
        for (address, class) in [
            (&b"10.0.0.1:80"[..], 1),
            (b"[2001:db8::1]:8080", 1),
            (b"unix:/run/app.sock", 1),
            (b"backend", 2),
            (b"-", 3),
            (b"10.0.0.256:80", NAMED),
            (b"app:80", NAMED),
            (b"10.0.0.1258081", NAMED),
        ] {
            assert_eq!(class_of(address), class, "{}", String::from_utf8_lossy(address));
        }
    }

    #[test]
    fn a_scan_stops_before_a_kind_of_line_that_nobody_judged() {
        let program = "clock seconds\nbegin \nfield 1 0 20\nfield 2 0 20\nfield 3 0 \nzone 0 1 0";
        let mut reader = Reader::new(program).unwrap();
        let mut text = b"1772600767 200 GET / HTTP/1.1\n1772600768 502 GET / HTTP/1.1\n1772600769 200 GET / HTTP/1.1\n".to_vec();
        let length = text.len();
        text.extend_from_slice(&[b'\n'; PAD]);
        reader.scan(&text, 0, length);
        assert_eq!((reader.stopped, reader.lines), (0, 0));
        reader.judge(true, Pairing::default());
        reader.scan(&text, 0, length);
        assert_eq!((reader.stopped, reader.lines), (30, 1));
        reader.judge(false, Pairing::default());
        reader.scan(&text, 30, length);
        assert_eq!((reader.stopped, reader.lines), (length, 2));
        assert_eq!(reader.rejected, [30, 60]);
    }
}
