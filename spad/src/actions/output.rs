//! What a command says, as lines of the log: bounded, and without a sign that a terminal would act upon.

/// Lines of a run.
const LINES: usize = 64;
/// Bytes of a line.
const BYTES: usize = 512;

/// Of one run.
#[derive(Default)]
pub(super) struct Output {
    line: Vec<u8>,
    lines: usize,
    dropped: bool,
}

impl Output {
    /// Takes more bytes; gives the lines that are whole.
    pub(super) fn more(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut whole = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => whole.extend(self.end_of_line()),
                _ if self.lines >= LINES => self.dropped = true,
                _ if self.line.len() >= BYTES => self.dropped = true,
                byte => self.line.push(*byte),
            }
        }
        whole
    }

    /// What is left, and whether anything was dropped.
    pub(super) fn end(mut self) -> (Option<String>, bool) {
        let rest = if self.line.is_empty() { None } else { self.end_of_line() };
        (rest, self.dropped)
    }

    fn end_of_line(&mut self) -> Option<String> {
        if self.lines >= LINES {
            self.dropped = true;
            return None;
        }
        self.lines += 1;
        Some(legible(&std::mem::take(&mut self.line)))
    }
}

/// The text with all escaped that is not plainly printable.
fn legible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for c in String::from_utf8_lossy(bytes).chars() {
        if c == ' ' || c.is_ascii_graphic() {
            text.push(c);
        } else {
            text.extend(c.escape_debug());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_escaped() {
        #[rustfmt::skip]
        let rows = [
            // pieces, lines, the rest, why
            (&[&b"one\ntwo\n"[..]][..],     vec!["one", "two"],   None,         "two lines"),
            (&[b"on", b"e\ntw", b"o"],      vec!["one"],          Some("two"),  "in pieces, the last without an end"),
            (&[b"\x1b[2J\x07\r\n"],         vec!["\\u{1b}[2J\\u{7}\\r"], None,  "what a terminal acts upon"),
            (&["\u{202e}x \u{fc}\n".as_bytes()], vec!["\\u{202e}x \u{fc}"], None, "what turns text around; letters stay"),
            (&[b"\xff\xfe\n"],              vec!["\u{fffd}\u{fffd}"], None,     "no text at all"),
            (&[b"\n\n"],                    vec!["", ""],         None,         "empty lines"),
            (&[b"a\\n\n"],                  vec!["a\\n"],         None,         "a backslash is one"),
            (&[],                           vec![],               None,         "nothing"),
        ];
        for (pieces, lines, rest, why) in rows {
            let mut output = Output::default();
            let said: Vec<String> = pieces.iter().flat_map(|piece| output.more(piece)).collect();
            assert_eq!(said, lines, "{why}");
            assert_eq!(output.end(), (rest.map(str::to_owned), false), "{why}");
        }
    }

    #[test]
    fn whoever_says_much_is_cut_short_and_that_is_known() {
        let mut output = Output::default();
        let long = output.more(&[&[b'x'; 4000][..], b"\n"].concat());
        assert_eq!(long, ["x".repeat(BYTES)]);
        let many: usize = (0..1000).map(|_| output.more(b"again\n").len()).sum();
        assert_eq!(many, LINES - 1);
        assert!(output.line.is_empty(), "nothing is kept of what is dropped");
        assert_eq!(output.end(), (None, true));
        let mut exact = Output::default();
        assert_eq!((0..LINES).map(|_| exact.more(b"y\n").len()).sum::<usize>(), LINES);
        assert_eq!(exact.end(), (None, false), "as many as there may be");
    }
}
