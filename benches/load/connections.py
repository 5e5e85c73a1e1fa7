#!/usr/bin/env python3
"""What connections cost: memory of idle ones, and TLS, for rolegate and other proxies in one sitting.

The program `compare` measures more proxies at more works (docs/load.md). It does not measure what is here only: tunnels of
client notification, and handshakes with RSA certificates.

    cargo build --release -p rolegate -p rolegate-bench
    benches/load/connections.py idle --haproxy /path/to/haproxy --nginx /path/to/nginx [--connections 18000]
    benches/load/connections.py tls  --haproxy /path/to/haproxy --nginx /path/to/nginx [--rounds 7]

`idle`: connections are opened, one request each, and left alone; then the private memory of the proxy's process, less what it
had before, is divided by their number. Modes: HTTP, HTTPS, and client notification (TCP). Each mode has a fresh process,
which is warmed up by 2,000 connections that are closed again.

`tls`: one data thread each, pinned to core 0; origin and wrk on core 1; rounds interleaved. A full handshake is a connection
for each request (wrk resumes no session); bulk is 10 MiB bodies on kept connections. What counts is the CPU time of the
proxy's process. TLS 1.3, the proxies' own choice of cipher suite; certificates: ECDSA P-256 and RSA 2048.

Needs openssl and wrk, and as many open files as connections.
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
TICKS = os.sysconf("SC_CLK_TCK")

FILE = "/SMS_DP_SMSPKG$/PKG00001/sccm?/file%201.bin"
# A management point's: rolegate remembers where the clients of a distribution point are, which is not what is measured.
SMALL = "/SMS_MP/.sms_aut?MPCERT"

ROLEGATE = """
[site]
code = "P01"
[proxy]
threads = 1
client_keepalive_timeout = "1h"
[admin]
address = "127.0.0.1:8599"
[[listeners]]
name = "http"
address = "127.0.0.1:8510"
roles = ["MP", "DP"]
[[listeners]]
name = "https"
address = "127.0.0.1:8511"
roles = ["MP", "DP"]
[listeners.tls]
certificates = [{{ certificate = "{dir}/site.crt", key = "{dir}/site.key" }}]
[[listeners]]
name = "notify"
address = "127.0.0.1:8512"
roles = ["BGB"]
[[site_systems]]
name = "one"
address = "127.0.0.1"
roles = [{{ role = "MP", port = 8501 }}, {{ role = "DP", port = 8501 }}, {{ role = "BGB", port = 8502 }}]
"""

HAPROXY = """
global
  nbthread 1
  no strict-limits
  maxconn 19500
  tune.ssl.default-dh-param 2048
defaults
  timeout client 1h
  timeout connect 3s
  timeout server 1h
  timeout http-keep-alive 1h
  timeout tunnel 1h
listen http
  mode http
  bind 127.0.0.1:8520
  option forwardfor
  http-reuse always
  server one 127.0.0.1:8501
listen https
  mode http
  bind 127.0.0.1:8521 ssl crt {dir}/site.pem alpn http/1.1
  option forwardfor
  http-reuse always
  server one 127.0.0.1:8501
listen notify
  mode tcp
  bind 127.0.0.1:8522
  server one 127.0.0.1:8502
"""

NGINX = """
worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.log;
worker_rlimit_nofile 19900;
events {{ worker_connections 19800; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream site {{ server 127.0.0.1:8501; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:8530 backlog=4096; listen 127.0.0.1:8531 ssl backlog=4096;
    ssl_certificate {dir}/site.crt; ssl_certificate_key {dir}/site.key; ssl_protocols TLSv1.2 TLSv1.3;
    location / {{
      proxy_pass http://site; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_buffering off;
    }}
  }}
}}
stream {{
  server {{ listen 127.0.0.1:8532 backlog=4096; proxy_pass 127.0.0.1:8502; proxy_timeout 1h; }}
}}
"""

PORTS = {"rolegate": 8510, "haproxy": 8520, "nginx": 8530}
MODES = {"http": 0, "https": 1, "tunnel": 2}


def cpu_seconds(pid):
    """User and system time of all threads of a process and its children."""
    pids = [pid] + [int(p) for p in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]
    total = 0
    for one in pids:
        fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def start(core, command, **more):
    return subprocess.Popen(["taskset", "-c", str(core), *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def certificate(folder, kind):
    """A self-signed certificate with its key, as separate files and as one."""
    key = ["-newkey", "rsa:2048"] if kind == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", *key, "-days", "30", "-subj", "/CN=mp1.lab.test", "-addext", "subjectAltName=DNS:mp1.lab.test",
         "-keyout", folder / "site.key", "-out", folder / "site.crt"], check=True, capture_output=True)
    (folder / "site.pem").write_text((folder / "site.crt").read_text() + (folder / "site.key").read_text())


def commands(options, folder):
    folder = pathlib.Path(folder)
    (folder / "rolegate.toml").write_text(ROLEGATE.format(dir=folder))
    (folder / "haproxy.cfg").write_text(HAPROXY.format(dir=folder))
    (folder / "nginx.conf").write_text(NGINX.format(dir=folder))
    found = {"rolegate": [options.rolegate, "run", folder / "rolegate.toml"]}
    if options.haproxy:
        found["haproxy"] = [options.haproxy, "-f", folder / "haproxy.cfg"]
    if options.nginx:
        found["nginx"] = [options.nginx, "-c", folder / "nginx.conf", "-p", folder]
    return found


def serving_process(process):
    """The worker of a proxy that has one."""
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    return int(children[0]) if children else process.pid


def private_bytes(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kib) for kib in re.findall(r"Private_\w+:\s+(\d+)", rollup)) * 1024


def stop(processes):
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()


def hold(options, mode, port, connections, seconds):
    more = ["--target", SMALL] if mode == "http" else ["--target", SMALL, "--sni", "mp1.lab.test"] if mode == "https" else []
    command = [options.hold, mode, "--to", f"127.0.0.1:{port}", "--connections", str(connections), "--sources", "127.5.0.0/16", "--hold", f"{seconds}s", *more]
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def idle(options):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        certificate(pathlib.Path(folder), "ecdsa")
        origins = [start(1, [options.site, "--system", "one=MP+DP@127.0.0.1:8501", "--content", "PKG00001:1x1KiB"]),
                   start(1, [options.hold, "serve", "--address", "127.0.0.1:8502"])]
        time.sleep(1)
        try:
            for mode, offset in MODES.items():
                if options.modes and mode not in options.modes:
                    continue
                most = options.connections if mode != "tunnel" else min(options.connections, 9000)
                for name, command in commands(options, folder).items():
                    rows.append(idle_of(options, name, command, mode, PORTS[name] + offset, most))
        finally:
            stop(origins)
    return rows


def idle_of(options, name, command, mode, port, most):
    process = start(0, command)
    try:
        time.sleep(2)
        hold(options, mode, port, 2000, 2).wait()
        time.sleep(4)
        pid = serving_process(process)
        before, curve = private_bytes(pid), []
        for count in (most // 3, most):
            holder = hold(options, mode, port, count, 14)
            time.sleep(11)
            curve.append((count, private_bytes(pid) - before))
            last = [json.loads(line) for line in holder.communicate()[0].splitlines()][-1]
            if last["alive"] != count:
                print(f"{name} {mode}: only {last['alive']} of {count} stayed", file=sys.stderr)
            time.sleep(3)
        (few, little), (many, much) = curve
        slope = (much - little) / (many - few)
        print(f"{mode:7} {name:9} {much / many:8.0f} bytes each at {many}, {slope:8.0f} for each more, {before / 1e6:6.1f} MB before", flush=True)
        return {"mode": mode, "proxy": name, "before": before, "curve": curve, "bytes_each": much / many, "slope": slope}
    finally:
        stop([process])


def wrk(url, connections, seconds, close):
    more = ["-H", "Connection: close"] if close else []
    out = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *more, url], capture_output=True, text=True, check=True).stdout
    bad = re.search(r"(Socket errors.*|Non-2xx.*)", out)
    return int(re.search(r"(\d+) requests in", out)[1]), bad[1] if bad else ""


def tls(options):
    rows = []
    for kind in ("ecdsa", "rsa"):
        with tempfile.TemporaryDirectory() as folder:
            certificate(pathlib.Path(folder), kind)
            systems = ["--system", "one=MP+DP@127.0.0.1:8501", "--system", "two=DP@127.0.0.1:8503"]
            processes = [start(1, [options.site, *systems, "--content", f"PKG00001:1x1KiB", "--content", "BIG00001:1x10MiB"]),
                         start(1, [options.hold, "serve", "--address", "127.0.0.1:8502"])]
            running = {}
            try:
                time.sleep(1)
                for name, command in commands(options, folder).items():
                    running[name] = start(0, command)
                    processes.append(running[name])
                time.sleep(2)
                works = [("handshake", FILE, 32, True)]
                if kind == "ecdsa":
                    works.append(("bulk", FILE.replace("PKG00001", "BIG00001"), 8, False))
                for work, target, connections, close in works:
                    rows.append(tls_rounds(options, running, kind, work, target, connections, close))
            finally:
                stop(processes)
    return rows


def tls_rounds(options, running, kind, work, target, connections, close):
    figures = {name: [] for name in running}
    for turn in range(options.rounds):
        for name, process in running.items():
            before = cpu_seconds(process.pid)
            requests, bad = wrk(f"https://127.0.0.1:{PORTS[name] + 1}{target}", connections, options.seconds, close)
            spent = cpu_seconds(process.pid) - before
            figures[name].append(requests / spent)
            print(f"{work} {kind} round {turn + 1} {name:9} {requests / spent:9.1f} per CPU second {bad}", flush=True)
    ours = figures["rolegate"]
    print(f"\n{work}, {kind}: per CPU second, median of {options.rounds} rounds (ratio pair by pair)")
    for name, values in figures.items():
        ratio = statistics.median(value / own for value, own in zip(values, ours))
        print(f"  {name:9} {statistics.median(values):9.1f}   {min(values):.1f} - {max(values):.1f}   x{ratio:.2f}")
    return {"work": work, "certificate": kind, "per_cpu_second": figures}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["idle", "tls"])
    parser.add_argument("--haproxy")
    parser.add_argument("--nginx")
    parser.add_argument("--rolegate", default=ROOT / "target/release/rolegate")
    parser.add_argument("--site", default=ROOT / "target/release/site")
    parser.add_argument("--hold", default=ROOT / "target/release/hold")
    parser.add_argument("--connections", type=int, default=18000)
    parser.add_argument("--modes", nargs="*", choices=list(MODES), help="of idle; all when absent")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    rows = idle(options) if options.what == "idle" else tls(options)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
