//! Tells when the configuration file may have changed.

use std::path::Path;
use std::sync::Arc;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Watches a file through its folder, because editors and configuration management replace files rather than write them.
/// The watch lasts as long as what is returned.
///
/// # Errors
/// The folder cannot be watched; the file can still be reloaded by SIGHUP.
pub fn watch(file: &Path, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let name = file.file_name().map(std::ffi::OsStr::to_os_string);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let ours = event.paths.iter().any(|path| path.file_name() == name.as_deref());
        if ours && !matches!(event.kind, EventKind::Access(_)) {
            changed.notify_one();
        }
    })?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
