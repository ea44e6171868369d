//! Ports that stay the same over restarts, so that addresses in tickets and in peers' memories stay good.

use crate::config::Config;
use crate::home::{Home, write_private};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

/// Replaces port 0 in the listen addresses by the port used last, or by a free one that is remembered from now on.
/// An address whose form is not known here is passed on as it is.
pub fn settle(home: &Home, config: &Config) -> Vec<String> {
    let remembered = read(home);
    let mut used = BTreeMap::new();
    let listen = config.listen.iter().map(|addr| settle_one(addr, &remembered, &mut used)).collect();
    if used != remembered && !used.is_empty() {
        let text: String = used.iter().map(|(addr, port)| format!("{addr} {port}\n")).collect();
        if let Err(err) = write_private(&home.ports(), text.as_bytes()) {
            tracing::warn!(%err, "cannot remember the ports");
        }
    }
    listen
}

/// The addresses under which a node that is not running will be found: listen addresses with this machine's own
/// addresses instead of wildcards.
pub fn expected(listen: &[String]) -> Vec<String> {
    let own = own_ip();
    let expand = |addr: &String| match (addr.strip_prefix("/ip4/0.0.0.0/"), own) {
        (Some(rest), Some(ip)) => Some(format!("/ip4/{ip}/{rest}")),
        (Some(_), None) => None,
        (None, _) if addr.starts_with("/ip6/::/") => None,
        (None, _) => Some(addr.clone()),
    };
    listen.iter().filter_map(expand).collect()
}

/// This machine's address on the way to everybody else. Connecting a datagram socket sends nothing.
fn own_ip() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // TEST-NET-1 (RFC 5737): routed like any other address, owned by nobody.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket.local_addr().ok().map(|addr| addr.ip()).filter(|ip| !ip.is_unspecified())
}

fn settle_one(addr: &str, remembered: &BTreeMap<String, u16>, used: &mut BTreeMap<String, u16>) -> String {
    let Some((ip, udp)) = wildcard_port(addr) else { return addr.to_owned() };
    let free = |port: u16| -> Option<u16> {
        let at = SocketAddr::new(ip, port);
        let bound = if udp {
            UdpSocket::bind(at).and_then(|s| s.local_addr())
        } else {
            TcpListener::bind(at).and_then(|s| s.local_addr())
        };
        bound.ok().map(|addr| addr.port())
    };
    let port = remembered.get(addr).copied().and_then(free).or_else(|| free(0));
    match port {
        Some(port) => {
            used.insert(addr.to_owned(), port);
            let zero = if udp { "/udp/0" } else { "/tcp/0" };
            let fixed = if udp { format!("/udp/{port}") } else { format!("/tcp/{port}") };
            addr.replacen(zero, &fixed, 1)
        }
        None => addr.to_owned(),
    }
}

/// The IP and protocol of a multiaddr whose port is 0.
fn wildcard_port(addr: &str) -> Option<(IpAddr, bool)> {
    let mut parts = addr.strip_prefix('/')?.split('/');
    let ip = match (parts.next()?, parts.next()?) {
        ("ip4", ip) => IpAddr::V4(ip.parse::<Ipv4Addr>().ok()?),
        ("ip6", ip) => IpAddr::V6(ip.parse::<Ipv6Addr>().ok()?),
        _ => return None,
    };
    match (parts.next()?, parts.next()?) {
        ("tcp", "0") => Some((ip, false)),
        ("udp", "0") => Some((ip, true)),
        _ => None,
    }
}

fn read(home: &Home) -> BTreeMap<String, u16> {
    let text = std::fs::read_to_string(home.ports()).unwrap_or_default();
    let line = |line: &str| {
        let (addr, port) = line.rsplit_once(' ')?;
        Some((addr.to_owned(), port.parse().ok()?))
    };
    text.lines().take(64).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_stay_over_restarts_and_give_way_when_taken() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path()).unwrap();
        home.create().unwrap();
        let listen = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/9"];
        let config = Config { listen: listen.map(str::to_owned).to_vec(), ..Config::default() };
        let first = settle(&home, &config);
        assert!(first[0].starts_with("/ip4/127.0.0.1/tcp/") && !first[0].ends_with("/0"), "{first:?}");
        assert!(first[1].ends_with("/quic-v1") && !first[1].contains("/udp/0/"), "{first:?}");
        assert_eq!(first[2], "/ip4/127.0.0.1/tcp/9");
        assert_eq!(settle(&home, &config), first);

        let port: u16 = first[0].rsplit('/').next().unwrap().parse().unwrap();
        let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let second = settle(&home, &config);
        assert_ne!(second[0], first[0]);
        assert_eq!(second[1], first[1]);
    }

    #[test]
    fn hostile_port_files_and_addresses_are_passed_over() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path()).unwrap();
        home.create().unwrap();
        std::fs::write(home.ports(), "/ip4/127.0.0.1/tcp/0 99999999\n\n x y z\n").unwrap();
        let config = Config { listen: vec!["/nonsense".into(), "/ip4/x/tcp/0".into()], ..Config::default() };
        assert_eq!(settle(&home, &config), config.listen);
        assert_eq!(expected(&["/ip4/127.0.0.1/tcp/5".to_owned()]), ["/ip4/127.0.0.1/tcp/5"]);
    }
}
