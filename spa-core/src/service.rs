//! What can be opened: a service, written `tcp/22`.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;

/// Transport protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

impl Transport {
    /// The number that IANA assigned ("Protocol Numbers").
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// The transport with that number, if it is one that can be opened.
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            _ => None,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One service of a host, written `tcp/22`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    transport: Transport,
    port: NonZeroU16,
}

/// Text that names no service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a service: write it like tcp/22 or udp/51820, with a port from 1 to 65535")]
pub struct BadService(String);

impl Service {
    /// The service at that port.
    pub const fn new(transport: Transport, port: NonZeroU16) -> Self {
        Self { transport, port }
    }

    /// Its transport protocol.
    pub const fn transport(self) -> Transport {
        self.transport
    }

    /// Its port.
    pub const fn port(self) -> NonZeroU16 {
        self.port
    }
}

impl FromStr for Service {
    type Err = BadService;

    fn from_str(text: &str) -> Result<Self, BadService> {
        let bad = || BadService(text.to_owned());
        let (transport, port) = text.split_once('/').ok_or_else(bad)?;
        let transport = match transport {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            _ => return Err(bad()),
        };
        // `u16::from_str` takes a leading plus sign; a service has one spelling only.
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let port = port.parse::<NonZeroU16>().map_err(|_| bad())?;
        Ok(Self { transport, port })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.transport, self.port)
    }
}

/// A service that the guard protects: of this host (`tcp/22`), or of a host behind it (`tcp/443@10.0.0.5`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protected {
    /// What is shut until somebody knocks.
    pub service: Service,
    /// The inner host that it belongs to; `None` is this host.
    pub host: Option<IpAddr>,
}

impl FromStr for Protected {
    type Err = BadService;

    fn from_str(text: &str) -> Result<Self, BadService> {
        let Some((service, host)) = text.split_once('@') else {
            return Ok(Self { service: text.parse()?, host: None });
        };
        let host = host.parse().map_err(|_| BadService(text.to_owned()))?;
        Ok(Self { service: service.parse()?, host: Some(host) })
    }
}

impl fmt::Display for Protected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            None => write!(f, "{}", self.service),
            Some(host) => write!(f, "{}@{host}", self.service),
        }
    }
}

/// Services as they stand in a list: `tcp/22,udp/51820`.
pub fn list(services: &[Service]) -> String {
    services.iter().map(Service::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_one_spelling() {
        #[rustfmt::skip]
        let rows = [
            // text, valid, why
            ("tcp/22",     true,  "a service"),
            ("udp/65535",  true,  "largest port"),
            ("tcp/0",      false, "port 0 is no port"),
            ("tcp/65536",  false, "beyond 16 bits"),
            ("tcp/+22",    false, "a sign"),
            ("tcp/ 22",    false, "a blank"),
            ("TCP/22",     false, "capitals"),
            ("icmp/1",     false, "no such transport"),
            ("22",         false, "no transport"),
            ("tcp/",       false, "no port"),
            ("",           false, "nothing"),
        ];
        for (text, valid, why) in rows {
            let service = text.parse::<Service>();
            assert_eq!(service.is_ok(), valid, "{text}: {why}");
            if let Ok(service) = service {
                assert_eq!(service.to_string(), text);
            }
        }
    }

    #[test]
    fn a_protected_service_may_name_an_inner_host() {
        for text in ["tcp/22", "tcp/443@10.0.0.5", "udp/53@2001:db8::5"] {
            assert_eq!(text.parse::<Protected>().unwrap().to_string(), text);
        }
        assert!("tcp/443@inner".parse::<Protected>().is_err());
    }
}
