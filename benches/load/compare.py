#!/usr/bin/env python3
"""CPU time per request of rolegate and of other proxies, in one sitting.

One data thread each, pinned to core 0; the origin (the simulated site) and wrk on core 1. Rounds are interleaved, so that a
machine that gets slower gets slower for all. What counts is the CPU time of the proxy's process (user and system, from
/proc), divided by the requests that wrk counted: it holds on a busy machine, where requests per second do not.

    cargo build --release -p rolegate -p rolegate-bench
    benches/load/compare.py --haproxy /path/to/haproxy --nginx /path/to/nginx [--connections 64] [--rounds 5]

Proxies whose path is not given are left out. haproxy* writes X-Forwarded-For alone, the others write the same fields.
Needs wrk and two cores.
"""
import argparse
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ORIGINS = [8401, 8402]
TICKS = os.sysconf("SC_CLK_TCK")

ROLEGATE = """
[site]
code = "P01"
[proxy]
threads = 1
[admin]
address = "127.0.0.1:8499"
[[listeners]]
name = "clients"
address = "127.0.0.1:8410"
roles = ["MP", "DP"]
[[site_systems]]
name = "one"
address = "127.0.0.1"
roles = [{ role = "MP", port = 8401 }, { role = "DP", port = 8401 }]
[[site_systems]]
name = "two"
address = "127.0.0.1"
roles = [{ role = "MP", port = 8402 }, { role = "DP", port = 8402 }]
[[boundary_groups]]
name = "HQ"
boundaries = ["127.0.0.0/9"]
site_systems = ["one", "two"]
[[boundary_groups]]
name = "Everywhere"
boundaries = ["127.0.0.0/8"]
site_systems = ["one", "two"]
neighbors = [{ group = "HQ", fallback = { DP = 10 } }]
"""

# The same fields written as rolegate writes them, and the client's network looked up.
HAPROXY_FIELDS = """
  option forwarded proto for host
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request add-header Via "1.1 haproxy"
"""

HAPROXY = """
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout client 75s
  timeout connect 3s
  timeout server 60s
  timeout http-keep-alive 75s
  option forwardfor
  http-reuse always
frontend clients
  bind 127.0.0.1:{port}
  acl hq src 127.0.0.0/9
  use_backend site if hq
  default_backend site
backend site
  balance leastconn
{fields}
  option httpchk GET /SMS_MP/.sms_aut?MPLIST
  server one 127.0.0.1:8401 check inter 5s
  server two 127.0.0.1:8402 check inter 5s
"""

NGINX = """
worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream site {{ least_conn; server 127.0.0.1:8401; server 127.0.0.1:8402; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:8430 backlog=4096;
    location / {{
      proxy_pass http://site; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto http;
      proxy_set_header X-Forwarded-Host $http_host; proxy_set_header Via "1.1 nginx";
      proxy_set_header Forwarded 'for=$remote_addr;host="$http_host";proto=http'; proxy_buffering off;
    }}
  }}
}}
"""


def cpu_seconds(pid):
    """User and system time of all threads of a process and its children."""
    pids = [pid] + [int(p) for p in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]
    total = 0
    for one in pids:
        fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_kib(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def load(url, connections, seconds):
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    bad = re.search(r"(Socket errors.*|Non-2xx.*)", out)
    return int(re.search(r"(\d+) requests in", out)[1]), re.search(r"99%\s+(\S+)", out)[1], bad[1] if bad else ""


def start(core, command, **more):
    return subprocess.Popen(["taskset", "-c", str(core), *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--haproxy")
    parser.add_argument("--nginx")
    parser.add_argument("--rolegate", default=ROOT / "target/release/rolegate")
    parser.add_argument("--before", help="another build of rolegate, measured beside this one")
    parser.add_argument("--site", default=ROOT / "target/release/site")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", default="1KiB", help="of the file that is fetched")
    parser.add_argument("--json", help="append the figures to this file")
    options = parser.parse_args()
    processes = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "rolegate.toml").write_text(ROLEGATE)
        (folder / "haproxy.cfg").write_text(HAPROXY.format(port=8420, fields=HAPROXY_FIELDS))
        (folder / "haproxy-bare.cfg").write_text(HAPROXY.format(port=8440, fields=""))
        (folder / "nginx.conf").write_text(NGINX.format(dir=folder))
        systems = [part for n, port in zip(["one", "two"], ORIGINS) for part in ("--system", f"{n}=MP+DP@127.0.0.1:{port}")]
        processes.append(start(1, [options.site, *systems, "--content", f"PKG00001:1x{options.size}"]))
        proxies = [("rolegate", 8410, [options.rolegate, "run", folder / "rolegate.toml"])]
        if options.before:
            (folder / "before.toml").write_text(ROLEGATE.replace("8499", "8498").replace("8410", "8411"))
            proxies.append(("before", 8411, [options.before, "run", folder / "before.toml"]))
        if options.haproxy:
            proxies.append(("haproxy", 8420, [options.haproxy, "-f", folder / "haproxy.cfg"]))
            proxies.append(("haproxy*", 8440, [options.haproxy, "-f", folder / "haproxy-bare.cfg"]))
        if options.nginx:
            proxies.append(("nginx", 8430, [options.nginx, "-c", folder / "nginx.conf", "-p", folder]))
        time.sleep(1)
        running = {}
        try:
            for name, port, command in proxies:
                running[name] = (start(0, command), port)
                processes.append(running[name][0])
            time.sleep(2)
            measure(options, running)
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(timeout=40)


def measure(options, running):
    target = "/SMS_DP_SMSPKG$/PKG00001/sccm?/file%201.bin"
    figures = {name: [] for name in running}
    for name, (process, port) in running.items():
        load(f"http://127.0.0.1:{port}{target}", options.connections, 1)
    for turn in range(options.rounds):
        for name, (process, port) in running.items():
            before = cpu_seconds(process.pid)
            requests, p99, bad = load(f"http://127.0.0.1:{port}{target}", options.connections, options.seconds)
            spent = (cpu_seconds(process.pid) - before) / requests * 1e6
            figures[name].append(spent)
            print(f"round {turn + 1}  {name:9} {spent:8.2f} us CPU/request {requests / options.seconds:9.0f} requests/s  p99 {p99} {bad}", flush=True)
    ours = figures["rolegate"]
    print(f"\n{options.size}, {options.connections} connections, keep-alive, median of {options.rounds} rounds (ratio pair by pair)")
    for name, values in figures.items():
        ratios = [value / own for value, own in zip(values, ours)]
        memory = memory_kib(running[name][0].pid)
        print(f"  {name:9} {statistics.median(values):8.2f} us  {min(values):.2f} - {max(values):.2f}   x{statistics.median(ratios):.2f}   peak {memory} KiB")
    if options.json:
        record = {"size": options.size, "connections": options.connections, "seconds": options.seconds, "us_per_request": figures}
        with open(options.json, "a", encoding="utf-8") as out:
            out.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    sys.exit(main())
