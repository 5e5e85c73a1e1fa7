//! How tests wait for what they are not told of.

use std::time::Duration;

/// Any machine does what a test waits for in this time.
const LONGEST: Duration = Duration::from_secs(60);

/// Lets the other tasks run until this is so.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONGEST, waiting).await.expect("it did not come to be so");
}
