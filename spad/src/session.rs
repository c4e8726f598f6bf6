//! Sessions that live when the guard goes up: they stay, and their owners should know what comes next.

use std::collections::BTreeSet;
use std::env;
use std::net::{IpAddr, SocketAddr};

use crate::firewall::standing::Stand;
use crate::firewall::{Session, sessions};
use spa_core::service::Protected;

/// What follows for those who are connected; `None` if nobody is, or if somebody else's rules decide it.
pub fn live_on(stand: &Stand, live: &[Session]) -> Option<String> {
    let mine = by_ssh();
    describe(stand, live, mine.as_ref())
}

/// The same of sessions with services that would be guarded.
pub fn would_live_on(stand: &Stand, protect: &[Protected]) -> Option<String> {
    live_on(stand, &sessions(protect).ok()?)
}

fn describe(stand: &Stand, live: &[Session], mine: Option<&Session>) -> Option<String> {
    if live.is_empty() || *stand != Stand::Guard {
        return None;
    }
    let ports: BTreeSet<String> = live.iter().map(|one| format!("tcp/{}", one.server().port())).collect();
    let ports = ports.into_iter().collect::<Vec<_>>().join(", ");
    let number = live.len();
    let yours = match mine.filter(|mine| live.contains(mine)) {
        Some(mine) => format!(", this one from {} among them", mine.client().ip()),
        None => String::new(),
    };
    let (sessions, live) = if number == 1 { ("session", "lives") } else { ("sessions", "live") };
    Some(format!(
        "{number} {sessions} older than the guard ({ports}) {live} on{yours}; new ones need a knock (the way back: stop \
         spad and run `spad teardown`, or add your address to firewall.always_allow)"
    ))
}

/// The session in which this process was started by hand, as sshd tells it.
fn by_ssh() -> Option<Session> {
    parse(&env::var("SSH_CONNECTION").ok()?)
}

/// `CLIENT PORT SERVER PORT`
fn parse(connection: &str) -> Option<Session> {
    let mut words = connection.split(' ');
    let mut end = || {
        let address: IpAddr = words.next()?.parse().ok()?;
        Some(SocketAddr::new(address, words.next()?.parse().ok()?))
    };
    Session::new(end()?, end()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_connected_is_told_what_comes_next() {
        let mine = parse("192.0.2.7 50000 192.0.2.1 22").unwrap();
        let other = parse("2001:db8::7 50001 2001:db8::1 2222").unwrap();
        let line = |live: &[Session], mine| describe(&Stand::Guard, live, mine);
        assert_eq!(line(&[], Some(&mine)), None, "nobody is connected");
        let one = line(&[mine], None).unwrap();
        assert!(
            one.starts_with("1 session older than the guard (tcp/22) lives on; new ones need a knock"),
            "{one}"
        );
        let two = line(&[mine, other], Some(&mine)).unwrap();
        assert!(two.starts_with("2 sessions older than the guard (tcp/22, tcp/2222) live on"), "{two}");
        assert!(two.contains("live on, this one from 192.0.2.7 among them;"), "{two}");
        assert!(two.contains("`spad teardown`") && two.contains("always_allow"), "{two}");
        let attached = Stand::Attach("inet filter input".parse().unwrap());
        assert_eq!(describe(&attached, &[mine], None), None, "the operator's rules decide it");
    }

    #[test]
    fn what_sshd_says_is_read_strictly() {
        for bad in ["", "192.0.2.7", "192.0.2.7 50000 192.0.2.1", "192.0.2.7 50000 2001:db8::1 22", "a 1 b 2"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
