//! A rolegate inside another program: start it, ask it, give it another configuration, stop it. Checks itself.

// What a closed pipe makes of these is a panic; `rolegate_bench::say` knows better.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rolegate::app::App;
use rolegate::control::config::Source;
use rolegate_bench::client::Client;
use rolegate_bench::say;
use rolegate_bench::site::{SiteSystem, Spec};

fn configuration(management_points: &[&SiteSystem]) -> Source {
    let head = r#"
        site = { code = "P01" }
        admin = { address = "127.0.0.1:0" }
        proxy = { threads = 1 }
        listeners = [{ name = "http", address = "127.0.0.1:0", roles = ["MP"] }]
    "#;
    let systems = management_points.iter().map(|system| {
        let (name, port) = (system.name(), system.address().port());
        format!("[[site_systems]]\nname = \"{name}\"\naddress = \"127.0.0.1\"\nroles = [{{ role = \"MP\", port = {port} }}]\n")
    });
    // The name stands in error messages, where a file's path would.
    Source { name: "embedded".to_owned(), text: head.to_owned() + &systems.collect::<String>() }
}

async fn check() -> anyhow::Result<()> {
    let old = SiteSystem::start(Spec::management_point("OLD")).await?;
    let new = SiteSystem::start(Spec::management_point("NEW")).await?;

    // The proxy runs on threads of its own. Without a file nothing is watched: configurations come from the program.
    let app = App::start(&configuration(&[&old]), None)?;
    let proxy = app.listener("http").context("the proxy has no listener")?;
    let mut client = Client::new(IpAddr::V4(Ipv4Addr::LOCALHOST), proxy, "site.lab.test", 1);
    ensure!(client.service_location().await?.served_by == ["OLD"], "another server answered");

    // Served from the next request on, on the same client connection.
    let generation = app.reload_async(configuration(&[&new])).await?;
    ensure!(generation == 2 && app.snapshot().generation == 2, "generation {generation} is served");
    ensure!(client.service_location().await?.served_by == ["NEW"], "the old server answered");

    // A configuration with a mistake changes nothing and says what to do.
    let mut wrong = configuration(&[&new]);
    wrong.text = wrong.text.replace("role =", "roll =");
    let error = app.reload_async(wrong).await.err().context("a wrong configuration was accepted")?;
    ensure!(error.to_string().contains("embedded"), "the error does not say where: {error}");
    ensure!(client.service_location().await?.served_by == ["NEW"], "the rejected configuration is served");

    let status = app.status();
    let endpoint = status.roles.first().and_then(|role| role.endpoints.first()).context("no endpoint in the status")?;
    let (system, address, health) = (&endpoint.site_system, &endpoint.address, &endpoint.health);
    say::out(format_args!("site {}: {system} at {address} is {health}", status.site));

    client.disconnect();
    let stopped = tokio::task::spawn_blocking(move || app.shutdown_within(Duration::from_secs(5))).await?;
    ensure!(stopped.cut == 0, "{} connections were cut", stopped.cut);
    Ok(())
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime");
    match runtime.and_then(|runtime| runtime.block_on(check())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::err(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
