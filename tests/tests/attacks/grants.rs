//! Section 3: addresses and grants.

use spa_core::ceiling::{AboveCeiling, Ceiling};
use spa_core::lease::{Door, LeaseTable};
use spa_core::time::{BootTime, UnixMillis};

use super::world::clocks::SECOND;
use super::world::site::{ATTACKER, SERVICES, ceiling, close, ip, open};
use super::*;

#[test]
fn a1_a_forwarded_copy_neither_opens_nor_burns_where_the_address_is_stated() -> Story {
    let mut world = world();
    let letters = world.command(LAPTOP, open(&SERVICES, None), 2);
    world.deliver_from(&[(letters[0], ip(ATTACKER)), (letters[1], ip(ATTACKER))])?;
    assert_eq!(world.ends, ["address"; 2]);
    assert_eq!(open_doors(&mut world), BTreeMap::new());
    world.deliver(&letters)?;
    assert_eq!(world.ends, ["done", "replayed"]);
    Ok(())
}

/// Not claimed, and said so in SPEC.md, section 17: behind NAT the first to deliver gets the grant.
#[test]
fn a1_behind_nat_whoever_delivers_first_has_it() -> Story {
    let mut world = world();
    let letters = world.command(PHONE, open(&["tcp/22"], None), 1);
    world.deliver_from(&[(letters[0], ip(ATTACKER))])?;
    assert_eq!(open_doors(&mut world), BTreeMap::from([(format!("{ATTACKER} tcp/22"), 30)]));
    again(&mut world, &letters, "replayed")
}

#[test]
fn a2_a_key_that_forges_sources_is_bounded_by_its_own_cap() {
    let limits = Ceiling { max_grants_per_profile: 64, ..ceiling() };
    let (mut table, now) = (LeaseTable::default(), BootTime::new(std::time::Duration::from_secs(9)));
    let terms = spa_core::terms::Terms::plain(std::time::Duration::from_secs(30));
    let mut ask = |holder, last: u8| {
        let door = Door::plain(std::net::IpAddr::from([192, 0, 2, last]), "tcp/22".parse().unwrap());
        let (holder, asked) = (spa_core::crypto::key::KeyId(holder), UnixMillis::EPOCH);
        table.open(door, holder, asked, &terms, now, &limits).map(drop)
    };
    let opened = (0..=255).filter(|last| ask(1, *last).is_ok()).count();
    assert_eq!(opened, 64);
    assert_eq!(ask(1, 255), Err(AboveCeiling::ProfileFull));
    assert_eq!(ask(2, 255), Ok(()), "another profile is not hurt");
}

#[test]
fn a3_nothing_opens_for_addresses_that_are_nobodys_or_everybodys() {
    #[rustfmt::skip]
    let kinds = [
        "unspecified", "this-network", "loopback", "loopback-last", "multicast", "multicast-last", "reserved", "broadcast", "own",
        "unspecified-v6", "loopback-v6", "compatible-v6", "link-local-v6", "link-local-v6-last", "multicast-v6", "own-v6",
    ];
    for how in ["stated", "source"] {
        let names: Vec<String> = kinds.iter().map(|kind| format!("address-{how}-{kind}")).collect();
        held_by_vectors(&names.iter().map(String::as_str).collect::<Vec<_>>());
    }
    held_by_vectors(&["address-stated-mapped-v6", "address-stated-mapped-v6-same", "forbidden-prefix-v4"]);
}

#[test]
fn a4_profiles_behind_one_address_do_not_hurt_each_other() -> Story {
    let mut world = world();
    let door = "198.51.100.1 tcp/22".to_owned();
    let long = world.command(PHONE, open(&["tcp/22"], Some(300)), 1);
    world.deliver(&long)?;
    let short = world.command(TABLET, open(&["tcp/22"], Some(5)), 1);
    world.deliver(&short)?;
    assert_eq!(open_doors(&mut world).get(&door), Some(&300), "a shorter wish shortens nothing");
    world.kill()?;
    world.start()?;
    world.pass(SECOND)?;
    let closes = world.command(TABLET, close(&[]), 1);
    world.deliver(&closes)?;
    assert_eq!(open_doors(&mut world).get(&door), Some(&299), "nor does a close");
    world.pass(SECOND)?;
    let closes = world.command(PHONE, close(&[]), 1);
    world.deliver(&closes)?;
    assert_eq!(open_doors(&mut world), BTreeMap::new(), "the last one shuts it");
    Ok(())
}

#[test]
fn a5_a6_narrowings_that_cannot_be_kept_are_refused_rather_than_ignored() {
    #[rustfmt::skip]
    held_by_vectors(&[
        "forbidden-once", "forbidden-once-one-of-two", "forbidden-ports", "forbidden-forward", "forbidden-prefix-v4", "forbidden-prefix-any-address",
    ]);
}
