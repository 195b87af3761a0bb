//! The layout of a log, as Python describes it: one instruction a line, texts in hexadecimal.

use crate::find::{are_digits, is_word};
use crate::steady::Words;
use crate::values::short_number;

pub const ROLES: usize = 32;

// what a value is of
// role 0 is of values that do not count
pub const TIME: usize = 1;
pub const STATUS: usize = 2;
pub const REQUEST: usize = 3;
pub const METHOD: usize = 4;
pub const URI: usize = 5;
pub const CLIENT: usize = 6;
pub const SERVER: usize = 7;
pub const ADDRESS: usize = 8; // of each attempt
pub const ANSWER: usize = 9; // status of each attempt
pub const CONNECT: usize = 10; // times of each attempt
pub const HEADER: usize = 11;
pub const RESPONSE: usize = 12;
pub const TOTAL: usize = 13; // time of the request
pub const DATE: usize = 14; // where the time of day stands in another field: TIME
pub const GROUP: usize = 15; // named where a line has no address
pub const WAIT: usize = 22; // a time before the attempt, which the time of the response includes; and the following
pub const OTHER: usize = 24; // another time: the request took as long as lies between the two
pub const TOOK: usize = 31; // the time between the two
pub const THREAD: usize = TOOK; // of a line that is no request: the process and thread that wrote it
pub const FOREIGN: usize = 27; // a member that Python understands and this reader does not

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    Common,   // 10/Oct/2000:13:55:36 -0700
    Iso,      // 2000-10-10T13:55:36.123Z, with a zone or in that of the machine
    Haproxy,  // 10/Oct/2000:13:55:36.123
    Nginx,    // 2000/10/10 13:55:36
    Short,    // Oct 10 13:55:36, in the latest year that is not in the future
    Apache,   // Tue Oct 10 13:55:36.123456 2000
    Seconds,  // since the epoch, with or without a fraction
    Millis,
    Micros,
    Nanos,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,  // it ends where the first byte of its literal comes first
    Word,   // the same, and is a word
    Number, // and a number
    List,   // and no list
    Odd,    // it needs a second look
}

pub struct Field {
    pub role: usize,
    pub is_number: bool,
    pub is_list: bool, // of attempts: `, ` and ` : ` do not end it
    pub is_word: bool, // without quotes and control characters
    pub is_far: bool,  // the first byte of the literal may stand in the value
    pub kind: Kind,    // how it is read
    pub kind_of_escaped: Kind, // in a line with a backslash
    pub size: usize,   // of the literal
    pub first: u8,     // of the literal behind the value
    pub begin: u64,    // its first eight bytes, and which of them count
    pub mask: u64,
    pub literal: Vec<u8>,
}

impl Field {
    fn new(role: usize, flags: i64, literal: Vec<u8>) -> Field {
        let mut raw = [0u8; 8];
        for (to, byte) in raw.iter_mut().zip(&literal) {
            *to = *byte;
        }
        let mask = if literal.len() < 8 { (1u64 << (8 * literal.len())) - 1 } else { !0 };
        let is_list = flags & 2 != 0 && literal.first() == Some(&b' ');
        let kind = match flags & 13 {
            _ if literal.is_empty() || literal.len() > 8 => Kind::Odd,
            0 if is_list => Kind::List,
            0 | 4 => Kind::Plain,
            1 if !is_list => Kind::Number,
            8 if !is_list => Kind::Word,
            _ => Kind::Odd,
        };
        Field {
            role,
            is_number: flags & 1 != 0,
            is_list,
            is_far: flags & 4 != 0,
            is_word: flags & 8 != 0,
            kind,
            kind_of_escaped: kind,
            size: literal.len(),
            first: *literal.first().unwrap_or(&0),
            begin: u64::from_le_bytes(raw),
            mask,
            literal,
        }
    }
}

pub struct Member {
    pub path: Vec<Vec<u8>>,
    pub role: usize,
}

pub enum Wrapper {
    Token,          // everything up to a space, and the spaces
    Fixed(usize),   // so many bytes
    Name,           // of a container, and spaces
    Until(Vec<u8>), // everything up to a text, and it
    Literal(Vec<u8>),
    Json(Vec<u8>, bool, Vec<Vec<u8>>), // the text of a member of an object; whether it must end with a line feed, or goes on elsewhere; members of which the first one there is the time
    Tag,            // everything up to `program[123]: ` or `program: `, a few words at most
    Priority,       // `<190>`, which may be missing
}

/// A question about a value. Lines with the same answers ended alike; Python is shown one of them.
pub enum Question {
    Text(usize),                     // the value itself
    Sign(usize),                     // is it there, is it negative
    Has(usize),                      // is it there
    Bands(usize, Vec<u64>),          // how many of these microseconds a time (the last of a list) reaches
    Round(usize, u64, u64, u64),     // whether a time is at least so long, and a multiple of another, at most so much late
    Same(usize, usize),              // whether two values are the same
    Within(usize, usize),            // whether the second is the first, a slash and more
    OneOf(usize, Vec<Vec<u8>>),      // which of these it is
    Begins(usize, Vec<Vec<u8>>),     // with which of these it begins
    Names(usize),                    // the names of an object's members
    Word(usize),                     // what stands before the first space
    Origin(usize),                   // a URL without its path
    Template(usize, Vec<Vec<u8>>),   // a message without long numbers, quoted paths, and the words behind these texts
    Sentence(usize, Vec<Vec<u8>>),   // the same where a name in the message decides: only whole words are left out
}

/// What a value must be; lines in which it is not are left to Python.
pub enum Check {
    Without([u8; 4]), // a word without these bytes
    Around(u8),       // a word with this byte inside
    Integer,
    Duration, // of seconds, with six digits on either side of the point at most
    List, // of numbers
    Short, // a word of at most 64 bytes
    Capital, // it begins with a capital letter, or is no request at all
}

impl Check {
    fn parse(words: &[&str]) -> Option<Check> {
        Some(match *words.first()? {
            "without" => {
                let bytes = unhex(words.get(1)?)?;
                if bytes.len() > 4 {
                    return None;
                }
                let mut four = [b' '; 4]; // no word holds a space
                four[..bytes.len()].copy_from_slice(&bytes);
                Check::Without(four)
            }
            "around" => Check::Around(*unhex(words.get(1)?)?.first()?),
            "integer" => Check::Integer,
            "duration" => Check::Duration,
            "list" => Check::List,
            "short" => Check::Short,
            "capital" => Check::Capital,
            _ => return None,
        })
    }

    /// Return whether the value at a place of a text is so.
    #[inline(always)]
    pub fn holds(&self, text: &[u8], (begin, end): (u32, u32)) -> bool {
        let (begin, end) = (begin as usize, end as usize);
        let value = &text[begin..end];
        match self {
            Check::Without(bytes) => is_word(text, begin, end, *bytes),
            Check::Around(byte) => {
                let place = value.iter().position(|one| one == byte);
                place.map_or(false, |at| (1..=200).contains(&at) && (1..=200).contains(&(value.len() - at - 1))) && is_word(text, begin, end, [b' '; 4])
            }
            Check::Integer => {
                if short_number(text, begin, end).is_some() {
                    return true;
                }
                let digits = value.strip_prefix(b"-").unwrap_or(value);
                (1..=12).contains(&digits.len()) && are_digits(text, end - digits.len(), end)
            }
            Check::Duration => {
                let positive = value.strip_prefix(b"-").unwrap_or(value);
                let whole = positive.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let part = positive.get(whole + 1..).unwrap_or(b"0");
                (1..=6).contains(&whole) && (positive.len() == whole || positive[whole] == b'.') && (1..=6).contains(&part.len()) && part.iter().all(u8::is_ascii_digit)
            }
            Check::List => value.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b',' | b':' | b' ')),
            Check::Short => (1..=64).contains(&value.len()) && is_word(text, begin, end, [b' '; 4]),
            Check::Capital => value.first().map_or(false, u8::is_ascii_uppercase) || value == b"<BADREQ>",
        }
    }
}

/// A value behind a message, which may be missing: how it begins, the byte that ends it.
pub struct Tail {
    pub role: usize,
    pub begin: Vec<u8>,
    pub end: u8,
    pub is_needed: bool, // where one of the others is there
}

/// Local time from one second (of the local clock) to another is so far from UTC.
pub struct Zone {
    pub since: i64,
    pub until: i64,
    pub offset: i64,
}

#[derive(Default)]
pub struct Program {
    pub wrappers: Vec<Wrapper>,
    pub begin: Vec<u8>,
    pub fields: Vec<Field>,
    pub members: Vec<Member>,
    pub is_json: bool,
    pub clock: Option<Clock>,
    pub zones: Vec<Zone>,
    pub today: i64, // days since the epoch
    pub has: [bool; ROLES],
    pub units: [u64; ROLES], // nanoseconds of one unit of a time
    pub since: i64,
    pub until: i64,
    pub least: u32, // status of a failure that is wanted; 0: everything is
    pub is_exact: bool,
    pub is_escaped: bool, // a quote behind a backslash does not end a value
    pub is_bare: bool,    // addresses are names, of which none is told apart
    pub is_said: bool,    // lines are no requests: only how often each kind comes counts
    pub questions: Vec<Question>,
    pub questions_of_failures: Vec<Question>,
    pub tails: Vec<Tail>,
    pub is_grouped: bool, // a line without an address names a group, or nobody
    pub is_numeric: bool, // an address begins with a digit or a bracket
    pub has_brackets: bool, // of clients: they do not belong to the address
    pub has_url: bool,    // the URI may be whole; its host is the server where no other is told
    pub is_fine: bool,    // the other time is the later one, and counts where one of them has a fraction
    pub is_short: bool,   // a status may have fewer than three digits
    pub has_protocol: bool, // a request may be told by its protocol alone
    pub is_whole: bool,   // no member is ever missing
    pub has_names: bool,  // an address may have a name in place of numbers
    pub needs_client: bool, // where none is told, Python looks elsewhere
    pub has_nought: bool, // a response that took no time at all is none
    pub is_changing: bool,
    pub is_stamped: bool, // the time is that of the wrapper
    pub has_pairs: bool,  // some lines repeat another of their thread
    pub is_entry: bool,   // what does not begin as a line of this layout goes on with the line before
    pub same_as: Vec<(usize, usize)>, // a role whose value is that of another
    pub suffixes: Vec<(usize, Vec<u8>)>, // what ends a value and does not belong to it
    pub after: Vec<(usize, u8)>, // a value begins behind the last of these bytes
    pub is_careful: bool, // what may have failed is left
    pub has_paths: bool,  // what was answered is counted by path
    pub leaves: Vec<u32>, // statuses that are left then
    pub step: i64,        // seconds that refusals of a path are counted by
    pub has_hex: bool,    // `\\x41` in a request is one byte
    pub has_port: bool,   // of clients
    pub is_summed: bool,  // times of an attempt are told one after the other, and the time of the request in place of the response's
    pub strips: Vec<u8>,  // bytes that do not belong to the end of a server's name
    pub expects: Vec<(usize, Vec<u8>)>, // how a value begins
    pub checks: Vec<(usize, Check)>,
    pub words: Words, // by which lines are known that ended as earlier ones
    pub is_decided: Vec<bool>, // of each check: whether such a word decides it
    pub objects: u64, // roles whose values are objects, of which the members' names count
    pub seed: u64,
    pub most: usize,
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let raw = text.as_bytes();
    if raw.len() % 2 != 0 {
        return None;
    }
    raw.chunks(2).map(|pair| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

impl Question {
    fn parse(words: &[&str]) -> Option<Question> {
        let number = |at: usize| words.get(at)?.parse::<u64>().ok();
        let role = |at: usize| number(at).map(|value| value as usize).filter(|value| *value < ROLES);
        let texts = || words[2..].iter().map(|word| unhex(word)).collect::<Option<Vec<Vec<u8>>>>();
        Some(match *words.first()? {
            "text" => Question::Text(role(1)?),
            "sign" => Question::Sign(role(1)?),
            "has" => Question::Has(role(1)?),
            "bands" => Question::Bands(role(1)?, words[2..].iter().map(|word| word.parse().ok()).collect::<Option<Vec<u64>>>()?),
            "round" => Question::Round(role(1)?, number(2)?, number(3).filter(|every| *every > 0)?, number(4)?),
            "same" => Question::Same(role(1)?, role(2)?),
            "within" => Question::Within(role(1)?, role(2)?),
            "oneof" => Question::OneOf(role(1)?, texts()?),
            "begins" => Question::Begins(role(1)?, texts()?),
            "names" => Question::Names(role(1)?),
            "word" => Question::Word(role(1)?),
            "origin" => Question::Origin(role(1)?),
            "template" => Question::Template(role(1)?, texts()?),
            "sentence" => Question::Sentence(role(1)?, texts()?),
            _ => return None,
        })
    }
}

impl Program {
    /// Return the programs of a description: what does not fit the first is read by the next.
    pub fn all(text: &str) -> Option<Vec<Program>> {
        text.split("\nnext\n").map(Program::parse).collect()
    }

    /// Return whether a line may have a value of a role.
    pub fn may_hold(&self, role: usize) -> bool {
        let is_made = (role == SERVER && self.has_url) || (role == TIME && self.is_stamped) || self.same_as.iter().any(|same| same.0 == role);
        is_made || self.has[role] || self.tails.iter().any(|tail| tail.role == role)
    }

    /// Return the program of a description; None where it cannot be carried out.
    pub fn parse(text: &str) -> Option<Program> {
        let mut program = Program { since: i64::MIN, until: i64::MAX, most: 250_000, units: [1_000_000_000; ROLES], step: 1, ..Default::default() };
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words.get(at)?.parse::<i64>().ok();
            let role = |at: usize| number(at).map(|value| value as usize).filter(|value| *value < ROLES);
            match *words.first()? {
                "since" => program.since = number(1)?,
                "until" => program.until = number(1)?,
                "least" => program.least = number(1)? as u32,
                "exact" => program.is_exact = true,
                "escaped" => program.is_escaped = true,
                "bare" => program.is_bare = true,
                "said" => program.is_said = true,
                "grouped" => program.is_grouped = true,
                "numeric" => program.is_numeric = true,
                "brackets" => program.has_brackets = true,
                "url" => program.has_url = true,
                "fine" => program.is_fine = true,
                "nought" => program.has_nought = true,
                "short" => program.is_short = true,
                "protocol" => program.has_protocol = true,
                "whole" => program.is_whole = true,
                "named" => program.has_names = true,
                "clients" => program.needs_client = true,
                "entries" => program.is_entry = true,
                "pairs" => program.has_pairs = true,
                "stamped" => program.is_stamped = true,
                "today" => program.today = number(1)?,
                "same" => program.same_as.push((role(1)?, role(2)?)),
                "suffix" => program.suffixes.push((role(1)?, unhex(words.get(2)?)?)),
                "after" => program.after.push((role(1)?, *unhex(words.get(2)?)?.first()?)),
                "ask" => program.questions.push(Question::parse(&words[1..])?),
                "ask-failure" => program.questions_of_failures.push(Question::parse(&words[1..])?),
                "tail" => program.tails.push(Tail {
                    role: role(1)?,
                    end: *unhex(words.get(2)?)?.first().unwrap_or(&0),
                    begin: unhex(words.get(3)?).filter(|begin| !begin.is_empty())?,
                    is_needed: words.get(4) == Some(&"needed"),
                }),
                "careful" => program.is_careful = true,
                "paths" => program.has_paths = true,
                "leave" => program.leaves.push(number(1)? as u32),
                "step" => program.step = number(1)?.max(1),
                "hex" => program.has_hex = true,
                "port" => program.has_port = true,
                "summed" => program.is_summed = true,
                "strips" => program.strips = unhex(words.get(1)?)?,
                "expects" => program.expects.push((role(1)?, unhex(words.get(2)?)?)),
                "check" => program.checks.push((role(1)?, Check::parse(&words[2..])?)),
                "seed" => program.seed = words.get(1)?.parse().ok()?,
                "most" => program.most = (number(1)? as usize).max(16),
                "zone" => program.zones.push(Zone { since: number(1)?, until: number(2)?, offset: number(3)? }),
                "begin" => program.begin = unhex(words.get(1)?)?,
                "unit" => program.units[role(1)?] = number(2)? as u64,
                "clock" => {
                    program.clock = Some(match *words.get(1)? {
                        "common" => Clock::Common,
                        "iso" => Clock::Iso,
                        "haproxy" => Clock::Haproxy,
                        "nginx" => Clock::Nginx,
                        "apache" => Clock::Apache,
                        "short" => Clock::Short,
                        "seconds" => Clock::Seconds,
                        "millis" => Clock::Millis,
                        "micros" => Clock::Micros,
                        "nanos" => Clock::Nanos,
                        _ => return None,
                    })
                }
                "wrap" => program.wrappers.push(match *words.get(1)? {
                    "token" => Wrapper::Token,
                    "fixed" => Wrapper::Fixed(number(2)? as usize),
                    "name" => Wrapper::Name,
                    "until" => Wrapper::Until(unhex(words.get(2)?)?),
                    "literal" => Wrapper::Literal(unhex(words.get(2)?)?),
                    kind @ ("json" | "json-line") => {
                        let times: Option<Vec<Vec<u8>>> = words[2..].iter().skip(1).map(|word| unhex(word)).collect();
                        Wrapper::Json(unhex(words.get(2)?)?, kind == "json-line", times?)
                    }
                    "tag" => Wrapper::Tag,
                    "priority" => Wrapper::Priority,
                    _ => return None,
                }),
                "field" => {
                    let role = role(1)?;
                    program.has[role] = true;
                    let flags = number(2)?;
                    let literal = unhex(words.get(3).unwrap_or(&""))?;
                    program.fields.push(Field::new(role, flags, literal));
                }
                "member" => {
                    let role = role(1)?;
                    program.has[role] = true;
                    program.is_json = true;
                    let path: Option<Vec<Vec<u8>>> = words[2..].iter().map(|word| unhex(word)).collect();
                    program.members.push(Member { path: path.filter(|path| !path.is_empty() && path.len() < 4)?, role });
                }
                _ => return None,
            }
        }
        let has_values = program.is_json || !program.fields.is_empty();
        let inner = program.fields.len().saturating_sub(1);
        if !has_values || program.clock.is_none() || program.fields.iter().take(inner).any(|field| field.literal.is_empty()) {
            return None;
        }
        program.is_changing = !(program.same_as.is_empty() && program.suffixes.is_empty() && program.after.is_empty());
        for question in program.questions.iter().chain(&program.questions_of_failures) {
            if let Question::Names(role) = question {
                program.objects |= 1 << role;
            }
        }
        program.words = Words::of(&program);
        // what ends a server's name is still there when it is checked, and no more when its mark is made
        program.is_decided = program.checks.iter().map(|(role, _)| program.words.has(*role) && (*role != SERVER || program.strips.is_empty())).collect();
        for field in &mut program.fields {
            if program.is_escaped && field.first == b'"' {
                field.kind_of_escaped = Kind::Odd;
            }
        }
        Some(program)
    }
}
