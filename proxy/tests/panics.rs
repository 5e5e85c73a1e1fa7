//! A panic anywhere is noticed, also of a task, which the runtime catches. Alone in its program: the hook is everyone's.
#![allow(clippy::unwrap_used, missing_docs)]

use rolegate::process_log;

#[test]
fn a_panic_of_a_task_is_noticed_with_its_thread() {
    process_log::log_panics();
    let panics_on = |thread: &str| {
        let thread = std::thread::Builder::new().name(thread.to_owned()).spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async { tokio::spawn(async { panic!("as a test wants it") }).await.is_err() })
        });
        assert!(thread.unwrap().join().unwrap(), "the thread goes on");
    };
    panics_on("data-3");
    assert_eq!(process_log::panicked(), None, "it ends one client's connection");
    panics_on("control");
    assert_eq!(process_log::panicked(), Some("control"));
    // What follows from it is not the cause.
    panics_on("another");
    assert_eq!(process_log::panicked(), Some("control"));
}
