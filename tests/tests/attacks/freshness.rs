//! Section 1: freshness and the journal.

use spa_core::journal::{Loaded, Loss, MachineHash, load};

use super::world::clocks::{DAY, SECOND, YEAR};
use super::world::disk::Disk;
use super::world::journal;
use super::world::site::{ATTACKER, SERVICES, SITE, close, ip, open};
use super::*;

#[test]
fn f1_a_machine_that_boots_in_1970_without_its_journal_admits_no_replay() -> Story {
    let mut world = world();
    let seen = knock(&mut world, LAPTOP, &SERVICES, "done")?;
    world.pass(5 * SECOND)?;
    world.power_cut(-SINCE_1970)?;
    lose_the_journal(&mut world);
    world.start()?;
    again(&mut world, &seen, "unsettled")?;
    world.pass(20 * SECOND)?;
    world.clocks.synchronise();
    world.pass(SECOND)?;
    again(&mut world, &seen, "old")?;
    knock(&mut world, LAPTOP, &SERVICES, "old")?;
    world.pass(61 * SECOND)?;
    knock(&mut world, LAPTOP, &SERVICES, "done").map(drop)
}

#[test]
fn f1_a_monotonic_profile_whose_memory_is_lost_stays_shut_whatever_the_clocks_say() -> Story {
    // The client's clock a day ahead; the server's at 1970, right, or a year ahead.
    for (ahead, error) in [(0, -SINCE_1970), (DAY, 0), (DAY, YEAR)] {
        let mut world = world();
        world.devices[KEEPER].clock_error = ahead;
        let seen = knock(&mut world, KEEPER, &SERVICES, "done")?;
        world.pass(DAY)?;
        world.power_cut(error)?;
        lose_the_journal(&mut world);
        world.start()?;
        again(&mut world, &seen, "unsettled")?;
        world.clocks.synchronise();
        world.pass(DAY)?;
        again(&mut world, &seen, "unsettled")?;
        knock(&mut world, KEEPER, &SERVICES, "unsettled")?;
        world.make_anew(KEEPER)?;
        again(&mut world, &seen, "unknown-key")?;
        knock(&mut world, KEEPER, &SERVICES, "done")?;
    }
    Ok(())
}

#[test]
fn f1_a_clock_that_was_a_year_ahead_does_not_lock_out_for_a_year() -> Story {
    let mut world = world();
    world.power_cut(YEAR)?;
    lose_the_journal(&mut world);
    world.start()?;
    world.pass(60 * SECOND)?;
    knock(&mut world, LAPTOP, &SERVICES, "unsettled")?;
    world.clocks.synchronise();
    world.pass(1)?;
    world.pass(61 * SECOND)?;
    knock(&mut world, LAPTOP, &SERVICES, "done").map(drop)
}

#[test]
fn f1_a_restart_within_the_wait_begins_it_anew() -> Story {
    let mut world = world();
    let seen = knock(&mut world, LAPTOP, &SERVICES, "done")?;
    world.power_cut(-SINCE_1970)?;
    lose_the_journal(&mut world);
    for _ in 0..3 {
        world.start()?;
        again(&mut world, &seen, "unsettled")?;
        world.pass(5 * SECOND)?;
        world.kill()?;
    }
    world.start()?;
    world.clocks.synchronise();
    world.pass(SECOND)?;
    again(&mut world, &seen, "old")
}

#[test]
fn f1_f6_a_copy_of_the_state_on_another_machine_is_lost() {
    let mut disk = Disk::default();
    journal::Journal::create(&mut disk);
    let files = [disk.read(0), disk.read(1)];
    assert!(matches!(load(files, SITE, journal::MACHINE, None), Loaded::Intact { .. }));
    let elsewhere = MachineHash::of(SITE, "another machine");
    assert!(matches!(load(files, SITE, elsewhere, None), Loaded::Lost { why: Loss::Foreign, .. }));
}

#[test]
fn f2_a_datagram_that_was_suppressed_is_no_good_for_months() -> Story {
    let mut world = world();
    let withheld = world.command(KEEPER, open(&SERVICES, None), 1);
    world.pass(61 * SECOND)?;
    knock(&mut world, KEEPER, &SERVICES, "done")?;
    again(&mut world, &withheld, "old")?;
    world.pass(30 * DAY)?;
    world.deliver_from(&[(withheld[0], ip(ATTACKER))])?;
    assert_eq!(world.ends, ["address"], "and its address was stated");
    again(&mut world, &withheld, "old")
}

#[test]
fn f3_no_clock_step_makes_an_old_datagram_new_and_none_locks_out_for_longer_than_it_lasts() -> Story {
    let mut world = world();
    let mut seen = Vec::new();
    for device in [LAPTOP, PHONE, KEEPER] {
        seen.extend(knock(&mut world, device, &SERVICES, "done")?);
    }
    for by in [-SINCE_1970, -YEAR, -DAY, -30 * SECOND, 30 * SECOND, DAY, YEAR, 60 * YEAR] {
        world.clocks.step(by);
        world.pass(SECOND)?;
        world.deliver(&seen)?;
        assert_eq!(world.ends, ["replayed"; 3], "{by}");
        world.clocks.synchronise();
        world.pass(SECOND)?;
        seen.truncate(0);
        for device in [LAPTOP, PHONE, KEEPER] {
            seen.extend(knock(&mut world, device, &SERVICES, "done")?);
        }
    }
    Ok(())
}

#[test]
fn f4_a_burst_of_many_jobs_is_admitted_whole_in_any_order() -> Story {
    let mut world = world();
    let mut letters = Vec::new();
    for _ in 0..600 {
        letters.extend(world.command(PHONE, open(&["tcp/22"], None), 1));
        world.clocks.pass(1);
    }
    // Each arrives up to half a second late: every seventh first, then the others.
    letters.sort_by_key(|letter| (letter % 7, *letter));
    again(&mut world, &letters, "done")?;
    assert!(world.server.remembered() >= 600);
    world.pass(10 * 60 * SECOND)?;
    knock(&mut world, PHONE, &SERVICES, "done")?;
    assert!(world.server.remembered() < 32, "what is out of reach is forgotten");
    world.deliver(&letters)?;
    assert!(!world.ends.contains(&"done"));
    Ok(())
}

#[test]
fn f5_a_profile_that_goes_and_comes_back_has_forgotten_nothing() -> Story {
    for device in [LAPTOP, KEEPER] {
        let mut world = world();
        let seen = knock(&mut world, device, &SERVICES, "done")?;
        for _ in 0..2 {
            world.server.present[device] = false;
            world.reload()?;
            again(&mut world, &seen, "unknown-key")?;
            // So much else happens that the journal is written anew.
            for _ in 0..60 {
                knock(&mut world, TABLET, &["tcp/22"], "done")?;
            }
            world.server.present[device] = true;
            world.kill()?;
            world.start()?;
            again(&mut world, &seen, "old")?;
        }
        world.pass(SECOND)?;
        knock(&mut world, device, &SERVICES, "done")?;
    }
    Ok(())
}

#[test]
fn f6_a_site_that_uses_the_same_keys_does_not_know_its_datagrams() {
    held_by_vectors(&["header-other-site-id", "header-other-site-key", "mac-other-suite"]);
}

#[test]
fn f7_an_earlier_state_that_is_put_back_is_seen_in_the_same_boot() -> Story {
    for others in [0, 60] {
        let mut world = world();
        knock(&mut world, LAPTOP, &SERVICES, "done")?;
        let earlier = world.server.disk.clone();
        let seen = knock(&mut world, LAPTOP, &SERVICES, "done")?;
        for _ in 0..others {
            knock(&mut world, TABLET, &["tcp/22"], "done")?;
        }
        world.kill()?;
        world.server.disk.roll_back(&earlier);
        world.start()?;
        again(&mut world, &seen, "old")?;
    }
    Ok(())
}

/// Also if the journal was lost since then, and the older one looks further.
#[test]
fn f7_nor_does_a_state_from_before_a_loss_come_back() -> Story {
    let mut world = world();
    knock(&mut world, LAPTOP, &SERVICES, "done")?;
    world.power_cut(0)?;
    world.start()?;
    let earlier = world.server.disk.clone();
    world.kill()?;
    lose_the_journal(&mut world);
    world.start()?;
    world.clocks.synchronise();
    world.pass(61 * SECOND)?;
    let seen = knock(&mut world, LAPTOP, &SERVICES, "done")?;
    world.kill()?;
    world.server.disk.roll_back(&earlier);
    world.start()?;
    again(&mut world, &seen, "old")
}

#[test]
fn f8_a_flush_that_fails_is_not_believed_the_second_time() -> Story {
    let mut world = world();
    world.server.disk.refuses = Some(0);
    let seen = knock(&mut world, LAPTOP, &SERVICES, "done")?;
    // It was carried out, so it is on the disk, in the other file.
    world.power_cut(0)?;
    world.start()?;
    world.clocks.synchronise();
    world.pass(1)?;
    again(&mut world, &seen, "replayed")
}

#[test]
fn f8_the_power_fails_at_every_byte_of_a_knock() -> Story {
    for bytes in 0..200 {
        let mut world = world();
        let before = knock(&mut world, LAPTOP, &SERVICES, "done")?;
        world.server.disk.fuse = Some(bytes);
        let letters = world.command(LAPTOP, open(&SERVICES, None), 1);
        world.deliver(&letters)?;
        let carried_out = world.ends == ["done"];
        world.power_cut(0)?;
        world.start()?;
        world.clocks.synchronise();
        world.pass(1)?;
        for letter in if carried_out { [before[0], letters[0]] } else { [before[0]; 2] } {
            world.deliver(&[letter])?;
            assert!(["replayed", "old"].contains(&world.ends[0]), "{bytes}: {}", world.story.join("\n"));
        }
    }
    Ok(())
}

#[test]
fn f9_a_close_is_not_undone_by_an_open_that_was_withheld() -> Story {
    for device in [LAPTOP, PHONE, KEEPER] {
        let mut world = world();
        let withheld = world.command(device, open(&SERVICES, None), 1);
        world.pass(SECOND)?;
        knock(&mut world, device, &SERVICES, "done")?;
        world.pass(SECOND)?;
        let closes = world.command(device, close(&[]), 2);
        world.deliver(&closes[..1])?;
        assert_eq!(open_doors(&mut world), BTreeMap::new());
        again(&mut world, &withheld, "old")?;
        world.kill()?;
        world.start()?;
        again(&mut world, &withheld, "old")?;
        assert_eq!(open_doors(&mut world), BTreeMap::new());
    }
    Ok(())
}

#[test]
fn f9_a_close_that_was_withheld_ends_no_later_grant() -> Story {
    let mut world = world();
    knock(&mut world, PHONE, &["tcp/22"], "done")?;
    world.pass(SECOND)?;
    let withheld = world.command(PHONE, close(&[]), 1);
    world.pass(SECOND)?;
    knock(&mut world, PHONE, &["tcp/443"], "done")?;
    again(&mut world, &withheld, "done")?;
    assert_eq!(open_doors(&mut world).into_keys().collect::<Vec<_>>(), ["198.51.100.1 tcp/443"]);
    Ok(())
}
