//! Rules for doors that end with a connection, and for doors whose sessions end with them.

use std::time::Duration;

use spa_core::service::Transport;

use super::{
    Chain, Direction, Kind, Match, Operation, Rule, Segment, Selector, Update, Verdict, always, granted,
    kept, rule,
};
use crate::firewall::nftables::forward::forwarded;
use crate::firewall::nftables::place::{Names, Place};
use crate::firewall::plan::Plan;

use Selector::{DestinationV4, DestinationV6, Port, Protocol, SourceV4, SourceV6, TcpDestination, TcpSource};

const DOOR_V4: &[Selector] = &[SourceV4, Protocol, Port];
const DOOR_V6: &[Selector] = &[SourceV6, Protocol, Port];
const CONNECTION_V4: &[Selector] = &[SourceV4, TcpSource, DestinationV4, TcpDestination];
const CONNECTION_V6: &[Selector] = &[SourceV6, TcpSource, DestinationV6, TcpDestination];

/// How long a handshake may take: longer than connection tracking waits for its end (60 s after the last SYN that is
/// answered), so that none is completed that is forgotten here.
const HANDSHAKE: Duration = Duration::from_secs(120);

/// The family's door, connection, sets for one connection each, and connections under way.
fn families(names: &Names) -> [(&'static [Selector], &'static [Selector], &'static str, &'static str); 2] {
    [
        (DOOR_V4, CONNECTION_V4, names.once.v4, names.shaking.v4),
        (DOOR_V6, CONNECTION_V6, names.once.v6, names.shaking.v6),
    ]
}

/// The segment that completes a handshake takes the door away. Not the SYN, which anybody can forge; nor the RST by which
/// the client answers what it did not begin; nor a segment of another session of the same client.
pub(super) fn completed(names: &Names) -> Vec<Rule> {
    let rule = |(door, connection, once, shaking)| Rule {
        matches: vec![
            Match::In(connection, shaking),
            Match::Established(Direction::Original),
            Match::Segment(Segment::Ack),
        ],
        updates: vec![
            Update { operation: Operation::Delete, key: door, set: once },
            Update { operation: Operation::Delete, key: connection, set: shaking },
        ],
        verdict: Verdict::Accept,
    };
    families(names).map(rule).into()
}

/// Lets a connection begin by a door that is for one, and remembers it.
pub(super) fn begun(names: &Names) -> Vec<Rule> {
    let rule = |(door, connection, once, shaking)| Rule {
        matches: vec![
            Match::Transport(Transport::Tcp),
            Match::In(door, once),
            Match::New,
            Match::Segment(Segment::Syn),
        ],
        updates: vec![Update { operation: Operation::Add(HANDSHAKE), key: connection, set: shaking }],
        verdict: Verdict::Accept,
    };
    families(names).map(rule).into()
}

/// Before anything established is let through: what goes through a door whose sessions end with it.
pub(super) fn ended(names: &Names) -> Vec<Rule> {
    vec![
        rule([Match::In(DOOR_V4, names.cut.v4)], Verdict::Goto(names.cutting)),
        rule([Match::In(DOOR_V6, names.cut.v6)], Verdict::Goto(names.cutting)),
    ]
}

/// Lets that through while the door is open, by the kernel's own time, and drops it from then on.
pub(super) fn cutting(plan: &Plan, place: &Place) -> Chain {
    let names = place.names();
    let mut rules = always(names);
    rules.extend(granted(plan, place));
    // Only a guard has what is older than it, and sees what will be led on.
    if *place == Place::Own {
        rules.extend(kept(names));
        rules.extend(forwarded(names));
    }
    rules.push(rule([], Verdict::CountAndDrop));
    Chain { name: names.cutting, kind: Kind::Filter, priority: None, rules }
}
