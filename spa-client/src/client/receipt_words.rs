//! A receipt in words, and what it means for the exit status.

use std::time::Duration;

use humantime::format_duration;
use spa_core::receipt::{Outcome, Receipt, Refusal};
use spa_core::time::UnixMillis;

use super::receipts::Answer;
use crate::clock::utc;
use crate::failure::{Failure, Status};

/// Clocks that differ by less are nobody's business.
const LEAST: Duration = Duration::from_secs(10);

/// What was asked, and what the server said of it.
pub(super) fn text(asked: &str, answers: &[Answer]) -> String {
    if answers.is_empty() {
        return format!(
            "{asked}; no receipt came: it is lost, or this server sends none to this profile, or it refused"
        );
    }
    let done = answers.iter().filter_map(|answer| done(&answer.receipt));
    [asked.to_owned()].into_iter().chain(done).collect::<Vec<_>>().join("\n")
}

/// What is said of a receipt that says that all was done.
fn done(receipt: &Receipt) -> Option<String> {
    let Outcome::Done { until } = receipt.outcome else { return None };
    Some(match until {
        Some(until) => format!("open until {} UTC for {}", time_of_day(until), receipt.seen),
        None => format!("done, for {}", receipt.seen),
    })
}

/// How far this machine's clock is off, if that is worth a word.
pub(super) fn clock(answer: &Answer) -> Option<String> {
    let Receipt { time, skew, .. } = answer.receipt;
    let (by, ahead) = (answer.at.skew(time), answer.at > time);
    let skew = skew?;
    // With a narrow skew less is much.
    if by < LEAST.min(skew / 4) {
        return None;
    }
    let by = format_duration(Duration::from_secs((by + Duration::from_millis(500)).as_secs()));
    let side = if ahead { "ahead" } else { "behind" };
    Some(format!("your clock is {by} {side}; at {} it will be refused", format_duration(skew)))
}

/// The end of the program, if the server refused.
pub(super) fn refused(answer: &Answer, asked: &str) -> Option<Failure> {
    let Outcome::Refused(why) = answer.receipt.outcome else { return None };
    let (sentence, hint) = words(why);
    let server = answer.server.ip();
    Some(Failure::new(Status::Denied, format!("{server} refused to {asked}: {sentence}"), hint))
}

fn words(why: Refusal) -> (&'static str, &'static str) {
    match why {
        Refusal::Service => (
            "the profile may not open all of these services",
            "ask for others with -A, or have the profile's `open` extended at the server",
        ),
        Refusal::Expired => (
            "the profile has expired, or its key has ended",
            "use the client's half that was made last; or have a new one made with spa-keygen at the server",
        ),
        Refusal::Prefix => (
            "the profile may not open for prefixes of this length",
            "ask for an address with -a, or have the profile's `prefixes` extended at the server",
        ),
        Refusal::Target => (
            "the profile may not lead to this target",
            "name another with --forward, of the address family that you knock by",
        ),
        Refusal::Narrowing => (
            "this server or profile does not have what narrows the request, or not together",
            "leave out --source-port, --once or --forward",
        ),
        Refusal::Verb => ("the profile may not do this", "see the profile at the server"),
        Refusal::Limits => (
            "the profile allows it, but the server's own limits or its firewall do not, or not all of it",
            "the server's log says which; close what you do not need, or ask for less",
        ),
    }
}

/// `12:00:45`, from a moment in UTC.
fn time_of_day(moment: UnixMillis) -> String {
    let whole = utc(moment);
    whole.get(11..19).unwrap_or(&whole).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_795_175_999_123;

    fn answer(outcome: Outcome, skew: Option<u64>, ahead: i64) -> Answer {
        let time = UnixMillis::new(NOON).unwrap();
        let skew = skew.map(Duration::from_secs);
        let receipt = Receipt { time, outcome, seen: "203.0.113.7".parse().unwrap(), skew };
        let at = UnixMillis::new(NOON.checked_add_signed(ahead * 1000).unwrap()).unwrap();
        Answer { server: "192.0.2.1:7".parse().unwrap(), receipt, at }
    }

    #[test]
    fn a_receipt_is_told_in_one_line() {
        let open = Outcome::Done { until: UnixMillis::new(NOON + 45_000) };
        let told = |outcome| done(&answer(outcome, None, 0).receipt);
        assert_eq!(told(open).unwrap(), "open until 12:00:44 UTC for 203.0.113.7");
        assert_eq!(told(Outcome::Done { until: None }).unwrap(), "done, for 203.0.113.7");
        assert_eq!(told(Outcome::Refused(Refusal::Verb)), None);
        let refused = refused(&answer(Outcome::Refused(Refusal::Service), None, 0), "open tcp/80").unwrap();
        assert_eq!(refused.status, Status::Denied);
        assert!(refused.sentence.starts_with("192.0.2.1 refused to open tcp/80: the profile"), "{refused}");
    }

    #[test]
    fn a_clock_that_is_off_is_told_before_it_is_refused() {
        #[rustfmt::skip]
        let rows = [
            // skew, seconds ahead, told
            (Some(60),  40, Some("your clock is 40s ahead; at 1m it will be refused")),
            (Some(60), -40, Some("your clock is 40s behind; at 1m it will be refused")),
            (Some(60),   9, None),
            (Some(60),  10, Some("your clock is 10s ahead; at 1m it will be refused")),
            (Some(8),    2, Some("your clock is 2s ahead; at 8s it will be refused")),
            (Some(8),    1, None),
            (None,    4000, None),
        ];
        for (skew, ahead, told) in rows {
            let answer = answer(Outcome::Done { until: None }, skew, ahead);
            assert_eq!(clock(&answer).as_deref(), told, "{skew:?} {ahead}");
        }
    }
}
