//! A panic anywhere is noticed, also of a task, which the runtime catches. Alone in its program: the hook is everyone's.
#![allow(clippy::unwrap_used, missing_docs)]

use rolegate::process_log;

#[test]
fn a_panic_of_a_task_is_noticed_with_its_thread() {
    process_log::log_panics();
    assert_eq!(process_log::panicked(), None);
    let serving = std::thread::Builder::new().name("data-3".to_owned()).spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { tokio::spawn(async { panic!("as a test wants it") }).await.is_err() })
    });
    assert!(serving.unwrap().join().unwrap(), "the thread goes on");
    assert_eq!(process_log::panicked(), Some("data-3"));
    // What follows from it is not the cause.
    let _ = std::thread::spawn(|| panic!("as a test wants it")).join();
    assert_eq!(process_log::panicked(), Some("data-3"));
}
