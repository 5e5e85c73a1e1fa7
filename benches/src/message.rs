//! The frame of a client message: `multipart/mixed` with a UTF-16 header part and a zlib payload part.

use std::fmt::Write as _;
use std::io::Read as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};

/// No payload is unpacked beyond this, whatever a peer promises.
pub const MAX_PAYLOAD: usize = 16 * 1024 * 1024;

const BOUNDARY: &str = "aAbBcCdDv1234567890VxXyYzZ";

/// The content type of a message that [`encode`] made.
pub const CONTENT_TYPE: &str = "multipart/mixed; boundary=\"aAbBcCdDv1234567890VxXyYzZ\"";

/// A message or a reply, unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The `<Msg>` header.
    pub header: String,
    /// The payload XML, without its terminator.
    pub payload: String,
}

/// A GUID in its usual form, without braces.
#[must_use]
pub fn guid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// UTF-16LE, with the byte order mark if asked for.
#[must_use]
pub fn utf16(text: &str, mark: bool) -> Vec<u8> {
    let mark = mark.then_some(0xfeff);
    mark.into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// Reads UTF-16LE, with or without its mark; what is no UTF-16 becomes U+FFFD.
#[must_use]
pub fn from_utf16(bytes: &[u8]) -> String {
    let units = bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
    let text: String = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    text.trim_start_matches('\u{feff}').to_owned()
}

/// The text between `<name ...>` and `</name>`, first occurrence, as written.
#[must_use]
pub fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = xml;
    loop {
        let (_, after) = rest.split_once('<')?;
        rest = after;
        let Some(tail) = after.strip_prefix(name) else { continue };
        if tail.starts_with(['>', ' ', '\r', '\n', '\t']) {
            let (_, inside) = tail.split_once('>')?;
            return inside.split_once(&format!("</{name}>")).map(|(text, _)| text);
        }
    }
}

/// `text` with the five characters of XML written as entities.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Packs a message: the header in UTF-16 with its mark, the payload zero-terminated and compressed.
#[must_use]
pub fn encode(header: &str, payload: &str) -> Bytes {
    let plain = utf16(&format!("{payload}\0\r\n"), false);
    let mut packed = Vec::with_capacity(plain.len() / 4);
    ZlibEncoder::new(plain.as_slice(), Compression::fast())
        .read_to_end(&mut packed)
        .expect("reading from memory into memory cannot fail");
    let mut body = format!("--{BOUNDARY}\r\ncontent-type: text/plain; charset=UTF-16\r\n\r\n").into_bytes();
    body.extend(utf16(header, true));
    body.extend(format!("\r\n--{BOUNDARY}\r\ncontent-type: application/octet-stream\r\n\r\n").into_bytes());
    body.extend(packed);
    body.extend(format!("\r\n--{BOUNDARY}--").into_bytes());
    body.into()
}

/// Unpacks a message whatever its boundary is; `None` for anything that is not one.
#[must_use]
pub fn decode(content_type: &str, body: &[u8]) -> Option<Message> {
    let boundary = boundary(content_type)?;
    let mut header = None;
    let mut payload = None;
    for part in parts(body, boundary.as_bytes()) {
        let blank = find(part, b"\r\n\r\n")?;
        let (head, content) = (&part[..blank], &part[blank + 4..]);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        if head.contains("application/octet-stream") {
            payload = Some(inflate(content)?);
        } else if head.contains("text/plain") {
            header = Some(from_utf16(content));
        }
    }
    let payload = from_utf16(&payload?);
    let payload = payload.split('\0').next().unwrap_or_default().trim_end().to_owned();
    Some(Message { header: header?, payload })
}

fn boundary(content_type: &str) -> Option<&str> {
    let mut fields = content_type.split(';');
    if !fields.next()?.trim().eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    let value = fields.find_map(|field| {
        let (name, value) = field.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then_some(value)
    })?;
    let value = value.trim_matches('"');
    (!value.is_empty() && value.len() <= 70).then_some(value)
}

fn parts<'a>(body: &'a [u8], boundary: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let opening = [b"--", boundary].concat();
    let delimiter = [b"\r\n--", boundary].concat();
    let mut rest = body.strip_prefix(opening.as_slice());
    std::iter::from_fn(move || {
        let now = rest?;
        let part = now.strip_prefix(b"\r\n")?;
        let end = find(part, &delimiter)?;
        rest = Some(&part[end + delimiter.len()..]);
        Some(&part[..end])
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn inflate(packed: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let limit = u64::try_from(MAX_PAYLOAD).expect("sixteen million fits") + 1;
    ZlibDecoder::new(packed).take(limit).read_to_end(&mut plain).ok()?;
    (plain.len() <= MAX_PAYLOAD).then_some(plain)
}

/// What identifies a message to its reader.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The message's own id, without braces.
    pub id: &'a str,
    /// The sender's id, without `GUID:`.
    pub client: &'a str,
    /// The endpoint, such as `MP_PolicyManager`.
    pub endpoint: &'a str,
    /// The host that the client believes it talks to.
    pub host: &'a str,
}

impl Envelope<'_> {
    /// The `<Msg>` header of a payload of `length` bytes.
    #[must_use]
    pub fn header(&self, length: usize) -> String {
        let Self { id, client, endpoint, host } = self;
        let name = client.get(..8).unwrap_or(client);
        let mut xml = format!(
            "<Msg ReplyCompression=\"zlib\" SchemaVersion=\"1.1\"><Body Type=\"ByteRange\" Length=\"{length}\" \
             Offset=\"0\"/><CorrelationID>{{00000000-0000-0000-0000-000000000000}}</CorrelationID><Hooks>\
             <Hook2 Name=\"clientauth\"><Property Name=\"AuthSenderMachine\">{name}</Property>\
             <Property Name=\"ClientCapabilities\">NonSSL</Property>\
             <Property Name=\"HashAlgorithm\">1.2.840.113549.1.1.11</Property></Hook2>\
             <Hook3 Name=\"zlib-compress\"/></Hooks><ID>{{{id}}}</ID><Payload Type=\"inline\"/>"
        );
        write!(
            xml,
            "<Priority>0</Priority><Protocol>http</Protocol><ReplyMode>Sync</ReplyMode>\
             <ReplyTo>direct:{name}:SccmMessaging</ReplyTo><SourceID>GUID:{client}</SourceID>\
             <SourceHost>{name}</SourceHost><TargetAddress>mp:[http]{endpoint}</TargetAddress>\
             <TargetEndpoint>{endpoint}</TargetEndpoint><TargetHost>{host}</TargetHost><Timeout>60000</Timeout></Msg>"
        )
        .expect("writing to a string cannot fail");
        xml
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_frame() {
        let header = Envelope { id: "1", client: "abcdefgh-1", endpoint: "MP_PolicyManager", host: "mp" }.header(3);
        let body = encode(&header, "<A>ü</A>");
        let message = decode(CONTENT_TYPE, &body).unwrap();
        assert_eq!(message, Message { header: header.clone(), payload: "<A>ü</A>".to_owned() });
        assert_eq!(element(&message.header, "ID"), Some("{1}"));
        assert_eq!(element(&message.header, "TargetEndpoint"), Some("MP_PolicyManager"));
    }

    #[test]
    fn any_boundary_and_extra_part_headers_are_read() {
        let body = encode("<Msg/>", "<B/>");
        let text = [b"--x y\r\nContent-Disposition: form-data\r\nContent-Type: text/plain\r\n\r\n".as_slice()].concat();
        let mut other = text;
        other.extend(utf16("<Msg/>", true));
        other.extend(b"\r\n--x y\r\nContent-Type: application/octet-stream\r\n\r\n");
        let start = find(&body, b"octet-stream\r\n\r\n").unwrap() + 16;
        let end = find(&body[start..], b"\r\n--aAbB").unwrap();
        other.extend(&body[start..start + end]);
        other.extend(b"\r\n--x y--\r\n");
        let message = decode("Multipart/Mixed; charset=x; Boundary=\"x y\"", &other).unwrap();
        assert_eq!(message, Message { header: "<Msg/>".to_owned(), payload: "<B/>".to_owned() });
    }

    #[test]
    fn what_is_no_message_is_refused_and_never_panics() {
        let body = encode("<Msg/>", "<B/>");
        assert_eq!(decode("text/xml", &body), None);
        assert_eq!(decode("multipart/mixed", &body), None);
        assert_eq!(decode("multipart/mixed; boundary=other", &body), None);
        for cut in 0..body.len() - 30 {
            assert_eq!(decode(CONTENT_TYPE, &body[..cut]), None, "{cut}");
        }
        for at in 0..body.len() {
            let mut broken = body.to_vec();
            broken[at] ^= 0xff;
            let _ = decode(CONTENT_TYPE, &broken);
        }
    }

    #[test]
    fn a_payload_that_unpacks_to_too_much_is_refused() {
        let huge = "a".repeat(MAX_PAYLOAD / 2 + 1);
        assert_eq!(decode(CONTENT_TYPE, &encode("<Msg/>", &huge)), None);
    }

    #[test]
    fn elements_are_found_by_their_whole_name() {
        let xml = "<IDs>no</IDs><ID a='b'>yes</ID>";
        assert_eq!(element(xml, "ID"), Some("yes"));
        assert_eq!(element(xml, "I"), None);
        assert_eq!(escape("<a href=\"'&\">"), "&lt;a href=&quot;&apos;&amp;&quot;&gt;");
    }
}
