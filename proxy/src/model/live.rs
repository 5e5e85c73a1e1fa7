//! What is learned while serving: which content a server lacks, which fallback clocks run, which client stays where.
//!
//! One value for the whole process, shared by all data threads and all snapshots, so that a reload forgets nothing. It is
//! four [`Table`]s of fixed size: reading and writing takes no lock and allocates nothing, and the memory is bounded
//! whatever clients ask for. What is learned for the sake of some clients has them as its [`Owner`], and no others can push it
//! out. Keys of contents, files and uploads are hashes with a secret of this process, so that no client can make what is known
//! of two contents meet.

use std::hash::{self, BuildHasher, Hasher};

use foldhash::quality::RandomState;

use super::mix::mix;
use super::recent::Recent;
use super::table::{Entry, Table, Worth};

pub use super::table::Owner;

/// Tenths of a second of the process clock, counted from 1.
pub type Ticks = u32;

/// Ticks of a minute.
pub const TICKS_PER_MINUTE: u64 = 600;

/// An entry that is in use is marked as used no more often than this, so that reading it rarely writes.
const TOUCH: Ticks = 50;

/// A clock that is asked for so long after its start is of lasting use: somewhere a download goes on trying.
const AGAIN: Ticks = 100;

/// That a server still lacks something is news again after this time: whoever was told may have been too busy to listen.
const RENEWED: Ticks = 600;

/// A verdict takes two bits of an entry, its time the other thirty: three years.
const WORD_BITS: u32 = 2;
const WORD: u32 = (1 << WORD_BITS) - 1;
/// It has the content.
const HAS: u32 = 1;
/// It lacks the content.
const LACKS: u32 = 2;
/// Some server lacks something of it: the mark of a content, whatever the server.
const MARK: u32 = 0;
/// It lacks the file.
const NO_FILE: u32 = 3;

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Fallback clocks.
    pub clocks: usize,
    /// Verdicts about a content, or a file, at a server.
    pub verdicts: usize,
    /// Clients that stay at a server, and as many downloads and uploads.
    pub affinities: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { clocks: 1 << 16, verdicts: 1 << 18, affinities: 1 << 20 }
    }
}

/// What a server has said about a content or a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has it.
    Has,
    /// It answered 404.
    Lacks,
}

/// What a key is about: the same text in two domains is two keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Domain {
    Content,
    File,
    Client,
    Upload,
    AfterUpload,
}

/// What is learned while serving.
#[derive(Debug)]
pub struct Live {
    /// What this process calls itself behind its name, where a request that comes back would show it. No other has the same.
    pub instance: Box<str>,
    /// What happened to clients lately, for people.
    pub recent: Recent,
    hasher: RandomState,
    clocks: Table,
    verdicts: Table,
    /// Clients, for a long time.
    clients: Table,
    /// Downloads and uploads, while they last.
    transfers: Table,
}

impl Default for Live {
    fn default() -> Self {
        Self::new(Capacity::default())
    }
}

impl Live {
    /// Knows nothing yet.
    pub fn new(capacity: Capacity) -> Self {
        // Seeded by the operating system, unlike the hasher below.
        let instance = hash::RandomState::new().hash_one(std::process::id());
        Self {
            instance: format!("{instance:016x}").into(),
            recent: Recent::new(mix(instance)),
            hasher: RandomState::default(),
            clocks: Table::new(capacity.clocks),
            verdicts: Table::new(capacity.verdicts),
            clients: Table::new(capacity.affinities),
            transfers: Table::new(capacity.affinities),
        }
    }

    /// The time in ticks.
    pub fn ticks(now_ms: u64) -> Ticks {
        Ticks::try_from(now_ms / 100 + 1).unwrap_or(Ticks::MAX)
    }

    /// A duration in ticks, at least one.
    pub fn ticks_of(duration: std::time::Duration) -> Ticks {
        let ticks = duration.as_secs().saturating_mul(10).saturating_add(u64::from(duration.subsec_millis() / 100));
        Ticks::try_from(ticks).unwrap_or(Ticks::MAX).max(1)
    }

    /// The key of a text, letters in any case.
    pub fn key(&self, domain: Domain, seed: u64, text: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(seed ^ (domain as u64) << 56);
        let mut lower = [0; 64];
        for piece in text.chunks(lower.len()) {
            let lower = &mut lower[..piece.len()];
            lower.copy_from_slice(piece);
            lower.make_ascii_lowercase();
            hasher.write(lower);
        }
        hasher.finish()
    }

    /// The key of a content, by the path of its folder.
    pub fn content_key(&self, folder: &str) -> u64 {
        self.key(Domain::Content, 0, folder.as_bytes())
    }

    /// What the server with this live part has said, if that is not older than `ttl`.
    pub fn verdict(&self, key: u64, endpoint: u32, now: Ticks, ttl: Ticks) -> Option<(Verdict, Ticks)> {
        let found = self.verdicts.get(at_endpoint(key, endpoint))?;
        let (verdict, learned) = unpack(found.what);
        let age = now.saturating_sub(learned);
        (verdict == Verdict::Has || age < ttl).then_some((verdict, age))
    }

    /// Keeps what a server has said about a content. Says whether that is news.
    pub fn learn(&self, owner: Owner, key: u64, endpoint: u32, verdict: Verdict, now: Ticks) -> bool {
        let word = match verdict {
            Verdict::Has => HAS,
            Verdict::Lacks => {
                self.mark(owner, key, now);
                LACKS
            }
        };
        self.keep(owner, at_endpoint(key, endpoint), word, now)
    }

    /// Keeps that a server lacks a file of a content, which says nothing about the content. Says whether that is news.
    pub fn learn_file(&self, owner: Owner, content: u64, key: u64, endpoint: u32, now: Ticks) -> bool {
        self.mark(owner, content, now);
        self.keep(owner, at_endpoint(key, endpoint), NO_FILE, now)
    }

    fn keep(&self, owner: Owner, key: u64, word: u32, now: Ticks) -> bool {
        let known = self.verdicts.get(key);
        let news = known.is_none_or(|known| {
            let stale = now.saturating_sub(known.what >> WORD_BITS) >= RENEWED;
            known.what & WORD != word || word != HAS && stale
        });
        if news || word != HAS || known.is_some_and(|known| now.saturating_sub(known.at) >= TOUCH) {
            // A content that is somewhere is one; of others there are as many as clients make up.
            let worth = if word == HAS { Worth::Lasting } else { Worth::Passing };
            self.verdicts.put(key, owner, worth, Entry { what: now << WORD_BITS | word, at: now });
        }
        news
    }

    /// Some server lacks something of a content: only then is it worth looking what each of them lacks.
    fn mark(&self, owner: Owner, content: u64, now: Ticks) {
        self.verdicts.put(content, owner, Worth::Passing, Entry { what: now << WORD_BITS | MARK, at: now });
    }

    /// Whether some server lacked something of a content less than `ttl` ago. When the mark was pushed out, servers that
    /// lack it are asked again.
    pub fn is_missing(&self, content: u64, now: Ticks, ttl: Ticks) -> bool {
        self.verdicts.get(content).is_some_and(|mark| now.saturating_sub(mark.at) < ttl)
    }

    /// Forgets what a server has said about a content. Says whether there was anything.
    pub fn unlearn(&self, key: u64, endpoint: u32) -> bool {
        self.verdicts.remove(at_endpoint(key, endpoint))
    }

    /// Forgets every file that some server lacks: which content a file belongs to cannot be told from its key. Gives how
    /// many.
    pub fn unlearn_files(&self) -> usize {
        self.verdicts.remove_where(|entry| entry.what & WORD == NO_FILE)
    }

    /// Forgets everything that any server has said. Gives how much that was.
    pub fn unlearn_all(&self) -> usize {
        let gone = self.verdicts.remove_where(|entry| entry.what & WORD != MARK);
        self.verdicts.remove_where(|_| true);
        gone
    }

    /// When a clock was started, unless nobody has asked for it for `idle`.
    pub fn clock(&self, key: u64, now: Ticks, idle: Ticks) -> Option<Ticks> {
        let found = self.clocks.get(key)?;
        (now.saturating_sub(found.at) < idle).then_some(found.what)
    }

    /// Starts a clock that does not run, keeps one that does. Says whether it was started.
    pub fn start_clock(&self, key: u64, owner: Owner, now: Ticks, idle: Ticks) -> bool {
        let running = self.clock(key, now, idle);
        let again = running.is_some_and(|started| now.saturating_sub(started) >= AGAIN);
        let worth = if again { Worth::Lasting } else { Worth::Passing };
        self.clocks.put(key, owner, worth, Entry { what: running.unwrap_or(now), at: now });
        running.is_none()
    }

    /// Every server has been waited for, and none has the content: a clock that runs goes on, and is the first to go when there is
    /// no room for all.
    pub fn demote_clock(&self, key: u64, owner: Owner, now: Ticks, idle: Ticks) {
        if let Some(started) = self.clock(key, now, idle) {
            self.clocks.put(key, owner, Worth::Passing, Entry { what: started, at: now });
        }
    }

    /// Ends a clock. Says whether it ran.
    pub fn clear_clock(&self, key: u64) -> bool {
        self.clocks.remove(key)
    }

    /// Ends all clocks. Gives how many.
    pub fn clear_clocks(&self) -> usize {
        self.clocks.remove_where(|_| true)
    }

    /// Clocks that run. Reads the whole table.
    pub fn running_clocks(&self, now: Ticks, idle: Ticks) -> usize {
        self.clocks.entries().filter(|entry| now.saturating_sub(entry.at) < idle).count()
    }

    /// For how long the oldest of them has run; 0 when none runs. Reads the whole table.
    pub fn oldest_clock(&self, now: Ticks, idle: Ticks) -> Ticks {
        let running = self.clocks.entries().filter(|entry| now.saturating_sub(entry.at) < idle);
        running.map(|entry| now.saturating_sub(entry.what)).max().unwrap_or(0)
    }

    /// The live part of the server where somebody is, unless it has been idle for `idle`.
    pub fn stay(&self, who: Who, key: u64, now: Ticks, idle: Ticks) -> Option<u32> {
        let found = self.stays(who).get(key)?;
        (now.saturating_sub(found.at) < idle).then_some(found.what)
    }

    /// Keeps where somebody is. Says whether it has moved from another server.
    pub fn keep_stay(&self, who: Who, key: u64, owner: Owner, endpoint: u32, now: Ticks) -> bool {
        let stays = self.stays(who);
        let known = stays.get(key);
        let moved = known.is_some_and(|known| known.what != endpoint);
        if moved || known.is_none_or(|known| now.saturating_sub(known.at) >= TOUCH) {
            let worth = if known.is_some() { Worth::Lasting } else { Worth::Passing };
            stays.put(key, owner, worth, Entry { what: endpoint, at: now });
        }
        moved
    }

    /// Forgets where everybody stays who is at this server. Gives how many.
    pub fn end_stays_at(&self, endpoint: u32) -> usize {
        let here = |entry: Entry| entry.what == endpoint;
        self.clients.remove_where(here) + self.transfers.remove_where(here)
    }

    /// Forgets clocks that no request has asked for, and what has been lacking for too long: what is over takes no room. Reads these
    /// tables whole.
    pub fn tidy(&self, now: Ticks, clock_idle: Ticks, missing_ttl: Ticks) {
        self.clocks.remove_where(|entry| now.saturating_sub(entry.at) >= clock_idle);
        self.verdicts.remove_where(|entry| entry.what & WORD != HAS && now.saturating_sub(entry.at) >= missing_ttl);
        self.clocks.recount();
        self.verdicts.recount();
    }

    /// Counts anew who stays. Reads these tables whole.
    pub fn recount_stays(&self) {
        self.clients.recount();
        self.transfers.recount();
    }

    fn stays(&self, who: Who) -> &Table {
        match who {
            Who::Client => &self.clients,
            Who::Transfer => &self.transfers,
        }
    }
}

/// Who stays at a server. Each has a table of its own: a day of many downloads does not push out clients that come once a
/// week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A client.
    Client,
    /// A download or an upload.
    Transfer,
}

fn at_endpoint(key: u64, endpoint: u32) -> u64 {
    mix(key ^ u64::from(endpoint))
}

fn unpack(what: u32) -> (Verdict, Ticks) {
    let verdict = if what & WORD == HAS { Verdict::Has } else { Verdict::Lacks };
    (verdict, what >> WORD_BITS)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner::NONE;
    const CLOCK: u64 = 5 << 16;

    #[test]
    fn verdicts_age_and_change() {
        let live = Live::default();
        let key = live.key(Domain::Content, 0, b"ABC00012");
        assert_eq!(key, live.key(Domain::Content, 0, b"abc00012"));
        assert_ne!(key, live.key(Domain::File, 0, b"abc00012"));
        assert_eq!(live.verdict(key, 1, 10, 100), None);
        assert!(live.learn(OWNER, key, 1, Verdict::Lacks, 10));
        assert!(!live.learn(OWNER, key, 1, Verdict::Lacks, 20), "no news, and the time to live begins again");
        assert_eq!(live.verdict(key, 1, 50, 100), Some((Verdict::Lacks, 30)));
        assert_eq!(live.verdict(key, 2, 50, 100), None, "another server has said nothing");
        assert_eq!(live.verdict(key, 1, 120, 100), None);
        assert!(live.learn(OWNER, key, 1, Verdict::Has, 130));
        assert_eq!(live.verdict(key, 1, 1_000_000, 100).unwrap().0, Verdict::Has);
        assert!(live.unlearn(key, 1) && !live.unlearn(key, 1));
    }

    #[test]
    fn files_are_forgotten_without_their_names() {
        let live = Live::default();
        let content = live.key(Domain::Content, 0, b"ABC00012");
        let [file, other] = [b"a.msi", b"b.msi"].map(|name| live.key(Domain::File, content, name));
        assert!(live.learn(OWNER, content, 1, Verdict::Has, 10) && live.learn(OWNER, content, 2, Verdict::Lacks, 10));
        assert!(live.learn_file(OWNER, 5 << 16, file, 1, 10) && live.learn_file(OWNER, 5 << 16, other, 2, 10));
        assert!(!live.learn_file(OWNER, 5 << 16, file, 1, 20), "no news, and the time to live begins again");
        assert_eq!(live.verdict(file, 1, 50, 100), Some((Verdict::Lacks, 30)));
        assert_eq!(live.verdict(file, 1, 120, 100), None);
        assert!(
            live.is_missing(5 << 16, 119, 100)
                && !live.is_missing(5 << 16, 120, 100)
                && !live.is_missing(6 << 16, 20, 100)
        );
        assert_eq!(live.unlearn_files(), 2);
        assert_eq!((live.verdict(file, 1, 20, 100), live.verdict(other, 2, 20, 100)), (None, None));
        assert_eq!(live.verdict(content, 1, 20, 100), Some((Verdict::Has, 10)));
        assert_eq!(live.verdict(content, 2, 20, 100), Some((Verdict::Lacks, 10)));
        assert_eq!(live.unlearn_files(), 0);
    }

    #[test]
    fn clocks_run_until_they_are_cleared_or_idle() {
        let live = Live::default();
        assert!(live.start_clock(CLOCK, OWNER, 100, 50) && !live.start_clock(CLOCK, OWNER, 120, 50));
        assert_eq!(live.clock(CLOCK, 169, 50), Some(100));
        assert_eq!(live.clock(CLOCK, 170, 50), None, "nobody has asked since 120");
        assert!(live.start_clock(CLOCK, OWNER, 200, 50));
        assert_eq!(live.clock(CLOCK, 200, 50), Some(200));
        assert_eq!(live.running_clocks(200, 50), 1);
        assert!(!live.start_clock(CLOCK, OWNER, 240, 50));
        assert_eq!((live.oldest_clock(245, 50), live.oldest_clock(290, 50)), (45, 0));
        assert!(live.clear_clock(CLOCK) && !live.clear_clock(CLOCK));
    }

    #[test]
    fn who_stays_where_is_kept_while_it_is_used() {
        let live = Live::default();
        let who = Who::Client;
        assert!(!live.keep_stay(who, 9, OWNER, 4, 100));
        assert!(!live.keep_stay(who, 9, OWNER, 4, 101));
        assert_eq!(live.stay(who, 9, 100 + 599, 600), Some(4));
        assert_eq!(live.stay(who, 9, 100 + 600, 600), None);
        assert_eq!(live.stay(Who::Transfer, 9, 101, 600), None, "a download with the same key is another matter");
        assert!(live.keep_stay(who, 9, OWNER, 5, 102), "another server");
        live.keep_stay(Who::Transfer, 9, OWNER, 5, 102);
        assert_eq!(live.end_stays_at(5), 2);
        assert_eq!(live.stay(who, 9, 102, 600), None);
    }

    #[test]
    fn ticks() {
        assert_eq!((Live::ticks(0), Live::ticks(99), Live::ticks(60_000)), (1, 1, 601));
        assert_eq!(Live::ticks(u64::MAX), Ticks::MAX);
        assert_eq!(Live::ticks_of(std::time::Duration::from_millis(1)), 1);
        assert_eq!(u64::from(Live::ticks_of(std::time::Duration::from_secs(60))), TICKS_PER_MINUTE);
    }
}
