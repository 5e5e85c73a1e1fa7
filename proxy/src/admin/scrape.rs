//! `/metrics`: a long text that many may ask for at once.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;

/// Texts that are held at once: one that is being read, and a newer one. Who asks while both are, gets the newer one.
const TEXTS: usize = 2;

/// The texts that are being read.
#[derive(Debug)]
pub(super) struct Scrapes {
    texts: Arc<Mutex<Vec<Weak<String>>>>,
    rendering: Arc<Semaphore>,
}

impl Scrapes {
    pub(super) fn new() -> Self {
        Self { texts: Arc::default(), rendering: Arc::new(Semaphore::new(1)) }
    }

    /// The text that `render` writes, or one that others still read. `None` when it could not be written.
    pub(super) async fn text(&self, render: impl FnOnce() -> String + Send + 'static) -> Option<Arc<String>> {
        // One text is written at a time, also when the one who asked for it has gone: the permit ends with the work.
        let permit = Arc::clone(&self.rendering).acquire_owned().await.ok()?;
        let texts = Arc::clone(&self.texts);
        let write = move || {
            let _permit = permit;
            if let Some(newest) = still_read(&texts) {
                return newest;
            }
            let text = Arc::new(render());
            texts.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&text));
            text
        };
        tokio::task::spawn_blocking(write).await.ok()
    }
}

/// The newest text, when no more may be written.
fn still_read(texts: &Mutex<Vec<Weak<String>>>) -> Option<Arc<String>> {
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
    async fn ask(scrapes: &Scrapes, written: &Arc<AtomicUsize>) -> Arc<String> {
        let written = Arc::clone(written);
        scrapes.text(move || written.fetch_add(1, Relaxed).to_string()).await.unwrap()
    }

    #[tokio::test]
    async fn many_who_do_not_read_hold_two_texts() {
        let (scrapes, written) = (Scrapes::new(), Arc::default());
        let mut held = Vec::new();
        for _ in 0..40 {
            held.push(ask(&scrapes, &written).await);
        }
        assert_eq!(written.load(Relaxed), 2);
        let texts: Vec<&str> = held.iter().map(|text| text.as_str()).collect();
        assert_eq!((texts[0], texts[1], texts[39]), ("0", "1", "1"), "the newer one is shared");
        held.remove(0);
        assert_eq!(ask(&scrapes, &written).await.as_str(), "2", "one of the two has been read");
        drop(held);
        assert_eq!(ask(&scrapes, &written).await.as_str(), "3");
    }

    #[tokio::test]
    async fn a_text_that_was_read_is_not_given_again() {
        let (scrapes, written) = (Scrapes::new(), Arc::default());
        for number in 0..5_usize {
            assert_eq!(ask(&scrapes, &written).await.as_str(), number.to_string());
        }
    }
}
