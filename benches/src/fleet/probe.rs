//! What is said at an address that does not speak HTTP as it should, in words.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::Connector;
use crate::dial::dial_secured;

/// More is not read.
const MOST: usize = 1024;
/// And more is not shown.
const SHOWN: usize = 40;

/// Asks once, and says what is wrong with what comes; `None` if that is HTTP, or nothing comes in time.
pub(super) async fn look(
    source: IpAddr,
    to: SocketAddr,
    tls: Option<(&Connector, &str)>,
    patience: Duration,
) -> Option<String> {
    let asking = async {
        let mut stream = dial_secured(source, to, tls).await.ok()?;
        // Who closes at once may do so before it was asked.
        let _ = stream.write_all(b"GET /SMS_MP/.sms_aut?MPCERT HTTP/1.1\r\nHost: probe\r\n\r\n").await;
        let _ = stream.flush().await;
        let mut said = vec![0; MOST];
        let len = stream.read(&mut said).await.unwrap_or(0);
        said.truncate(len);
        Some(said)
    };
    in_words(&tokio::time::timeout(patience, asking).await.ok()??)
}

fn in_words(said: &[u8]) -> Option<String> {
    match said {
        [] => Some("it closes connections without a word".to_owned()),
        [0x15 | 0x16, 3, ..] => Some("it speaks TLS: the target has to begin with https://".to_owned()),
        said if said.starts_with(b"HTTP/") => None,
        said => {
            let text: String =
                String::from_utf8_lossy(said).chars().take_while(|c| !c.is_control()).take(SHOWN).collect();
            let is_text = !text.is_empty() && !text.contains(char::REPLACEMENT_CHARACTER);
            let shown = if is_text { format!("says '{text}'") } else { "sends bytes".to_owned() };
            Some(format!("it {shown}, which is no HTTP: check the address and its port"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_http_is_named() {
        for (said, words) in [
            (b"".as_slice(), "without a word"),
            (b"\x15\x03\x03\0\x02\x02\x32", "https://"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "says 'SSH-2.0-OpenSSH_9.2'"),
            (b"\0\x01\xff\xfe", "sends bytes"),
        ] {
            assert!(in_words(said).is_some_and(|said| said.contains(words)), "{words}: {:?}", in_words(said));
        }
        assert_eq!(in_words(b"HTTP/1.1 200 OK\r\n"), None);
    }
}
