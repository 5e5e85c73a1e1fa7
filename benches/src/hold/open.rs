//! One connection: how it is opened, and how its end is noticed.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Opening, Plan};
use crate::dial::{Stream, dial_secured};

const MAX_HEAD: usize = 16 * 1024;

/// The address that the connection of this number comes from.
fn source(sources: &IpNet, number: usize) -> IpAddr {
    let hosts = |bits: u8, len: u8| 1_u128.checked_shl(u32::from(bits - len)).unwrap_or(u128::MAX);
    // The first and the last address of a network have another meaning.
    let place = |hosts: u128| if hosts > 2 { 1 + number as u128 % (hosts - 2) } else { number as u128 % hosts };
    match sources {
        IpNet::V4(net) => {
            let place = u32::try_from(place(hosts(32, net.prefix_len()))).unwrap_or_default();
            IpAddr::V4((u32::from(net.network()) + place).into())
        }
        IpNet::V6(net) => IpAddr::V6((u128::from(net.network()) + place(hosts(128, net.prefix_len()))).into()),
    }
}

/// Opens a connection, says what it has to say and hears the answer.
pub(super) async fn open(plan: &Plan, number: usize) -> io::Result<Box<dyn Stream>> {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let from = plan.sources.as_ref().map_or(any, |sources| source(sources, number));
    let host = match &plan.opening {
        Opening::Get { host, .. } => host.as_str(),
        Opening::Line(_) => "",
    };
    let mut stream = dial_secured(from, plan.to, plan.tls.as_ref().map(|tls| (tls, host))).await?;
    let said = match &plan.opening {
        Opening::Get { target, host } => format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        Opening::Line(line) => format!("{line}\n"),
    };
    stream.write_all(said.as_bytes()).await?;
    stream.flush().await?;
    match &plan.opening {
        Opening::Get { .. } => hear_answer(&mut stream).await?,
        Opening::Line(_) => drop(hear_until(&mut stream, b"\n").await?),
    }
    Ok(stream)
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads until `end` was read, and returns all of it.
async fn hear_until(stream: &mut Box<dyn Stream>, end: &[u8]) -> io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    let mut piece = [0; 1024];
    while !heard.windows(end.len()).any(|window| window == end) {
        let len = stream.read(&mut piece).await?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        heard.extend_from_slice(&piece[..len]);
        if heard.len() > MAX_HEAD {
            return Err(wrong(format!("nothing ends within {MAX_HEAD} bytes")));
        }
    }
    Ok(heard)
}

async fn hear_answer(stream: &mut Box<dyn Stream>) -> io::Result<()> {
    let heard = hear_until(stream, b"\r\n\r\n").await?;
    let end = heard.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_default() + 4;
    let head = String::from_utf8_lossy(&heard[..end]);
    let status = head.split(' ').nth(1).unwrap_or_default();
    if !head.starts_with("HTTP/1.1 ") || status.starts_with('5') {
        return Err(wrong(format!("the answer is {}", head.lines().next().unwrap_or_default())));
    }
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let length = fields
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .find_map(|(_, value)| value.trim().parse::<u64>().ok());
    let length = length.ok_or_else(|| wrong("the answer does not say how long it is".to_owned()))?;
    let rest = length.saturating_sub((heard.len() - end) as u64);
    let read = tokio::io::copy(&mut stream.take(rest), &mut tokio::io::sink()).await?;
    if read == rest { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Waits until the other side closes. What it says meanwhile is not of interest.
pub(super) async fn ended(mut stream: Box<dyn Stream>) {
    let mut unread = [0; 16];
    while matches!(stream.read(&mut unread).await, Ok(1..)) {}
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn connections_come_from_all_hosts_of_a_network_in_turn() {
        let from = |net: &str, number| source(&net.parse().unwrap(), number).to_string();
        assert_eq!(from("127.1.0.0/16", 0), "127.1.0.1");
        assert_eq!(from("127.1.0.0/16", 255), "127.1.1.0");
        assert_eq!(from("127.1.0.0/16", 65_533), "127.1.255.254");
        assert_eq!(from("127.1.0.0/16", 65_534), "127.1.0.1");
        assert_eq!(from("127.1.2.3/32", 7), "127.1.2.3");
        assert_eq!(from("0.0.0.0/0", 5), "0.0.0.6");
        assert_eq!(from("::1/128", 5), "::1");
        assert_eq!(from("fd00::/8", 5), "fd00::6");
    }
}
