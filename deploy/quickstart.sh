#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# From a fresh checkout to a trained model, in one command: installs the packages that are missing,
# builds, starts stepd, trains an MLP on Fashion-MNIST with four worker processes, and stops all.
#
# Every part that fails ends the script with a status other than 0 and says why. What it started is
# stopped in any case, by its own process id: the launcher ends its workers, then the daemon drains.
set -euo pipefail
readonly CALLED_FROM=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly BIN=build/release/bin
readonly RUN=runs/quickstart
readonly ACCURACY_LEAST=0.88
readonly DEFAULT_DATA=/usr/share/datasets/fashion-mnist
readonly DEFAULT_EPOCHS=5
readonly READY_TENTHS_MAX=100 # the daemon has 10 s to come up
readonly END_TENTHS_MAX=100   # and what is told to end has 10 s before it is killed

data=$DEFAULT_DATA
workers=4
epochs=$DEFAULT_EPOCHS
daemon_pid=
launch_pid=

usage() {
    cat <<TEXT
usage: deploy/quickstart.sh [--data DIR] [--workers N] [--epochs N]

Builds stepd and trains an MLP with it on this machine.

  --data DIR    folder of IDX files with MNIST's names [$data]
  --workers N   worker processes [$workers]
  --epochs N    passes over the training set [$epochs]

Leaves in $RUN: loss.csv, loss.svg, stepd.log.
TEXT
}

say() {
    printf '\n== %s\n' "$*"
}

fail() {
    echo "quickstart: $*" >&2
    exit 1
}

# Ends a process of ours, waits until it is gone and returns its status. An empty id: nothing to do.
end() {
    local pid=$1 tenths
    [ -n "$pid" ] || return 0
    kill -TERM "$pid" 2>/dev/null || true
    for ((tenths = 0; tenths < END_TENTHS_MAX; tenths++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid"
}

stop_all() {
    end "$launch_pid" || true
    end "$daemon_pid" || true
}

read_arguments() {
    while [ $# -gt 0 ]; do
        case "$1" in
        --help | -h) usage && exit 0 ;;
        --data | --workers | --epochs) [ $# -ge 2 ] || fail "$1 needs a value" ;;
        *) usage >&2 && exit 2 ;;
        esac
        case "$1" in
        --data) data=$(cd "$CALLED_FROM" && realpath -m -- "$2") ;;
        --workers) workers=$2 ;;
        --epochs) epochs=$2 ;;
        esac
        shift 2
    done
}

install_missing() {
    local groups=(build)
    if [ ! -d "$data" ] && [ "$data" = "$DEFAULT_DATA" ]; then
        groups+=(data)
    fi
    deploy/setup.sh "${groups[@]}" || fail "the packages could not be installed"
    [ -d "$data" ] || fail "there is no folder $data"
}

build() {
    say "building (preset release)"
    if ! cmake --preset release >"$RUN/build.log" 2>&1 ||
        ! cmake --build --preset release --target stepd stepctl stepd-train \
            >>"$RUN/build.log" 2>&1; then
        tail -n 30 "$RUN/build.log" >&2
        fail "the build failed; all of it: $RUN/build.log"
    fi
}

daemon_failed() {
    tail -n 20 "$RUN/stepd.log" >&2
    fail "stepd $1; all of its log: $RUN/stepd.log"
}

# The daemon writes the port file, whole, once it listens.
start_daemon() {
    say "starting stepd"
    "$BIN/stepd" --listen 127.0.0.1:0 --port-file "$RUN/port" 2>"$RUN/stepd.log" &
    daemon_pid=$!
    local tenths
    for ((tenths = 0; tenths < READY_TENTHS_MAX; tenths++)); do
        if [ -e "$RUN/port" ]; then
            echo "stepd (pid $daemon_pid) listens on 127.0.0.1:$(cat "$RUN/port")"
            return
        fi
        kill -0 "$daemon_pid" 2>/dev/null || daemon_failed "did not start"
        sleep 0.1
    done
    daemon_failed "was not ready within $((READY_TENTHS_MAX / 10)) s"
}

# Rank 0 shows progress on stderr. What it prints on stdout in the end is kept as well.
train() {
    say "training: $workers workers, $epochs epochs, AdamW with a cosine schedule"
    OPENBLAS_NUM_THREADS=1 "$BIN/stepctl" launch -n "$workers" -- "$BIN/stepd-train" \
        --server "127.0.0.1:$(cat "$RUN/port")" --job quickstart \
        --model mlp:784-1000-1000-10 --data "$data" --batch 128 --epochs "$epochs" \
        --optimizer adamw --lr 0.001 --schedule cosine \
        --csv "$RUN/loss.csv" --plot "$RUN/loss.svg" >"$RUN/train.log" &
    launch_pid=$!
    local status=0
    wait "$launch_pid" || status=$?
    launch_pid=
    cat "$RUN/train.log"
    if [ "$status" -ne 0 ]; then
        echo "-- the end of stepd's log:" >&2
        tail -n 5 "$RUN/stepd.log" >&2
        fail "a worker failed (status $status); the line of the launcher above says which"
    fi
}

stop_daemon() {
    local status=0
    kill -0 "$daemon_pid" 2>/dev/null || daemon_failed "ended on its own"
    end "$daemon_pid" || status=$?
    daemon_pid=
    [ "$status" -eq 0 ] || daemon_failed "ended with status $status"
}

check_result() {
    local accuracy file
    accuracy=$(sed -n 's/.*test accuracy \([0-9.]*\).*/\1/p' "$RUN/train.log" | tail -n 1)
    [ -n "$accuracy" ] || fail "the workers ended without a test accuracy"
    for file in loss.csv loss.svg; do
        [ -s "$RUN/$file" ] || fail "$RUN/$file was not written"
    done
    say "test accuracy $accuracy; the loss: $RUN/loss.svg, $RUN/loss.csv"
    # Of other data, or of less training, nobody knows what to expect.
    if [ "$data" != "$DEFAULT_DATA" ] || [ "$epochs" -lt "$DEFAULT_EPOCHS" ]; then
        return
    fi
    awk -v have="$accuracy" -v least="$ACCURACY_LEAST" 'BEGIN { exit !(have >= least) }' ||
        fail "test accuracy $accuracy is below $ACCURACY_LEAST"
}

read_arguments "$@"
mkdir -p "$RUN"
rm -f "$RUN"/{port,loss.csv,loss.svg,train.log}
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
install_missing
build
start_daemon
train
stop_daemon
check_result
