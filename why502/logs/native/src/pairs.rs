//! Failures that a server tells in two lines of one thread: the second repeats the first, and counts no more.
//!
//! Which kinds of lines make such pairs is Python's to say (`Pairing` in why502/logs/pairing.py).

const MOST: usize = 256; // threads whose first line is kept

/// What Python says of a kind of line.
#[derive(Clone, Copy, Default)]
pub struct Pairing {
    pub begins: bool, // another may repeat it
    pub within: i64,  // it repeats one that was written at most so many microseconds before; 0: none
    pub code: u32,
    pub after: u32, // the code of the line that it repeats, of the same client; 0: any other than its own
}

#[derive(Clone)]
struct First {
    thread: u64,
    at: i64, // microseconds
    code: u32,
    client: u32,
}

/// The first lines of one log, the newest of each thread.
#[derive(Clone, Default)]
pub struct Pairs {
    firsts: Vec<First>,
}

impl Pairs {
    pub fn clear(&mut self) {
        self.firsts.clear();
    }

    /// Take note of a line; return whether it repeats an earlier one.
    pub fn repeats(&mut self, thread: u64, at: i64, client: u32, pairing: Pairing) -> bool {
        let place = self.firsts.iter().position(|first| first.thread == thread);
        if let Some(first) = place.map(|place| &self.firsts[place]).filter(|_| pairing.within > 0) {
            let is_such = if pairing.after == 0 { first.code != pairing.code } else { first.code == pairing.after && first.client == client };
            if is_such && (0..=pairing.within).contains(&at.saturating_sub(first.at)) {
                return true;
            }
        }
        if pairing.begins {
            if let Some(place) = place {
                self.firsts.remove(place);
            } else if self.firsts.len() == MOST {
                self.firsts.remove(0);
            }
            self.firsts.push(First { thread, at, code: pairing.code, client });
        }
        false
    }
}

/// Return a number for the thread in `12:tid 345` or `12`. None: it is written in another way.
pub fn thread_of(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = &text[digits..];
    let is_thread = rest.strip_prefix(b":tid ").map_or(rest.is_empty(), |tid| (1..=30).contains(&tid.len()) && tid.iter().all(u8::is_ascii_graphic));
    if !(1..=10).contains(&digits) || text[0] == b'0' || !is_thread || rest.contains(&b']') {
        return None;
    }
    Some(number(text))
}

/// Return a number for the text of a thread.
pub fn number(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |found: u64, byte| (found ^ *byte as u64).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Pairing = Pairing { begins: true, within: 0, code: 957, after: 0 };
    const SECOND: Pairing = Pairing { begins: true, within: 2_000_000, code: 1114, after: 0 };

    #[test]
    fn a_second_line_repeats_the_first_of_its_thread() {
        let mut pairs = Pairs::default();
        assert!(!pairs.repeats(1, 0, 0, FIRST));
        assert!(!pairs.repeats(2, 10, 0, SECOND));
        assert!(pairs.repeats(1, 2_000_000, 0, SECOND));
        assert!(!pairs.repeats(1, 2_000_001, 0, SECOND));
        assert!(!pairs.repeats(1, 2_000_002, 0, SECOND)); // its own code
        pairs.clear();
        assert!(!pairs.repeats(1, 2_000_003, 0, SECOND));
    }

    #[test]
    fn some_repeat_one_code_of_one_client() {
        let mut pairs = Pairs::default();
        let second = Pairing { begins: true, within: 50_000, code: 1075, after: 1067 };
        pairs.repeats(1, 0, 7, Pairing { begins: true, within: 0, code: 1067, after: 0 });
        assert!(pairs.repeats(1, 50_000, 7, second));
        assert!(!pairs.repeats(1, 50_000, 8, second));
    }

    #[test]
    fn threads_are_told_apart() {
        assert_ne!(thread_of(b"12:tid 345"), thread_of(b"12:tid 346"));
        assert_ne!(thread_of(b"12"), None);
        for odd in [&b""[..], b"012", b"12:tid ", b"12:345", b"12:tid 3 4", b"12345678901"] {
            assert_eq!(thread_of(odd), None);
        }
    }
}
