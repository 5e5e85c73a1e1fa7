//! `/metrics`: a long text that many may ask for at once.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use axum::body::Body;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::gzip::{Packing, pack};

/// Texts that are held at once: one that is being read, and a newer one. Who asks while both are, gets the newer one.
const TEXTS: usize = 2;

/// A text that several readers share.
#[derive(Debug)]
pub(super) struct Text {
    plain: String,
    /// The same with gzip: made for the first who takes it.
    packed: OnceLock<Vec<u8>>,
}

/// A text on its way to one reader.
struct Sent(Arc<Text>, Packing);

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        match self.1 {
            Packing::Plain => self.0.plain.as_bytes(),
            Packing::Gzip => self.0.packed.get().map_or(&[], Vec::as_slice),
        }
    }
}

/// The body of an answer with a text that [`Scrapes::text`] has made for this packing.
pub(super) fn body(text: Arc<Text>, packing: Packing) -> Body {
    Body::from(Bytes::from_owner(Sent(text, packing)))
}

/// The texts that are being read.
#[derive(Debug)]
pub(super) struct Scrapes {
    texts: Arc<Mutex<Vec<Weak<Text>>>>,
    rendering: Arc<Semaphore>,
}

impl Scrapes {
    pub(super) fn new() -> Self {
        Self { texts: Arc::default(), rendering: Arc::new(Semaphore::new(1)) }
    }

    /// The text that `render` writes, or one that others still read. `None` when it could not be written.
    pub(super) async fn text(
        &self,
        packing: Packing,
        render: impl FnOnce() -> String + Send + 'static,
    ) -> Option<Arc<Text>> {
        // One text is written at a time, also when the one who asked for it has gone: the permit ends with the work.
        let permit = Arc::clone(&self.rendering).acquire_owned().await.ok()?;
        let texts = Arc::clone(&self.texts);
        let write = move || {
            let _permit = permit;
            let text = still_read(&texts).unwrap_or_else(|| {
                let text = Arc::new(Text { plain: render(), packed: OnceLock::new() });
                texts.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&text));
                text
            });
            if packing == Packing::Gzip {
                text.packed.get_or_init(|| pack(text.plain.as_bytes()));
            }
            text
        };
        tokio::task::spawn_blocking(write).await.ok()
    }
}

/// The newest text, when no more may be written.
fn still_read(texts: &Mutex<Vec<Weak<Text>>>) -> Option<Arc<Text>> {
    let mut texts = texts.lock().unwrap_or_else(PoisonError::into_inner);
    texts.retain(|text| text.strong_count() > 0);
    if texts.len() < TEXTS { None } else { texts.last().and_then(Weak::upgrade) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    /// What is asked for, and how many texts were written for it.
    async fn ask(scrapes: &Scrapes, written: &Arc<AtomicUsize>) -> Arc<Text> {
        let written = Arc::clone(written);
        scrapes.text(Packing::Plain, move || written.fetch_add(1, Relaxed).to_string()).await.unwrap()
    }

    #[tokio::test]
    async fn many_who_do_not_read_hold_two_texts() {
        let (scrapes, written) = (Scrapes::new(), Arc::default());
        let mut held = Vec::new();
        for _ in 0..40 {
            held.push(ask(&scrapes, &written).await);
        }
        assert_eq!(written.load(Relaxed), 2);
        let texts: Vec<&str> = held.iter().map(|text| text.plain.as_str()).collect();
        assert_eq!((texts[0], texts[1], texts[39]), ("0", "1", "1"), "the newer one is shared");
        held.remove(0);
        assert_eq!(ask(&scrapes, &written).await.plain.as_str(), "2", "one of the two has been read");
        drop(held);
        assert_eq!(ask(&scrapes, &written).await.plain.as_str(), "3");
    }

    #[tokio::test]
    async fn a_text_that_was_read_is_not_given_again() {
        let (scrapes, written) = (Scrapes::new(), Arc::default());
        for number in 0..5_usize {
            assert_eq!(ask(&scrapes, &written).await.plain.as_str(), number.to_string());
        }
    }

    #[tokio::test]
    async fn a_text_is_compressed_once_for_all_who_take_it() {
        let (scrapes, written) = (Scrapes::new(), Arc::default());
        let first = ask(&scrapes, &written).await;
        let second = ask(&scrapes, &written).await;
        let mut packed = Vec::new();
        for _ in 0..3 {
            packed.push(scrapes.text(Packing::Gzip, || panic!("two are being read")).await.unwrap());
        }
        assert!(first.packed.get().is_none() && packed.iter().all(|text| Arc::ptr_eq(text, &second)));
        assert_eq!(Sent(second, Packing::Gzip).as_ref(), pack(b"1"));
    }
}
