//! Threads that end although they were not asked to: half a proxy must not look like a whole one.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use control_support::proxy::Toml;
use control_support::world::compiled;
use rolegate::control::director::Director;
use rolegate::data::downstream::entrances::Change;
use rolegate::data::downstream::listener::Listener;
use rolegate::data::path::door::Door;
use rolegate::data::run::{self, Command, Told};
use rolegate::data::thread::pulse::Pulse;
use rolegate::data::upstream::worker::Shared;
use rolegate::metrics::{ListenerMetrics, Metrics, NO_ROLE, RoleMetrics, ThreadMetrics};
use rolegate::model::snapshot::ListenerId;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// What a data thread of a small site is given, with this socket.
fn run(socket: TcpListener, pulse: &Arc<Pulse>, commands: watch::Receiver<Command>) -> std::io::Result<usize> {
    let (metrics, epoch) = (Arc::new(Metrics::new()), Instant::now());
    let site = Toml::new(&["MP"]).system("mp1", "MP", "127.0.0.1:1".parse().unwrap(), "");
    let (_director, handles) = Director::new(compiled(&site.0), None, Arc::clone(&metrics), epoch);
    let shared = Shared {
        snapshots: Arc::clone(&handles.snapshots),
        bell: Arc::clone(&handles.bell),
        log: None,
        metrics: ThreadMetrics::new(&metrics),
        no_role: RoleMetrics::new(&metrics, NO_ROLE, None),
        epoch,
        notes: handles.notes.clone(),
        threads: 1,
        possible_connections: 10,
    };
    let door = Door { id: ListenerId(0), metrics: ListenerMetrics::new(&metrics, "http"), presence: Arc::default() };
    let (sender, changes) = mpsc::channel(1);
    sender.try_send(Change { open: vec![Listener { door, socket }], ..Change::default() }).unwrap();
    run::run(shared, 1, pulse, Told { commands, changes })
}

fn pulse() -> Arc<Pulse> {
    Arc::new(Pulse::new("data-0", Duration::from_secs(5), 0))
}

fn socket() -> TcpListener {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

#[test]
fn a_data_thread_that_accepts_nothing_more_ends_and_says_why() {
    let socket = socket();
    // The runtime takes no socket that blocks.
    socket.set_nonblocking(false).unwrap();
    let (_commands, command) = watch::channel(Command::Run);
    let ended = run(socket, &pulse(), command).unwrap_err();
    assert!(ended.to_string().contains("accepts no more"), "{ended}");
}

#[test]
fn one_that_is_told_to_drain_has_ended_well() {
    let (_commands, command) = watch::channel(Command::Drain(Duration::ZERO));
    let pulse = pulse();
    assert_eq!(run(socket(), &pulse, command).unwrap(), 0);
    assert_eq!(pulse.silent(u64::MAX - 1), None, "it is missed by no one");
}

#[test]
fn a_data_thread_gives_signs_of_life_until_it_ends() {
    let (commands, command) = watch::channel(Command::Run);
    let (pulse, before) = (pulse(), u64::MAX - 1);
    let first = pulse.silent(before);
    let beating = Arc::clone(&pulse);
    let thread = std::thread::spawn(move || run(socket(), &beating, command));
    let begun = std::time::Instant::now();
    while pulse.silent(before) >= first || pulse.silent(before).is_none() {
        assert!(begun.elapsed() < control_support::PATIENCE && !thread.is_finished(), "no sign of life");
        std::thread::yield_now();
    }
    commands.send(Command::Drain(Duration::ZERO)).unwrap();
    assert_eq!(thread.join().unwrap().unwrap(), 0);
    assert_eq!(pulse.silent(before), None);
}
