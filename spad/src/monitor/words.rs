//! Doors in words, for the log.

use std::collections::BTreeMap;

use spa_core::lease::{Door, Limit};

/// A text for each door; one text for the source ports of a request, each of which is a door.
pub(crate) fn of_doors(doors: impl IntoIterator<Item = Door>) -> Vec<String> {
    let mut texts = Vec::new();
    let mut narrowed: BTreeMap<Door, Vec<u16>> = BTreeMap::new();
    for door in doors {
        match door.limit {
            Limit::SourcePort(port) => {
                narrowed.entry(Door { limit: Limit::None, ..door }).or_default().push(port);
            }
            Limit::None | Limit::Once => texts.push(door.to_string()),
        }
    }
    texts.extend(narrowed.into_iter().map(|(door, mut ports)| {
        ports.sort_unstable();
        let runs: Vec<String> =
            ports.chunk_by(|one, next| one.checked_add(1) == Some(*next)).filter_map(run).collect();
        format!("{door} from port{} {}", if ports.len() == 1 { "" } else { "s" }, runs.join(", "))
    }));
    texts
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
            assert_eq!(of_doors(ports.into_iter().map(door)), texts);
        }
    }
}
