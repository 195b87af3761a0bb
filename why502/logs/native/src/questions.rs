//! Answers to the questions of a program, from the values of a line. Lines with the same answers make one shape.

use crate::find::holds;
use crate::json::names_of;
use crate::line::{of, Spans};
use crate::program::{Program, Question, TOOK};
use crate::values::{micros, micros_at};

const LONGEST_MESSAGE: usize = 2048;
const LONG_NUMBER: usize = 5;
const LONG_PATH: usize = 10;

/// Append the answer to a key; `took` is how long the request took. None: Python is to read the line.
pub fn answer(question: &Question, text: &[u8], spans: &Spans, program: &Program, took: u64, key: &mut Vec<u8>) -> Option<()> {
    let value = |role: &usize| of(text, spans[*role]);
    key.push(0);
    match question {
        Question::Text(role) => key.extend_from_slice(value(role)),
        Question::Names(role) => {
            if spans[*role] != (0, 0) {
                names_of(text, spans[*role], key)?;
            }
        }
        Question::Word(role) => key.extend(value(role).iter().take_while(|byte| **byte != b' ')),
        Question::Origin(role) => key.extend_from_slice(origin(value(role))?),
        Question::Template(role, before) => template(value(role), before, key)?,
        Question::Sentence(role, before) => sentence(value(role), before, key)?,
        _ => key.push(short_answer(question, text, spans, program, took)?),
    }
    Some(())
}

/// Return the answer to a question whose answers are few. None: Python is to read the line.
#[inline(always)]
pub fn short_answer(question: &Question, text: &[u8], spans: &Spans, program: &Program, took: u64) -> Option<u8> {
    let value = |role: &usize| of(text, spans[*role]);
    let place = |found: Option<usize>| found.map_or(255, |at| at as u8);
    Some(match question {
        Question::Sign(role) => match value(role).first() {
            None => 0,
            Some(b'-') => 1,
            _ => 2,
        },
        Question::Has(role) => is_there(value(role)) as u8,
        Question::Bands(TOOK, limits) => limits.iter().filter(|limit| **limit <= took).count() as u8,
        Question::Bands(role, limits) => {
            let all = value(role);
            let begin = all.iter().rposition(|byte| *byte == b' ').map_or(0, |at| at + 1);
            let one = &all[begin..];
            match if one.is_empty() { None } else { micros(one, program.units[*role])? } {
                None => 255,
                Some(took) => limits.iter().filter(|limit| **limit <= took).count() as u8,
            }
        }
        Question::Round(role, least, every, late) => {
            let is_round = |took: u64| took >= *least && took % every <= *late;
            micros_at(text, spans[*role], program.units[*role])?.map_or(2, |took| is_round(took) as u8)
        }
        Question::Same(one, other) => (value(one) == value(other)) as u8,
        Question::Within(one, other) => {
            let (one, other) = (value(one), value(other));
            (other.starts_with(one) && other.get(one.len()) == Some(&b'/')) as u8
        }
        Question::OneOf(role, texts) => place(texts.iter().position(|one| one == value(role))),
        Question::Begins(role, texts) => place(texts.iter().position(|one| value(role).starts_with(one))),
        _ => return None, // a question with an answer of its own length
    })
}

pub fn is_there(value: &[u8]) -> bool {
    !matches!(value, b"" | b"-")
}

/// Return a URL up to its path. None: it cannot be told where that begins.
fn origin(url: &[u8]) -> Option<&[u8]> {
    let after = url.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
    if url[after..].starts_with(b"unix:") || url[after..].starts_with(b"passenger:") {
        let from = (after + 10).min(url.len());
        let end = url[from..].iter().position(|byte| *byte == b':')?;
        return Some(&url[..from + end]);
    }
    let end = url[after..].iter().position(|byte| *byte == b'/');
    Some(&url[..end.map_or(url.len(), |end| after + end)])
}

/// Append a message without what differs from line to line.
fn template(message: &[u8], before: &[Vec<u8>], key: &mut Vec<u8>) -> Option<()> {
    if message.len() > LONGEST_MESSAGE || holds(message, 0) {
        return None;
    }
    let mut at = 0;
    while at < message.len() {
        let byte = message[at];
        if at > 0 && byte != b' ' && message[at - 1] == b' ' && before.iter().any(|text| message[..at].ends_with(text)) {
            let size = message[at..].iter().take_while(|byte| !matches!(byte, b' ' | b']')).count();
            let word = &message[at..at + size];
            key.extend_from_slice(if word.iter().any(u8::is_ascii_digit) { b"#" } else { word });
            at += size;
        } else if byte.is_ascii_digit() {
            let size = message[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let last = if at == 0 { b' ' } else { message[at - 1] };
            let is_own_port = message[at + size..].starts_with(b"->"); // of a connection, from here to there
            if last == b'*' || is_own_port || (size >= LONG_NUMBER && last != b':' && last != b'.') {
                key.push(b'#');
            } else {
                key.extend_from_slice(&message[at..at + size]);
            }
            at += size;
        } else {
            key.push(byte);
            at += 1;
            if byte == b'"' && message.get(at) == Some(&b'/') {
                let size = message[at..].iter().take_while(|byte| **byte != b'"').count();
                if size >= LONG_PATH && at + size < message.len() {
                    key.extend_from_slice(b"/#\"");
                    at += size + 1;
                }
            }
        }
    }
    Some(())
}

const LONGEST_SENTENCE: usize = 1000; // Python looks for what decides in so many characters
const LONGEST_WORD: usize = 100;

/// Append a message without whole words that differ from line to line: long numbers, and words behind these texts. Where such a text
/// ends with a slash, the word is a path: behind a colon only at the end, and not where it holds what may be taken for a code or URL.
fn sentence(message: &[u8], before: &[Vec<u8>], key: &mut Vec<u8>) -> Option<()> {
    if message.len() > LONGEST_MESSAGE || holds(message, 0) {
        return None;
    }
    if message.len() > LONGEST_SENTENCE {
        key.extend_from_slice(message);
        return Some(());
    }
    let mut at = 0;
    while at < message.len() {
        let size = message[at..].iter().take_while(|byte| !matches!(byte, b' ' | b']')).count();
        let word = &message[at..at + size];
        let text = before.iter().find(|text| message[..at].ends_with(text.strip_suffix(b"/").unwrap_or(text)));
        let is_path = text.map_or(false, |text| text.ends_with(b"/"));
        let is_last = at + size == message.len();
        let varies = match text {
            _ if word.iter().all(u8::is_ascii_digit) => size >= LONG_NUMBER && at > 0 && message[at - 1] == b' ',
            None => false,
            Some(_) if !word.iter().all(u8::is_ascii_graphic) => false,
            Some(text) if is_path => word[0] == b'/' && (is_last || text[0] != b':') && !word.windows(2).any(|two| two == b"AH" || two == b"//"),
            Some(_) => size <= LONGEST_WORD && word.iter().any(u8::is_ascii_digit),
        };
        key.extend_from_slice(if !varies { word } else if is_path { b"/#" } else { b"#" });
        at += size;
        if at < message.len() {
            key.push(message[at]);
            at += 1;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_message(message: &str) -> String {
        let mut key = Vec::new();
        template(message.as_bytes(), &[b"client ".to_vec()], &mut key).unwrap();
        String::from_utf8(key).unwrap()
    }

    #[test]
    fn a_template_keeps_what_tells_messages_apart() {
        assert_eq!(of_message("*12 connect() failed (111: Connection refused)"), "*# connect() failed (111: Connection refused)");
        assert_eq!(of_message("open() \"/srv/www/favicon.ico\" failed"), "open() \"/#\" failed");
        assert_eq!(of_message("to 10.0.0.1:80801 of 1234567"), "to 10.0.0.1:80801 of #");
        assert_eq!(of_message("client 10.0.0.1 closed"), "client # closed");
        assert_eq!(of_message("client intended to send 5000000 bytes"), "client intended to send # bytes");
    }

    #[test]
    fn a_sentence_keeps_names() {
        let of_sentence = |message: &str| {
            let mut key = Vec::new();
            let before: Vec<Vec<u8>> = ["[client ", "returned by /", ": /"].iter().map(|text| text.as_bytes().to_vec()).collect();
            sentence(message.as_bytes(), &before, &mut key).unwrap();
            String::from_utf8(key).unwrap()
        };
        for (message, kept) in [
            ("(70007)The timeout: [client 10.0.0.1:4711] AH01102: x", "(70007)The timeout: [client #] AH01102: x"),
            ("connect to web-12345:80 (web-12345) failed", "connect to web-12345:80 (web-12345) failed"),
            ("child pid 12345 exit signal (11)", "child pid # exit signal (11)"),
            ("from server returned by /a/b", "from server returned by /#"),
            ("returned by /AH01102", "returned by /AH01102"),
            ("denied: /srv/x", "denied: /#"),
            ("odd: /srv/x: no", "odd: /srv/x: no"),
        ] {
            assert_eq!(of_sentence(message), kept);
        }
    }

    #[test]
    fn an_origin_ends_where_the_path_begins() {
        assert_eq!(origin(b"http://10.0.0.1:80/a:b"), Some(&b"http://10.0.0.1:80"[..]));
        assert_eq!(origin(b"http://unix:/run/app.sock:/x"), Some(&b"http://unix:/run/app.sock"[..]));
        assert_eq!(origin(b"http://unix:/run/app.sock/x"), None);
        assert_eq!(origin(b"10.0.0.1:53"), Some(&b"10.0.0.1:53"[..]));
    }
}
