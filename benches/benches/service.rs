//! What a whole request costs: client, proxy and site system in one process, over loopback sockets. It contains the time that
//! threads take to wake each other; what the proxy alone needs is measured by `compare`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rolegate::app::App;
use rolegate::control::config::Source;
use rolegate_bench::content::{Content, Package};
use rolegate_bench::site::{SiteSystem, Spec};

/// Sizes of the file that is fetched, in bytes.
const SIZES: [usize; 3] = [1024, 64 * 1024, 1024 * 1024];

fn configuration(server: SocketAddr) -> Source {
    let text = format!(
        "site = {{ code = \"P01\" }}\nadmin = {{ address = \"127.0.0.1:0\" }}\nproxy = {{ threads = 1 }}\n\
         listeners = [{{ name = \"http\", address = \"127.0.0.1:0\", roles = [\"DP\"] }}]\n\
         [[site_systems]]\nname = \"dp1\"\naddress = \"127.0.0.1\"\nroles = [{{ role = \"DP\", port = {} }}]\n",
        server.port()
    );
    Source { name: "bench".to_owned(), text }
}

/// Sends a request and reads its response, of which this many bytes are to come.
fn ask(stream: &mut TcpStream, request: &[u8], scratch: &mut [u8], size: usize) {
    stream.write_all(request).unwrap();
    let (mut read, mut head) = (0, None);
    while head.is_none_or(|head: usize| read < head + size) {
        let count = stream.read(&mut scratch[read..]).unwrap();
        assert!(count > 0, "the connection was closed");
        read += count;
        head = head.or_else(|| scratch[..read].windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4));
    }
    assert!(scratch.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&scratch[..read.min(200)]));
}

fn service(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("service");
    for size in SIZES {
        let content = Arc::new(Content::new([Package::new("PKG00001", [("file 1.bin", size as u64)])]));
        let spec = Spec::distribution_point("dp1", &content).recording(false);
        let server = runtime.block_on(SiteSystem::start(spec)).unwrap();
        let app = App::start(&configuration(server.address()), None).unwrap();
        let proxy = app.listener("http").unwrap();
        let request = b"GET /SMS_DP_SMSPKG$/PKG00001/sccm?/file%201.bin HTTP/1.1\r\nHost: dp1\r\n\r\n";
        let mut scratch = vec![0; size + 64 * 1024];
        group.throughput(Throughput::Bytes(size as u64));
        for (scenario, address) in [("direct", server.address()), ("proxied", proxy)] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            group.bench_function(format!("{scenario}/{size}"), |bencher| {
                bencher.iter(|| ask(black_box(&mut stream), request, &mut scratch, size));
            });
        }
        app.shutdown_within(Duration::from_secs(1));
    }
    group.finish();
}

criterion_group!(benches, service);
criterion_main!(benches);
