//! Attacks on an earlier draft of the design, one test each, where pure code can show it. The letters are those of the
//! list of attacks that the project began with: F freshness and journal, P datagram, A addresses and grants. Each plays
//! in the simulated world, whose oracle watches as well.

// The same world as that of world.rs; a part of it is enough here.
#[allow(dead_code, unreachable_pub)]
#[path = "world/mod.rs"]
mod world;

#[path = "attacks/datagram.rs"]
mod datagram;
#[path = "attacks/freshness.rs"]
mod freshness;
#[path = "attacks/grants.rs"]
mod grants;

use std::collections::BTreeMap;

use lab::repository;
use world::World;
use world::oracle::Violation;
use world::site::open;

const LAPTOP: usize = 0;
const PHONE: usize = 1;
const TABLET: usize = 2;
const KEEPER: usize = 3;
const SINCE_1970: i64 = 57 * world::clocks::YEAR;

/// A story whose oracle is content; it says so with `?`.
type Story = Result<(), Violation>;

fn world() -> World {
    World::new(1, None)
}

/// Commands, delivers, and asserts what became of it. Returns the letters.
fn knock(world: &mut World, device: usize, services: &[&str], end: &str) -> Result<Vec<usize>, Violation> {
    let letters = world.command(device, open(services, None), 1);
    world.deliver(&letters)?;
    assert_eq!(world.ends, [end], "{}", world.story.join("\n"));
    Ok(letters)
}

fn again(world: &mut World, letters: &[usize], end: &str) -> Story {
    world.deliver(letters)?;
    assert!(
        world.ends.iter().all(|it| *it == end),
        "{:?}, not {end}:\n{}",
        world.ends,
        world.story.join("\n")
    );
    Ok(())
}

fn lose_the_journal(world: &mut World) {
    world.tell("the journal is gone");
    world.server.disk.remove(0);
    world.server.disk.remove(1);
}

fn open_doors(world: &mut World) -> BTreeMap<String, u128> {
    let now = world.clocks.now();
    let doors = world.server.open_doors(now);
    doors
        .into_iter()
        .map(|(door, left)| (format!("{} {}", door.grantee, door.service), left / 1000))
        .collect()
}

/// The vectors themselves are judged in vectors.rs; here they must be there.
fn held_by_vectors(names: &[&str]) {
    for name in names {
        let path = repository().join(format!("tests/vectors/native/{name}.txt"));
        assert!(path.exists(), "{name} is gone");
    }
}
