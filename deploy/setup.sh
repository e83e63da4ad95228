#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The one list of the Debian packages that stepd is built, tested and shown with; it installs those
# that are missing. With nothing missing it touches nothing and needs neither root nor a network.
#
#   deploy/setup.sh [GROUP ...]   install what is missing of these groups; no group: of all
#   deploy/setup.sh --list        print the packages, one a line: group, package, what for
#
#   build   what cmake --preset release asks for
#   test    what deploy/test.sh asks for beside that
#   data    what deploy/quickstart.sh trains on
set -euo pipefail

packages() {
    cat <<'LIST'
build  gcc                    the compiler
build  libc6-dev              the C library's headers
build  cmake                  the build
build  ninja-build            the build
build  pkg-config             finds the libraries below
build  libuv1-dev             the event loop
build  libprotobuf-c-dev      messages
build  protobuf-c-compiler    messages
build  libyaml-dev            the configuration file
build  libjansson-dev         JSON
build  libxxhash-dev          checksums
build  libssl-dev             TLS, and the hashes of tokens
build  libopenblas-dev        muon, newton, the reference worker's matrix products
build  zlib1g-dev             the reference worker's data sets
build  libcmocka-dev          unit tests
build  python3                tests that are scripts, lint
test   openssl                certificates that are not good
test   testssl.sh             what is wrong with our TLS, from outside
test   git                    lists the files to lint
test   clang                  the second compiler, fuzzing
test   libclang-rt-dev        fuzzing, clang's sanitizers
test   clang-format           lint
test   clang-tidy             lint
test   shellcheck             lint
test   python3-protobuf       workers without libstepd
test   protobuf-compiler      workers without libstepd
test   golang-go              workers in Go
test   golang-google-protobuf-dev  workers in Go
test   protoc-gen-go          workers in Go
test   nodejs                 workers in Node
test   default-jdk-headless   workers in Java
test   libprotobuf-java       workers in Java
test   python3-venv           PyTorch, to compare with
test   python3-dev            the Python package
test   iproute2               networks that lose packets, lines of a rate
test   systemd                the score of the unit of systemd
test   strace                 system calls that the unit forbids
data   dataset-fashion-mnist  the quickstart's pictures
LIST
}

usage() {
    sed -n '/^#   deploy/,/^#   data/s/^#   \{0,1\}//p' "$0"
}

fail() {
    echo "setup: $*" >&2
    exit 1
}

# Reads lines "group package what for", prints those whose package is not installed.
missing() {
    local group package reason
    while read -r group package reason; do
        # shellcheck disable=SC2016 # dpkg-query's own format
        case "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" in
        installed*) ;;
        *) echo "$group $package $reason" ;;
        esac
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "neither root nor sudo: run as root: $*"
    fi
}

install_packages() {
    as_root apt-get -q update
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install --yes --no-install-recommends "$@"
}

main() {
    local wanted='build|test|data' lines
    case "${1:-}" in
    -h | --help) usage && return ;;
    --list) packages && return ;;
    esac
    if [ $# -gt 0 ]; then
        for group in "$@"; do
            case "$group" in
            build | test | data) ;;
            *) usage >&2 && exit 2 ;;
            esac
        done
        wanted=$(IFS='|' && echo "$*")
    fi
    if ! command -v dpkg-query >/dev/null; then
        echo "setup: not a Debian system; what is needed, under Debian's names: deploy/setup.sh --list"
        return
    fi
    lines=$(packages | grep -E "^($wanted) " | missing)
    if [ -z "$lines" ]; then
        return
    fi
    echo "setup: installs what is missing:"
    while read -r group package reason; do
        printf '  %-22s for %s: %s\n' "$package" "$group" "$reason"
    done <<<"$lines"
    mapfile -t names < <(awk '{ print $2 }' <<<"$lines")
    install_packages "${names[@]}"
}

main "$@"
