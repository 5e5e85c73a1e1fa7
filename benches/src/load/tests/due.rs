//! What counts when.

use super::*;

#[test]
fn what_was_due_in_the_warm_up_is_not_measured_however_late_it_is_answered() {
    // Nothing is answered before the warm-up is long over.
    let server = serve(|_, _| Reply { when: When::After(Duration::from_millis(400)), ..Reply::now(OK) });
    let mode = Mode::Rate { per_second: 100.0, connections: 100 };
    let warm_up = Duration::from_millis(300);
    let measured = quiet(&Plan { mode, warm_up, ..plan(server.address) });
    assert!(asked(&server) >= 59 || !measured.generator.doubts.is_empty(), "{measured:?}");
    // Whatever this machine had no time for was not sent.
    assert_eq!(done(&measured) + failed(&measured, "unsent"), 30, "{measured:?}");
    assert!((measured.measured_s - 0.3).abs() < 1e-9, "{measured:?}");
}

#[test]
fn what_the_warm_up_leaves_unsent_is_not_measured_either() {
    let server = serve(|_, _| Reply::never());
    let mode = Mode::Rate { per_second: 100.0, connections: 1 };
    // What waits longer than this is given up, which takes a connection that is free, and none is before the end.
    let timeout = Duration::from_secs(2);
    let warm_up = Duration::from_millis(500);
    let measured = quiet(&Plan { mode, warm_up, timeout, ..plan(server.address) });
    assert_eq!((failed(&measured, "unsent"), done(&measured)), (30, 0), "{measured:?}");
}

#[test]
fn a_request_counts_in_the_second_in_which_it_was_due() {
    // Those of the first second are answered in the third, after the end.
    let server = serve(|n, _| Reply {
        when: if n < 10 { When::After(Duration::from_millis(2100)) } else { When::Now },
        ..Reply::now(OK)
    });
    let mode = Mode::Rate { per_second: 10.0, connections: 20 };
    let measured = quiet(&Plan { mode, duration: Duration::from_secs(2), ..plan(server.address) });
    let seconds: Vec<_> = measured.timeline.iter().map(|second| second.done + second.errors).collect();
    assert_eq!(seconds, [10, 10], "{measured:?}");
    assert_eq!(done(&measured) + failed(&measured, "unsent"), 20, "{measured:?}");
    // And there its latency is.
    let first = &measured.timeline[0];
    assert!(first.done < 10 || first.p50_us >= 2_000_000, "{first:?}");
}

#[test]
fn the_schedule_begins_when_all_connections_are_open() {
    let (server, tls) = secured();
    // Nothing gets through to the server, and no handshake ends, before the gate is open.
    let gate = gate(server.address);
    let mode = Mode::Rate { per_second: 100.0, connections: 8 };
    let plan = Plan { tls: Some(tls), threads: 2, mode, ..plan(gate.address) };
    let watch = Watch::default();
    let running = thread::spawn({
        let watch = watch.clone();
        move || run(&plan, &watch).unwrap()
    });
    gate.seen.wait(|seen| seen.connections == 8);
    assert_eq!(watch.began.get(), None, "connections are not open yet");
    let opened = Instant::now();
    gate.seen.gate.add_permits(1);
    let measured = running.join().unwrap();
    assert!(watch.began.get().is_some_and(|began| *began >= opened));
    let all = sum(&measured, |series| series.done + series.errors.values().sum::<u64>());
    assert_eq!((all, gate.seen.now().connections), (30, 8), "{measured:?}");
}

/// Passes connections on to a server, each once the gate is open.
fn gate(server: SocketAddr) -> Server {
    start(async move |seen| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                seen.note(|counts| counts.connections += 1);
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    drop(seen.gate.acquire().await);
                    let mut far = TcpStream::connect(server).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
        (address, accepting)
    })
}
