//! Answers in words, for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::answer::{Grant, LastReload, Revoked, Status};

pub(super) fn span(seconds: u64) -> String {
    // Of days the seconds do not matter.
    let seconds = if seconds > 86_400 { seconds / 60 * 60 } else { seconds };
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// One fact a line, with what is wrong last.
pub(super) fn status(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |name: &str, what: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<12}{what}");
    };
    let state = if status.degraded.is_empty() { "all is well" } else { "degraded, see below" };
    line("spad", format!("{}, up {}: {state}", status.version, span(status.uptime)));
    match (status.serving, status.port) {
        (Some(since), Some(port)) => {
            line(
                "serving",
                format!("port {port}, {}, since {}", counted(status.profiles, "profile"), span(since)),
            );
        }
        _ => line("serving", "nobody yet".to_owned()),
    }
    match &status.firewall {
        Some(firewall) => line("firewall", format!("{} ({})", firewall.place, firewall.why)),
        None => line("firewall", "none yet".to_owned()),
    }
    let interfaces: Vec<String> =
        status.interfaces.iter().map(|(name, state)| format!("{name} {state}")).collect();
    line("interfaces", if interfaces.is_empty() { "none".to_owned() } else { interfaces.join(", ") });
    line("clock", status.clock.clone());
    line("doors", format!("{} open", status.doors));
    line("admitted", status.admitted.to_string());
    let refused: Vec<String> = status
        .refused
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    line("refused", if refused.is_empty() { "none".to_owned() } else { refused.join(", ") });
    line(
        "lost",
        format!(
            "{} in the capture ring",
            counted(usize::try_from(status.lost).unwrap_or(usize::MAX), "frame")
        ),
    );
    if let Some(there) = status.runner {
        line("actions", if there { "a runner is there" } else { "nobody runs them" }.to_owned());
    }
    if let Some(LastReload { ago, taken, .. }) = &status.reload {
        line("reload", format!("{}, {} ago", if *taken { "taken" } else { "refused" }, span(*ago)));
    }
    status.degraded.iter().for_each(|complaint| line("degraded", complaint.clone()));
    text
}

/// A table, one lease a line.
pub(super) fn grants(grants: &[Grant]) -> String {
    if grants.is_empty() {
        return "no door is open".to_owned();
    }
    let head = ["PROFILE", "WHAT", "FOR", "SINCE", "LEFT", "CONNECTIONS", "IN", "OUT"].map(str::to_owned);
    let rows: Vec<[String; 8]> = std::iter::once(head).chain(grants.iter().map(row)).collect();
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..8).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

/// What a lease opens.
pub(super) fn what(grant: &Grant) -> String {
    let mut what = grant.service.clone();
    if let Some(to) = &grant.forward {
        what += &format!(" to {to}");
    }
    if grant.once {
        what += " once";
    }
    what
}

/// Who holds a lease.
pub(super) fn who(grant: &Grant) -> String {
    grant.profile.clone().unwrap_or_else(|| format!("({})", grant.key_id))
}

/// For whom a lease opens.
pub(super) fn whom(grant: &Grant) -> String {
    let port = grant.source_port.map(|port| format!(" from port {port}")).unwrap_or_default();
    format!("{}{port}", grant.grantee)
}

fn row(grant: &Grant) -> [String; 8] {
    let unknown = || "-".to_owned();
    let (connections, bytes_in, bytes_out) = match &grant.through {
        Some(through) => (through.connections.to_string(), size(through.bytes_in), size(through.bytes_out)),
        None => (unknown(), unknown(), unknown()),
    };
    [
        who(grant),
        what(grant),
        whom(grant),
        grant.since.clone().unwrap_or_else(unknown),
        span(grant.remaining),
        connections,
        bytes_in,
        bytes_out,
    ]
}

/// Whole, or with one figure behind the point.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (u128::from(bytes) * 10 / 1024, 0);
    while tenths >= 10 * 1024 {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS.get(unit).unwrap_or(&"?"))
}

/// What was closed, one door a line.
pub(super) fn revoked(revoked: &Revoked, whose: &str) -> String {
    let mut text = String::new();
    for door in &revoked.closed {
        let _ = writeln!(text, "closed {door}");
    }
    for door in &revoked.still_open {
        let _ = writeln!(text, "still open, as somebody else holds it: {door}");
    }
    if revoked.more > 0 {
        let _ = writeln!(text, "and {} more", revoked.more);
    }
    if text.is_empty() {
        let _ = writeln!(text, "nothing was open for {whose}");
    } else {
        text += "sessions that are open go on, unless their profile says on_close = \"cut\"\n";
    }
    if !revoked.done {
        text += "the firewall could not be changed; spad tries again until it can\n";
    }
    text
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::answer::Through;

    #[test]
    fn grants_stand_in_columns() {
        let plain = Grant {
            profile: Some("laptop".into()),
            key_id: "00c0ffee".into(),
            service: "tcp/22".into(),
            grantee: "192.0.2.7".into(),
            source_port: None,
            once: false,
            forward: None,
            since: Some("2026-11-21T12:00:00Z".into()),
            asked: "2026-11-21T12:00:00Z".into(),
            until: "2026-11-21T12:00:30Z".into(),
            remaining: 29,
            cut: false,
            through: Some(Through {
                connections: 1,
                bytes_in: 1023,
                bytes_out: 1024 * 1536,
                ..Through::default()
            }),
        };
        let other = Grant {
            profile: None,
            source_port: Some(40_000),
            once: true,
            forward: Some("10.0.0.5:443".into()),
            since: None,
            remaining: 3660,
            through: None,
            ..plain.clone()
        };
        let expected = "\
PROFILE     WHAT                         FOR                        SINCE                 LEFT   CONNECTIONS  IN      OUT
laptop      tcp/22                       192.0.2.7                  2026-11-21T12:00:00Z  29s    1            1023 B  1.5 MiB
(00c0ffee)  tcp/22 to 10.0.0.5:443 once  192.0.2.7 from port 40000  -                     1h 1m  -            -       -
";
        assert_eq!(grants(&[plain, other]), expected);
        assert_eq!(grants(&[]), "no door is open");
        assert_eq!([0, 1024, u64::MAX].map(size), ["0 B", "1.0 KiB", "15.9 EiB"]);
    }
}
