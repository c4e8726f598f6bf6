//! Section 2: the datagram.

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::world::site::{ATTACKER, SERVICES, ip, open};
use super::*;

#[test]
fn p1_a_copied_header_passes_the_check_word_and_nothing_else() -> Story {
    let mut world = world();
    let seen = knock(&mut world, LAPTOP, &SERVICES, "done")?;
    let bytes = world.letters[seen[0]].bytes.clone();
    for number in 0..200_u8 {
        let mut junk = vec![number; 256];
        junk[..24].copy_from_slice(&bytes[..24]);
        world.deliver_forged(&junk, ip(ATTACKER))?;
        assert_eq!(world.ends, ["mac"]);
        // Behind the mask stands the key id: any other can be put there, blindly.
        junk[23] ^= number | 0x80;
        world.deliver_forged(&junk, ip(ATTACKER))?;
        assert_eq!(world.ends, ["unknown-key"]);
    }
    Ok(())
}

#[test]
fn p2_copies_of_one_command_share_no_bytes_and_one_is_carried_out() -> Story {
    let mut world = world();
    let letters = world.command(LAPTOP, open(&SERVICES, None), 8);
    for (number, &a) in letters.iter().enumerate() {
        for &b in &letters[..number] {
            let (a, b) = (&world.letters[a].bytes, &world.letters[b].bytes);
            let longest = a.windows(8).filter(|part| b.windows(8).any(|other| other == *part)).count();
            assert_eq!(longest, 0, "eight bytes in common");
        }
    }
    world.deliver(&letters)?;
    assert_eq!(world.ends.iter().filter(|end| **end == "done").count(), 1);
    Ok(())
}

/// Two requests of different size: every length occurs for both, so that no length tells anything.
#[test]
fn p4_a_length_says_nothing_of_the_request() {
    let mut random = StdRng::seed_from_u64(4);
    let mut world = world();
    for services in [&SERVICES[..1], &SERVICES[..]] {
        let command =
            world.devices[LAPTOP].command(LAPTOP, open(services, None), 1_795_169_400_000, &mut random);
        let mut lengths = BTreeMap::new();
        for _ in 0..385 * 16 {
            let length = world.devices[LAPTOP].seal(&command, &mut random).len();
            *lengths.entry(length).or_insert(0_i32) += 1;
        }
        assert_eq!(lengths.keys().copied().collect::<Vec<_>>(), (256..=640).collect::<Vec<_>>());
        // Chi-squared with 384 degrees of freedom stays below 500 but once in some ten thousand seeds.
        let squares: i32 = lengths.values().map(|count| (count - 16).pow(2)).sum();
        assert!(squares / 16 < 500, "{squares}");
    }
}
