//! What `--dry-run` says: in clear what a datagram would hide.

use spa_core::scheme::native::{MAX, MIDDLE, MIN, OVERHEAD};
use spa_core::time::UnixMillis;

use super::command::Command;
use super::knock::{Knock, Plan};
use super::profile::Profile;
use super::whom::Allow;
use crate::clock::utc;
use crate::secret_file::plain;

/// Several lines.
pub(super) fn text(command: &Command, plan: &Plan, profile: &Profile, time: UnixMillis) -> String {
    let mut lines = vec!["dry run: nothing is sent".to_owned()];
    let mut line = |name: &str, value: String| lines.push(format!("{name:<9} {value}"));
    line("profile", format!("{} ({})", profile.file.name, profile.path.display()));
    for knock in plan.knocks() {
        line("to", destination(command, knock));
    }
    line("asks to", command.deed());
    if let Some(window) = command.window() {
        line("window", window);
    }
    line("time", format!("{} by this machine", utc(time)));
    line("sizes", sizes(plan));
    lines.join("\n")
}

fn destination(command: &Command, knock: &Knock) -> String {
    let server = knock.route.server;
    let whom = match (knock.route.stated(command.allow), &knock.route.local) {
        (Some(stated), _) => stated.to_string(),
        (None, Ok(local)) if command.allow != Allow::Source => {
            format!("whoever it comes from ({} or what that is translated to)", local.ip())
        }
        (None, _) => "whoever it comes from".to_owned(),
    };
    match &knock.route.local {
        Ok(_) => format!("{server} udp, for {whom}"),
        Err(error) => format!("{server} udp, but not now: {}", plain(error)),
    }
}

fn sizes(plan: &Plan) -> String {
    let reached = plan.knocks().filter(|knock| knock.route.local.is_ok()).count();
    let count = reached * usize::from(plan.copies.get());
    let datagrams = if count == 1 { "datagram" } else { "datagrams" };
    let short = plan.knocks().all(|knock| knock.request.encode().len() + OVERHEAD <= MIN);
    let (low, high) = if short { (MIN, MIDDLE) } else { (MIDDLE, MAX) };
    format!("{count} {datagrams} of {low} to {high} bytes, drawn at random")
}
