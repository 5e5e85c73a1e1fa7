//! The fields of a head, flat, in the order in which they came.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::known::{Known, KnownSet, Name};

/// Fields that most heads have at most.
const USUAL: usize = 24;
/// Fields that are added to a head.
const ADDED: usize = 4;

/// Fields. Values that came over HTTP/1.1 are places in the bytes that came, not copies.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// The head that came.
    bytes: Bytes,
    lines: Vec<Line>,
    /// Which known names there are.
    known: KnownSet,
}

#[derive(Clone, Debug)]
struct Line {
    name: Name,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    /// In the bytes that came: where its name begins, and where it is itself.
    Came { name: u32, begin: u32, end: u32 },
    /// Made here, or by a library.
    Made(HeaderValue),
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Its name, in small letters.
    pub name: &'a str,
    /// Its name, if it is a known one.
    pub known: Option<Known>,
    /// Its name as it was spelled.
    pub spelled: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

impl<'a> Field<'a> {
    /// One of ours.
    pub fn known(name: Known, value: &'a HeaderValue) -> Self {
        let text = name.as_str();
        Self { name: text, known: Some(name), spelled: text.as_bytes(), value: value.as_bytes() }
    }

    /// One whose name comes from a configuration.
    pub fn named(name: &'a HeaderName, value: &'a HeaderValue) -> Self {
        let text = name.as_str();
        Self { name: text, known: Known::of(text), spelled: text.as_bytes(), value: value.as_bytes() }
    }

    /// Whether its name is this one.
    pub fn is(&self, name: Known) -> bool {
        self.known == Some(name)
    }

    /// Whether its name is one of these.
    pub fn is_in(&self, names: KnownSet) -> bool {
        self.known.is_some_and(|known| names.has(known))
    }
}

impl Fields {
    /// Begins anew with fields of a head that came. The memory of the lines is kept.
    pub(super) fn begin(&mut self, bytes: Bytes, count: usize) {
        self.lines.clear();
        // Room for most heads, so that memory that is kept need not grow for the next one.
        self.lines.reserve((count + ADDED).max(USUAL));
        self.known = KnownSet::NONE;
        self.bytes = bytes;
    }

    /// A field of that head; both are parts of it.
    pub(super) fn came(&mut self, name: Name, spelled: &str, value: &[u8]) {
        let at = |part: &[u8]| place(&self.bytes, part);
        let begin = if value.is_empty() { 0 } else { at(value) };
        let value = Value::Came { name: at(spelled.as_bytes()), begin, end: begin + value.len() as u32 };
        self.push(name, value);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// For how many there is memory.
    pub fn capacity(&self) -> usize {
        self.lines.capacity()
    }

    /// Takes all of them out. The memory of the lines is kept.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.known = KnownSet::NONE;
        self.bytes = Bytes::new();
    }

    /// Whether there is one with this name.
    pub fn has(&self, name: Known) -> bool {
        self.known.has(name)
    }

    /// Whether there is one with one of these names.
    pub fn has_any(&self, names: KnownSet) -> bool {
        self.known.meets(names)
    }

    /// The value of the first one with this name.
    pub fn get(&self, name: Known) -> Option<&[u8]> {
        if !self.has(name) {
            return None;
        }
        self.all(name).next()
    }

    /// The values of all with this name.
    pub fn all(&self, name: Known) -> impl Iterator<Item = &[u8]> {
        // Nearly no name is there more than once, and most are not there.
        let lines = if self.has(name) { &self.lines[..] } else { &[] };
        lines.iter().filter(move |line| line.name.known() == Some(name)).map(|line| self.value(line))
    }

    /// The values of all whose name, in small letters, comes from a configuration.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().filter(move |line| line.name.as_str() == name).map(|line| self.value(line))
    }

    /// The value of the first one with this name. It holds all of the head that it came in.
    pub fn share(&self, name: Known) -> Option<Bytes> {
        if !self.has(name) {
            return None;
        }
        let line = self.lines.iter().find(|line| line.name.known() == Some(name))?;
        Some(self.shared(&line.value))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.lines.iter().map(|line| {
            let name = line.name.as_str();
            let spelled = match line.value {
                Value::Came { name: begin, .. } => &self.bytes[begin as usize..][..name.len()],
                Value::Made(_) => name.as_bytes(),
            };
            Field { name, known: line.name.known(), spelled, value: self.value(line) }
        })
    }

    /// Adds one.
    pub fn append(&mut self, name: impl Into<Name>, value: HeaderValue) {
        self.push(name.into(), Value::Made(value));
    }

    /// Puts this one in the place of all with its name, or behind the others.
    pub fn set(&mut self, name: Known, value: HeaderValue) {
        let mut value = Some(Value::Made(value));
        if self.has(name) {
            self.lines.retain_mut(|line| {
                let own = line.name.known() != Some(name);
                let first = value.take_if(|_| !own);
                let stays = own || first.is_some();
                if let Some(value) = first {
                    line.value = value;
                }
                stays
            });
        }
        if let Some(value) = value {
            self.push(name.into(), value);
        }
    }

    /// Takes out all with this name.
    pub fn remove(&mut self, name: Known) {
        self.remove_all(KnownSet::of(&[name]));
    }

    /// Takes out all with these names.
    pub fn remove_all(&mut self, names: KnownSet) {
        if self.has_any(names) {
            self.lines.retain(|line| !line.name.known().is_some_and(|known| names.has(known)));
            self.known = self.known.without(names);
        }
    }

    /// Takes out those whose names are unwanted.
    pub fn remove_if(&mut self, mut unwanted: impl FnMut(&Name) -> bool) {
        // Most heads have none, and then nothing moves.
        let Some(first) = self.lines.iter().position(|line| unwanted(&line.name)) else { return };
        let mut at = 0;
        self.lines.retain(|line| {
            at += 1;
            at <= first || (at > first + 1 && !unwanted(&line.name))
        });
        self.known = self.lines.iter().filter_map(|line| line.name.known()).fold(KnownSet::NONE, KnownSet::with);
    }

    /// As a library takes them.
    pub fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.lines.len());
        for line in &self.lines {
            let value = match &line.value {
                Value::Made(value) => Some(value.clone()),
                // What a head may have is what a library takes.
                came @ Value::Came { .. } => HeaderValue::from_maybe_shared(self.shared(came)).ok(),
            };
            value.map(|value| map.append(line.name.to_header_name(), value));
        }
        map
    }

    fn push(&mut self, name: Name, value: Value) {
        if let Name::Known(known) = name {
            self.known = self.known.with(known);
        }
        self.lines.push(Line { name, value });
    }

    fn value<'a>(&'a self, line: &'a Line) -> &'a [u8] {
        match &line.value {
            Value::Came { begin, end, .. } => &self.bytes[*begin as usize..*end as usize],
            Value::Made(value) => value.as_bytes(),
        }
    }

    fn shared(&self, value: &Value) -> Bytes {
        match value {
            Value::Came { begin, end, .. } => self.bytes.slice(*begin as usize..*end as usize),
            Value::Made(value) => Bytes::copy_from_slice(value.as_bytes()),
        }
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        let mut fields = Self::default();
        fields.lines.reserve(map.len());
        let mut last = None;
        for (name, value) in map {
            // The name is said once for all its lines.
            last = name.map(Name::from).or(last);
            if let Some(name) = &last {
                fields.push(name.clone(), Value::Made(value));
            }
        }
        fields
    }
}

/// Where a part of `whole` begins. Heads have far less than 4 GiB.
fn place(whole: &[u8], part: &[u8]) -> u32 {
    (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize) as u32
}

#[cfg(test)]
impl Fields {
    /// For tests.
    pub fn of(lines: &[(&str, &str)]) -> Self {
        let mut fields = Self::default();
        for (name, value) in lines {
            let (name, value) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value));
            fields.append(name.expect("a name"), value.expect("a value"));
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::head;
    use crate::wire::names::Names;

    /// As `name=value`, joined by blanks.
    fn text(fields: &Fields) -> String {
        let lines = fields.iter().map(|field| {
            let [name, spelled, value] = [field.name.as_bytes(), field.spelled, field.value]
                .map(|part| String::from_utf8_lossy(part).into_owned());
            assert!(spelled.eq_ignore_ascii_case(&name));
            assert_eq!(field.known, Known::of(&name));
            format!("{spelled}={value}")
        });
        lines.collect::<Vec<_>>().join(" ")
    }

    fn came(lines: &str) -> Fields {
        let head = Bytes::from(format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
        head::parse(&head, Fields::of(&[("stale", "secret")]), &mut Names::default()).expect("a head").fields
    }

    #[test]
    fn what_came_is_there_in_its_order() {
        let fields = came("VIA: 1.1 a\r\nX-A:b \r\nVia: 1.1 b\r\nEmpty:\r\nx-a: c\r\n");
        assert_eq!(text(&fields), "VIA=1.1 a X-A=b Via=1.1 b Empty= x-a=c");
        assert_eq!((fields.len(), fields.has(Known::Via), fields.has(Known::Host)), (5, true, false));
        assert_eq!((fields.get(Known::Via), fields.get(Known::Host)), (Some(&b"1.1 a"[..]), None));
        assert_eq!(fields.all(Known::Via).collect::<Vec<_>>(), [b"1.1 a", b"1.1 b"]);
        assert_eq!(fields.named("x-a").collect::<Vec<_>>(), [b"b", b"c"]);
        assert_eq!(fields.named("via").count(), 2);
        assert_eq!(fields.share(Known::Via), Some(Bytes::from("1.1 a")));
    }

    #[test]
    fn one_is_put_in_the_place_of_all_with_its_name() {
        let mut fields = came("Via: a\r\nHost: h\r\nVia: b\r\n");
        fields.set(Known::Via, HeaderValue::from_static("c"));
        assert_eq!(text(&fields), "via=c Host=h");
        fields.set(Known::Range, HeaderValue::from_static("d"));
        assert_eq!(text(&fields), "via=c Host=h range=d");
        assert_eq!(fields.share(Known::Range), Some(Bytes::from("d")));
    }

    #[test]
    fn what_is_taken_out_is_not_there() {
        let mut fields = came("Via: a\r\nA: 1\r\nHost: h\r\nB: 2\r\nVia: b\r\nTE: x\r\n");
        fields.remove(Known::Te);
        fields.remove(Known::Range);
        assert_eq!((text(&fields).as_str(), fields.has(Known::Te)), ("Via=a A=1 Host=h B=2 Via=b", false));
        fields.remove_if(|name| ["a", "via"].contains(&name.as_str()));
        assert_eq!((text(&fields).as_str(), fields.has(Known::Via)), ("Host=h B=2", false));
        let mut asked = 0;
        fields.remove_if(|_| {
            asked += 1;
            false
        });
        assert_eq!((asked, text(&fields).as_str()), (2, "Host=h B=2"));
        fields.remove_if(|_| true);
        assert!(fields.is_empty() && !fields.has(Known::Host));
    }

    #[test]
    fn libraries_get_the_same_and_give_it_back() {
        let mut fields = came("Via: a\r\nX-\u{41}: b\r\nVia: c\r\n");
        fields.append(Known::Date, HeaderValue::from_static("d"));
        let map = fields.to_map();
        assert_eq!(map.len(), 4);
        assert_eq!(text(&Fields::from(map)), "via=a via=c x-a=b date=d");
    }
}
