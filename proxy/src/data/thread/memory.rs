//! Gives memory back to the system that connections no longer need.
//!
//! The only `unsafe` of the project. The allocator returns free pages while it is at work; when thousands of connections fall
//! idle together nobody is at work any more, and their buffers (20 KB each) would stay with the process until somebody is.

/// Asks the allocator to return what is free. Takes some ten microseconds.
#[expect(unsafe_code, reason = "a C function without arguments to get wrong; the allocator's crate does not wrap it")]
pub fn give_back() {
    // SAFETY: it may be called at any time on any thread (mimalloc's documentation of `mi_collect`): it looks through the
    // pages of the calling thread and touches no block that is in use.
    unsafe { libmimalloc_sys::mi_collect(false) }
}
