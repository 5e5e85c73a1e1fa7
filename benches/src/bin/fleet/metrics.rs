//! Figures while it runs, for Prometheus.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context as _;
use rolegate_bench::load::Watch;
use rolegate_bench::{fleet, say};
use tokio::runtime::Runtime;

/// Serves the figures of the run that is watched, and says where.
pub(crate) fn expose(address: SocketAddr, watch: &mut Watch, runtime: &Runtime) -> anyhow::Result<()> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let _inside = runtime.enter();
        Ok::<_, std::io::Error>((tokio::net::TcpListener::from_std(listener)?, address))
    };
    let (listener, address) = listen().with_context(|| format!("--metrics-listen: {address} cannot be listened on"))?;
    say::err(format_args!("figures: http://{address}/metrics"));
    let live = watch.live.insert(Arc::default());
    runtime.spawn(fleet::expose(listener, Arc::clone(live)));
    Ok(())
}
