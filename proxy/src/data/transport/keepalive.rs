//! Peers that have vanished are noticed by the kernel.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Questions of the kernel within one keepalive time, when the first gets no answer.
const KEEPALIVE_QUESTIONS: u32 = 4;

/// Lets the kernel ask now and then whether the other side is still there. A socket without the option still works; only a
/// peer that vanished is noticed later. What is set on a listening socket holds for the connections that it accepts.
pub fn keep_alive<'a, S: Into<SockRef<'a>>>(socket: S, after: Option<Duration>) {
    let socket: SockRef<'_> = socket.into();
    let _ = match after {
        Some(after) => {
            let questions = TcpKeepalive::new().with_time(after).with_interval(after / KEEPALIVE_QUESTIONS);
            socket.set_tcp_keepalive(&questions)
        }
        None => socket.set_keepalive(false),
    };
}
