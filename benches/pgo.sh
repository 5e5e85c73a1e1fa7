#!/usr/bin/env bash
# Builds rolegate with profile-guided optimization: an instrumented build serves the load of the comparison once, and the second build
# is laid out for what it did. About 15 minutes on two cores. `cargo build --release` does not need it.
#
#   benches/pgo.sh                 leaves target/pgo/rolegate
#   LLVM_PROFDATA=... benches/pgo.sh
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
host=$(rustc -vV | sed -n 's/^host: //p')
profdata=${LLVM_PROFDATA:-llvm-profdata-$version}
command -v "$profdata" > /dev/null || {
    echo "$profdata is missing: install the package llvm-$version, or say where it is with LLVM_PROFDATA" >&2
    exit 1
}
folder=$PWD/target/pgo

build() {
    # With a target, only what runs in rolegate is compiled so, and not what runs during the build.
    RUSTFLAGS="$1" cargo build --release --locked --bin rolegate --target "$host" --target-dir "$folder/$2"
}

rm -rf "$folder/raw" "$folder/merged.profdata"
build "-Cprofile-generate=$folder/raw" trained
cargo build --release --locked --bin compare --bin site
target/release/compare --peers none --works small,small-1000,new,large,tls --set full --rounds 1 --seconds 5 \
    --rolegate "$folder/trained/$host/release/rolegate" --out "$folder/training"
"$profdata" merge -o "$folder/merged.profdata" "$folder/raw"
build "-Cprofile-use=$folder/merged.profdata" optimized
cp "$folder/optimized/$host/release/rolegate" "$folder/rolegate"
echo "$folder/rolegate"
