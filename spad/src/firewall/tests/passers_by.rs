//! Those who try to get through: sockets with a chosen source and little patience.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

use super::world::bound;

/// Long enough for a packet between two namespaces, short enough for tests that wait in vain.
const PATIENCE: Duration = Duration::from_millis(300);

/// Connects from an address of ours.
pub(super) fn connect(from: IpAddr, to: SocketAddr) -> Option<TcpStream> {
    connect_by(SocketAddr::new(from, 0), to)
}

/// Connects from an address and port of ours.
pub(super) fn connect_by(from: SocketAddr, to: SocketAddr) -> Option<TcpStream> {
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    bound(|| Ok(bind(&socket, &from)?));
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(PATIENCE)).unwrap();
    rustix::net::connect(&socket, &to).ok()?;
    Some(TcpStream::from(socket))
}

pub(super) fn connects(from: IpAddr, to: SocketAddr) -> bool {
    connect(from, to).is_some()
}

/// Sends a byte through a session; `None` if it does not arrive.
pub(super) fn delivers(mut from: &TcpStream, mut to: &TcpStream) -> Option<()> {
    to.set_read_timeout(Some(PATIENCE)).unwrap();
    from.write_all(b"x").unwrap();
    to.read_exact(&mut [0]).ok()
}

/// Whether a datagram arrives that is sent by that.
pub(super) fn hears(service: &UdpSocket, send: impl FnOnce()) -> bool {
    service.set_read_timeout(Some(PATIENCE)).unwrap();
    send();
    service.recv_from(&mut [0; 16]).is_ok()
}

/// Whether a datagram to a remote socket is answered.
pub(super) fn exchange(service: &UdpSocket, remote: &UdpSocket, to: &str) -> bool {
    service.send_to(b"hello", to).unwrap();
    remote.set_read_timeout(Some(PATIENCE)).unwrap();
    let (_, from) = remote.recv_from(&mut [0; 16]).unwrap();
    let answer = || {
        remote.send_to(b"hello", from).unwrap();
    };
    hears(service, answer)
}

/// What a closed port answers.
pub(super) const ANSWER: Option<ErrorKind> = Some(ErrorKind::ConnectionRefused);

/// Sends a datagram and waits for the ICMP error that comes back.
pub(super) fn unreachable(to: SocketAddr) -> Option<ErrorKind> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send(b"knock").unwrap();
    // The kernel ends a wait with a time limit when the process is stopped and goes on, as a busy machine may have it.
    let error = loop {
        let error = socket.recv(&mut [0; 16]).unwrap_err();
        if error.kind() != ErrorKind::Interrupted {
            break error;
        }
    };
    (error.kind() != ErrorKind::WouldBlock).then(|| error.kind())
}
