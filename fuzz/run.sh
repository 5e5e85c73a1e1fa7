#!/bin/sh
# Runs each target for a while: fuzz/run.sh [seconds for each] [target...]. Ends with 1 when something was found.
#
# It needs a nightly toolchain and cargo-fuzz: cargo +nightly install cargo-fuzz --locked
# Inputs that reach new code are kept in fuzz/grown; those in fuzz/corpus are where it begins, and are never changed.
set -u
cd "$(dirname "$0")" || exit 2
seconds=${1:-60}
[ $# -gt 0 ] && shift
case $seconds in
    '' | *[!0-9]*) echo "usage: fuzz/run.sh [seconds for each] [target...]" >&2; exit 2 ;;
esac
[ $# -gt 0 ] || set -- $(cargo +nightly fuzz list)
cargo +nightly fuzz build || exit 2

found=
for target in "$@"; do
    dictionary=dictionaries/messages.dict
    [ -f "dictionaries/$target.dict" ] && dictionary=dictionaries/$target.dict
    mkdir -p "grown/$target"
    echo "== $target, $seconds s"
    log=grown/$target.log
    # No single input may take longer than 10 s or have more than 2 GiB.
    cargo +nightly fuzz run "$target" "grown/$target" "corpus/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -fork=0 -dict="$dictionary" \
        -print_final_stats=1 -verbosity=1 >"$log" 2>&1
    if [ $? -eq 0 ]; then
        grep -E 'stat::number_of_executed_units' "$log"
    else
        found="$found $target"
        grep -vE '^#[0-9]' "$log" | tail -n 60
        echo "Again:   cd fuzz && cargo +nightly fuzz run $target artifacts/$target/NAME (NAME is above)"
        echo "Smaller: cd fuzz && cargo +nightly fuzz tmin $target artifacts/$target/NAME"
    fi
done
[ -z "$found" ] || { echo "findings in:$found"; exit 1; }
