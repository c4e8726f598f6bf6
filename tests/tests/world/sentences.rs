//! Sentences of docs/SPEC.md that the oracle holds the world against. A test looks whether they still stand there.

pub const ONCE: &str = "So it is admitted once, whatever the clocks do";
pub const AS_SEALED: &str =
    "the attacker can deliver P's datagrams, early, late, repeatedly, from elsewhere, and nothing else";
pub const STRANGERS: &str =
    "Strangers' datagrams (`frame` to `mac`) cause no line, no ban and no growth of memory";
pub const FORWARDED: &str = "whoever forwards a datagram with a stated address from elsewhere gets nothing";
pub const OWN_COPY: &str = "the owner's own copy still works";
pub const ADMITTED: &str = "While both clocks are right and the journal is settled, a new command of a client is admitted, whatever happened before";
pub const FLOOD: &str = "a flood of replays never locks the owner out";
pub const SKEW: &str = "Exactly the skew is accepted, in either direction";
pub const WITHHELD: &str =
    "An open that was withheld on the path and is delivered after the close is thereby `old`";
pub const BEHIND: &str = "monotonic: there is a newest, and t <= newest - skew: `old`";
pub const UNSETTLED: &str = "While the journal is unsettled nothing is admitted";
pub const SHUT: &str =
    "A monotonic profile whose memory was in a lost journal stays `unsettled` until it has a new key";
pub const WINDOW: &str = "nothing is open after its window, whether the server lives or not";
pub const CLOSED: &str = "ends the grants of this profile, whoever the grantee";
pub const UNION: &str = "It is open until the latest of them ends";

pub const SUPERSEDED: &str = "so no restart brings the key back";

/// All of them.
pub const ALL: [&str; 16] = [
    ONCE, AS_SEALED, STRANGERS, FORWARDED, OWN_COPY, ADMITTED, FLOOD, SKEW, WITHHELD, BEHIND, UNSETTLED,
    SHUT, WINDOW, CLOSED, UNION, SUPERSEDED,
];
