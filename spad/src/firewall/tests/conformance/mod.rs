//! One list of properties, and every backend in every mode must have them all, in the real kernel. The table is
//! printed at the end.

mod case;
mod ends;
mod forwarding;
mod guarding;
mod properties;
mod whom;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;

use self::case::{CANDIDATES, Candidate, Case};
use super::namespace::Namespace;

/// Whom a property is asked of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Both,
    Guard,
    Attach,
}

type Property = (&'static str, Of, fn(&Case));

const PROPERTIES: &[Property] = &[
    ("a stranger is dropped", Of::Both, properties::a_stranger_is_dropped),
    ("a knock opens, IPv4 and IPv6", Of::Both, properties::a_grant_opens),
    ("only for whom, and only what", Of::Both, properties::only_for_whom),
    ("the window ends by the kernel alone", Of::Both, properties::the_window_ends_by_the_kernel),
    ("a refresh lengthens, never shortens another's", Of::Both, properties::a_refresh_never_shortens),
    ("shutting what is shut is no error", Of::Both, properties::a_missing_element_is_no_error),
    ("an established session lives on", Of::Both, properties::a_session_lives_on),
    ("a UDP door closes under its flow", Of::Both, properties::a_udp_door_closes),
    ("foreign rules identical after 100 cycles", Of::Both, properties::foreign_rules_stay),
    ("a restart reads back the time that is left", Of::Both, properties::a_restart_reads_back),
    ("a door opens in less than a millisecond", Of::Both, properties::a_door_opens_fast),
    ("no refresh and no new plan leaves a gap", Of::Both, properties::no_change_leaves_a_gap),
    ("preparing again changes nothing", Of::Both, properties::preparing_again_changes_nothing),
    ("a foreign flush is repaired within 1 s", Of::Both, properties::a_flush_is_repaired),
    ("teardown leaves nothing", Of::Both, properties::teardown_leaves_nothing),
    ("the text makes the same", Of::Both, properties::the_text_makes_the_same),
    ("another stand of ours is refused", Of::Both, properties::another_stand_is_refused),
    ("prefixes of every length, each by itself", Of::Both, whom::prefixes_do_not_collide),
    ("a door for some source ports only", Of::Both, whom::a_source_port_alone_passes),
    ("a link-local door on its link only", Of::Both, whom::a_link_local_door_is_of_one_link),
    ("both end by the kernel alone, UDP too", Of::Both, whom::narrow_doors_end_by_the_kernel),
    ("both live through restart, reload and flush", Of::Both, whom::narrow_doors_last),
    ("a hundred services, each with its own", Of::Both, whom::a_hundred_services),
    ("a door for one connection takes one", Of::Both, ends::one_connection),
    ("a forged SYN does not spend it", Of::Both, ends::not_by_a_forged_syn),
    ("nor does another session of the client", Of::Both, ends::not_by_another_session),
    ("sessions end with a door that cuts", Of::Both, ends::sessions_end_with_the_door),
    ("unless somebody keeps them", Of::Both, ends::a_session_of_nobody_is_not_cut),
    ("or is always allowed", Of::Both, ends::who_is_always_allowed_is_not_cut),
    ("a drop elsewhere is named", Of::Attach, properties::a_drop_elsewhere_is_named),
    ("a door leads to an inner host, and nowhere else", Of::Both, forwarding::a_door_leads_to_an_inner_host),
    ("a forward ends, and its session lives on", Of::Both, forwarding::a_forward_ends),
    ("a forward ends by the kernel alone", Of::Both, forwarding::a_forward_ends_by_the_kernel),
    ("a forwarded session ends with a door that cuts", Of::Guard, forwarding::a_forwarded_session_is_cut),
    ("a forwarded UDP door closes under its flow", Of::Guard, forwarding::a_udp_forward_closes),
    ("the inner host sees whom the profile says", Of::Both, forwarding::the_sender_is_as_the_profile_says),
    ("two inner hosts by one port, each for its client", Of::Both, forwarding::two_inner_hosts),
    ("a restart reads back where doors lead", Of::Both, forwarding::a_restart_reads_back),
    ("a flush is repaired with its forwards", Of::Both, forwarding::a_flush_is_repaired),
    ("a plan without targets leaves no NAT", Of::Both, forwarding::a_plan_without_targets),
    ("foreign NAT stays, and comes second", Of::Both, forwarding::foreign_nat_comes_second),
    ("the SPA port is silent", Of::Guard, guarding::the_spa_port_is_silent),
    ("loopback and transit are unharmed", Of::Guard, guarding::loopback_and_transit),
    ("other interfaces are left alone", Of::Guard, guarding::other_interfaces),
    ("a named inner host is guarded", Of::Guard, guarding::a_named_inner_host),
    ("a published port is guarded", Of::Guard, guarding::a_published_port),
    ("no way around by another kind of address", Of::Guard, guarding::no_way_around),
    ("an old session survives the first load", Of::Guard, guarding::an_old_session),
    ("a kept session opens nothing else", Of::Guard, guarding::a_kept_session_opens_nothing_else),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// Not asked of this mode.
    NotAsked,
}

#[test]
fn every_backend_in_every_mode_has_every_property() {
    if Namespace::new().is_none() {
        return;
    }
    let jobs: Vec<(usize, usize)> = (0..PROPERTIES.len())
        .flat_map(|property| (0..CANDIDATES.len()).map(move |c| (property, c)))
        .collect();
    let queue = Mutex::new(jobs.into_iter());
    let outcomes = Mutex::new(vec![vec![Outcome::NotAsked; CANDIDATES.len()]; PROPERTIES.len()]);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let Some((property, candidate)) = queue.lock().unwrap().next() else { return };
                    let outcome = ask(&PROPERTIES[property], &CANDIDATES[candidate]);
                    outcomes.lock().unwrap()[property][candidate] = outcome;
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    // Past the test harness, which would hide it.
    let _ = std::io::stderr().write_all(table(&outcomes).as_bytes());
    assert!(!outcomes.iter().flatten().any(|outcome| *outcome == Outcome::Failed), "see the table");
}

fn ask(&(name, of, property): &Property, candidate: &Candidate) -> Outcome {
    let asked = match of {
        Of::Both => true,
        Of::Guard => candidate.guards(),
        Of::Attach => !candidate.guards(),
    };
    if !asked {
        return Outcome::NotAsked;
    }
    match catch_unwind(AssertUnwindSafe(|| property(&Case::new(candidate)))) {
        Ok(()) => Outcome::Passed,
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?");
            let _ = writeln!(std::io::stderr(), "FAILED {}: {name}: {said}", candidate.name);
            Outcome::Failed
        }
    }
}

fn table(outcomes: &[Vec<Outcome>]) -> String {
    let width = PROPERTIES.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    let mut text = format!("\n{:width$}", "");
    for candidate in CANDIDATES {
        text += &format!("  {}", candidate.name);
    }
    for ((name, ..), row) in PROPERTIES.iter().zip(outcomes) {
        text += &format!("\n{name:width$}");
        for (outcome, candidate) in row.iter().zip(CANDIDATES) {
            let word = match outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "FAILED",
                Outcome::NotAsked => "-",
            };
            text += &format!("  {word:^length$}", length = candidate.name.len());
        }
    }
    text + "\n\n"
}
