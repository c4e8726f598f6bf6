//! What somebody probably meant who mistyped a word.

/// The word of `known` that takes the fewest typing errors for its length to become `typed`; the first of several.
/// The dashes in front of an option count for nothing.
pub(crate) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.trim_start_matches('-');
    known.into_iter().min_by_key(|word| {
        let word = word.trim_start_matches('-');
        distance(typed, word) * 1000 / typed.len().max(word.len()).max(1)
    })
}

/// How many letters must be put in, left out, changed, or swapped with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Row i: the distances from the first i letters of `a` to each beginning of `b`. The last two rows are enough.
    let mut before = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (above[j] + usize::from(x != y)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                let before: &Vec<usize> = &before;
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_counted() {
        #[rustfmt::skip]
        let rows = [
            ("",        "",        0),
            ("port",    "port",    0),
            ("prot",    "port",    1),
            ("ports",   "port",    1),
            ("prt",     "port",    1),
            ("pert",    "port",    1),
            ("",        "port",    4),
            ("window",  "winter",  3),
        ];
        for (a, b, expected) in rows {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
        assert_eq!(nearest("laptpo", ["phone", "laptop", "desk"]), Some("laptop"));
        assert_eq!(nearest("--dst", ["--port", "--destination", "--dry-run"]), Some("--destination"));
        assert_eq!(nearest("laptop", []), None);
    }
}
