//! Doors in words, for the log, and in the fields of an event.

use std::collections::BTreeMap;

use spa_core::lease::{Door, Limit};

use crate::operator::event::Facts;

/// A door, or those of one request that differ by their source ports alone.
pub(crate) struct Told {
    pub(crate) text: String,
    pub(crate) facts: Facts,
}

/// A text for each door; one text for the source ports of a request, each of which is a door.
pub(crate) fn of_doors(doors: impl IntoIterator<Item = Door>) -> Vec<Told> {
    let mut all = Vec::new();
    let mut narrowed: BTreeMap<Door, Vec<u16>> = BTreeMap::new();
    for door in doors {
        match door.limit {
            Limit::SourcePort(port) => {
                narrowed.entry(Door { limit: Limit::None, ..door }).or_default().push(port);
            }
            Limit::None | Limit::Once => all.push(told(door, None)),
        }
    }
    all.extend(narrowed.into_iter().map(|(door, mut ports)| {
        ports.sort_unstable();
        let runs: Vec<String> =
            ports.chunk_by(|one, next| one.checked_add(1) == Some(*next)).filter_map(run).collect();
        told(door, Some((ports.len(), runs.join(", "))))
    }));
    all
}

fn told(door: Door, ports: Option<(usize, String)>) -> Told {
    let text = match &ports {
        Some((1, port)) => format!("{door} from port {port}"),
        Some((_, ports)) => format!("{door} from ports {ports}"),
        None => door.to_string(),
    };
    Told { text, facts: Facts { source_ports: ports.map(|(_, ports)| ports), ..facts(door) } }
}

/// What a door is, but for its source port.
pub(super) fn facts(door: Door) -> Facts {
    let (service, grantee) = (Some(door.service.to_string()), Some(door.grantee.to_string()));
    Facts { service, grantee, ..Facts::default() }
}

fn run(ports: &[u16]) -> Option<String> {
    match (ports.first()?, ports.last()?) {
        (low, high) if low == high => Some(low.to_string()),
        (low, high) => Some(format!("{low}-{high}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_ports_are_told_together() {
        let door = |port: Option<u16>| Door {
            limit: port.map_or(Limit::None, Limit::SourcePort),
            ..Door::plain([192, 0, 2, 7].into(), "tcp/22".parse().unwrap())
        };
        #[rustfmt::skip]
        let rows = [
            (vec![None],                                     vec!["tcp/22 for 192.0.2.7"]),
            (vec![Some(40_000)],                             vec!["tcp/22 for 192.0.2.7 from port 40000"]),
            (vec![Some(7), Some(5), Some(6)],                vec!["tcp/22 for 192.0.2.7 from ports 5-7"]),
            (vec![Some(7), None, Some(5), Some(u16::MAX)],   vec!["tcp/22 for 192.0.2.7", "tcp/22 for 192.0.2.7 from ports 5, 7, 65535"]),
        ];
        for (ports, texts) in rows {
            let told = of_doors(ports.into_iter().map(door));
            assert_eq!(
                told.iter().map(|told| &told.text).collect::<Vec<_>>(),
                texts.iter().collect::<Vec<_>>()
            );
        }
    }
}
