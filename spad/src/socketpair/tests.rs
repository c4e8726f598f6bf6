use std::fs::File;
use std::io::{Read, Seek, Write};

use super::*;

#[test]
fn messages_come_whole_and_in_order_and_then_the_end() {
    let (a, b) = Seqpacket::pair().unwrap();
    assert_eq!(b.receive::<2>().unwrap(), Received::Nothing);
    a.send(b"ab").unwrap();
    a.send(b"cd").unwrap();
    drop(a);
    assert_eq!(b.receive().unwrap(), Received::Message(*b"ab"));
    assert_eq!(b.receive().unwrap(), Received::Message(*b"cd"));
    assert_eq!(b.receive::<2>().unwrap(), Received::Closed);
    assert!(matches!(b.send(b"x"), Err(ChannelError::Closed)));
}

#[test]
fn a_message_of_another_size_is_refused_and_the_next_is_whole() {
    let (a, b) = Seqpacket::pair().unwrap();
    for (sent, why) in [(&b"a"[..], "too short"), (b"abc", "too long")] {
        rustix::io::write(&a.0, sent).unwrap();
        a.send(b"ok").unwrap();
        assert!(matches!(b.receive::<2>(), Err(ChannelError::Protocol)), "{why}");
        assert_eq!(b.receive().unwrap(), Received::Message(*b"ok"), "after one {why}");
    }
}

#[test]
fn what_was_sent_before_a_close_is_read_even_if_the_closer_left_mail_unread() {
    let (a, b) = Seqpacket::pair().unwrap();
    b.send(b"?").unwrap();
    a.send(b"!").unwrap();
    drop(a);
    assert_eq!(b.receive().unwrap(), Received::Message(*b"!"));
    assert_eq!(b.receive::<1>().unwrap(), Received::Closed);
}

#[test]
fn a_reader_that_sleeps_is_reported_and_never_waited_for() {
    let (a, _b) = Seqpacket::pair().unwrap();
    let full = (0..100_000).find_map(|_| a.send(&[0; 64]).err());
    assert!(matches!(full, Some(ChannelError::Full)));
}

#[test]
fn two_descriptors_travel_with_a_message() {
    let (a, b) = Seqpacket::pair().unwrap();
    assert!(matches!(b.receive_with::<1>().unwrap(), Received::Nothing));
    let file = File::open("/proc/self/stat").unwrap();
    let (near, far) = Seqpacket::pair().unwrap();
    a.send_with(b"n", &[far.as_fd(), file.as_fd()]).unwrap();
    drop((far, file, a));
    let Received::Message((message, both)) = b.receive_with::<1>().unwrap() else {
        panic!("a message waits")
    };
    let [far, file] = both.try_into().unwrap();
    assert_eq!(message, *b"n");
    Seqpacket::from(far).send(b"hello").unwrap();
    assert_eq!(near.receive().unwrap(), Received::Message(*b"hello"));
    let mut file = File::from(file);
    assert!(file.rewind().is_ok() && file.read(&mut [0; 8]).unwrap() == 8);
    assert!(file.write(b"x").is_err(), "the descriptor is as read-only as it was");
    assert!(matches!(b.receive_with::<1>().unwrap(), Received::Closed));
}

#[test]
fn descriptors_where_none_belong_are_thrown_away() {
    let (a, b) = Seqpacket::pair().unwrap();
    a.send(b"n").unwrap();
    assert!(matches!(b.receive_with::<1>(), Ok(Received::Message((_, none))) if none.is_empty()));
    let (near, far) = Seqpacket::pair().unwrap();
    a.send_with(b"n", &[far.as_fd(), far.as_fd()]).unwrap();
    drop(far);
    assert_eq!(b.receive().unwrap(), Received::Message(*b"n"));
    assert_eq!(near.receive::<1>().unwrap(), Received::Closed, "both copies were thrown away");
}
