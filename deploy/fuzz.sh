#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Fuzzes for as long as one likes: builds the preset fuzz, and runs each target of tests/fuzz until
# it has used its share of CPU time, however busy the machine is.
#
#   deploy/fuzz.sh [--minutes N] [--jobs N] [--no-merge] [--json] [TARGET ...]
#
#   TARGET      fuzz_frame or frame; none: all of them
#   --minutes   of CPU time for each target [30]; 0 runs the inputs that are there
#   --jobs      so many targets at a time [as many as there are cores]
#   --no-merge  leaves tests/fuzz/corpus as it is; otherwise inputs that reach lines which none there
#               does are added, the small ones first, up to 1 MiB for each target
#   --json      prints what came of it as JSON instead of a table
#
# Inputs that were found are kept in build/fuzz/found and are gone on from the next time. One that
# fails is kept in build/fuzz/findings, with what was printed; the script names the command that
# runs it again, and ends with status 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly SOURCES=tests/fuzz
readonly CORPUS=$SOURCES/corpus
readonly BUILD=build/fuzz
readonly FOUND=$BUILD/found
readonly FINDINGS=$BUILD/findings
readonly STATES=$BUILD/states  # what each target has come to
readonly ROUND_S=300           # a run at most; the next one goes on from what it has found
readonly ROUND_LEAST_S=10      # and at least, for each runs first what was found before
readonly FINDINGS_MOST=10      # of a target, which then stops
readonly INPUT_MOST_BYTES=4096 # of one that is merged
readonly CORPUS_MOST_KB=1024
readonly LIMITS=(-timeout=60 -max_len=200000)
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}

minutes=30 jobs=$(nproc) merge=1 json=0 targets=()

usage() {
    sed -n '4,/^set/ { /^#/ s/^# \{0,1\}//p }' "${BASH_SOURCE[0]}"
}

fail() {
    echo "fuzz: $*" >&2
    exit 2
}

all_targets() {
    find "$SOURCES" -name 'fuzz_*.c' -printf '%f\n' | sed 's/\.c$//' | sort
}

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
            --minutes | --jobs)
                [[ ${2:-} =~ ^[0-9]+$ ]] || fail "$1 takes a whole number"
                if [ "$1" = --minutes ]; then minutes=$2; else jobs=$2; fi
                shift
                ;;
            --no-merge) merge=0 ;;
            --json) json=1 ;;
            --help) usage && exit 0 ;;
            -*) fail "there is no option $1; see deploy/fuzz.sh --help" ;;
            *) targets+=("fuzz_${1#fuzz_}") ;;
        esac
        shift
    done
    [ "$jobs" -gt 0 ] || fail "--jobs takes at least 1"
    [ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(all_targets)
    for target in "${targets[@]}"; do
        [ -e "$SOURCES/$target.c" ] || fail "there is no target $target; there are: $(all_targets | xargs)"
    done
}

build() {
    local log=$BUILD/fuzz.log
    mkdir -p "$BUILD"
    echo "fuzz: builds ${#targets[@]} targets" >&2
    { cmake --preset fuzz && cmake --build --preset fuzz --target "${targets[@]}"; } \
        >"$log" 2>&1 || { tail -n 40 "$log" >&2 && fail "did not build: see $log"; }
}

# The words of a target's language, where it has some.
words_of() {
    local words=$SOURCES/$1.dict
    [ ! -e "$words" ] || echo "-dict=$words"
}

# The last number behind a word in a log of libFuzzer's; 0: there is none.
number_in() {
    local log=$1 word=$2 number
    number=$(grep -ao "${word}[: ]*[0-9]\+" "$log" | tail -n 1 | grep -o '[0-9]\+$' || true)
    echo "${number:-0}"
}

# How many inputs a run has executed, also where it ended in a finding.
executions_in() {
    local log=$1 number
    number=$(number_in "$log" stat::number_of_executed_units)
    [ "$number" -gt 0 ] || number=$(grep -ao '^#[0-9]\+' "$log" | tail -n 1 | tr -d '#' || true)
    echo "${number:-0}"
}

# One run; prints the CPU time that it took, in hundredths of a second.
run_round() {
    local name=$1 log=$2 status=0 TIMEFORMAT='%U %S' used
    shift 2
    used=$({ time "$BUILD/tests/fuzz_$name" "${LIMITS[@]}" -print_final_stats=1 \
        -artifact_prefix="$FINDINGS/$name/" "$@" >"$log" 2>&1; } 2>&1) || status=$?
    awk '{ printf "%d\n", ($1 + $2) * 100 }' <<<"$used"
    return "$status"
}

# Runs a target until its time is used up, and writes down what it has come to.
fuzz() {
    local name=${1#fuzz_} used=0 runs=0 findings=0 edges=0 part words=() seconds
    local log budget=$((minutes * 6000))
    log=$STATES/$name.log
    mkdir -p "$FOUND/$name" "$FINDINGS/$name"
    mapfile -t words < <(words_of "$name")
    [ "$minutes" -gt 0 ] || words+=(-runs=0)
    while :; do
        # Of the time that is left: a process with one thread uses no more than passes.
        seconds=$(((budget - used) / 100))
        seconds=$((seconds < ROUND_LEAST_S ? ROUND_LEAST_S : seconds))
        seconds=$((seconds > ROUND_S ? ROUND_S : seconds))
        if ! part=$(run_round "$name" "$log" -max_total_time="$seconds" "${words[@]}" \
            "$FOUND/$name" "$CORPUS/$name"); then
            findings=$((findings + 1))
            cp "$log" "$FINDINGS/$name/finding-$findings.log"
        fi
        used=$((used + part))
        runs=$((runs + $(executions_in "$log")))
        edges=$(number_in "$log" cov)
        printf '%s %s %s %s %s\n' "$name" "$used" "$runs" "$edges" "$findings" >"$STATES/$name"
        echo "fuzz: $(date +%T) $name: $((used / 100)) of $((budget / 100)) s, $runs inputs run," \
            "$edges edges, $findings findings" >&2
        if [ "$used" -ge "$budget" ] || [ "$findings" -ge "$FINDINGS_MOST" ]; then
            return
        fi
    done
}

# Adds inputs that reach lines which no seed does to the corpus, as long as there is room.
merge_found() {
    local name=$1 all file
    all=$STATES/$name.all
    rm -rf "$all" && cp -r "$CORPUS/$name" "$all"
    "$BUILD/tests/fuzz_$name" "${LIMITS[@]}" -max_len="$INPUT_MOST_BYTES" -use_counters=0 \
        -merge=1 "$all" "$FOUND/$name" >"$STATES/$name.merge.log" 2>&1 || {
        echo "fuzz: $name: nothing is merged: see $STATES/$name.merge.log" >&2
        return
    }
    find "$all" -type f -printf '%s %f\n' | sort -n | while read -r _ file; do
        [ "$(du -s --apparent-size -k "$CORPUS/$name" | cut -f 1)" -lt "$CORPUS_MOST_KB" ] || break
        [ -e "$CORPUS/$name/$file" ] || cp "$all/$file" "$CORPUS/$name/"
    done
}

count_files() {
    find "$1" -type f | wc -l
}

print_table() {
    local name used runs edges findings
    printf '%-14s %8s %12s %9s %7s %8s %9s\n' target "CPU s" inputs "a second" edges corpus findings
    while read -r name used runs edges findings; do
        printf '%-14s %8d %12d %9d %7d %8d %9d\n' "$name" $((used / 100)) "$runs" \
            $((used > 0 ? runs * 100 / used : 0)) "$edges" "$(count_files "$CORPUS/$name")" "$findings"
    done
}

print_json() {
    local name used runs edges findings between=""
    printf '{"minutes": %d, "targets": [' "$minutes"
    while read -r name used runs edges findings; do
        printf '%s\n  {"target": "fuzz_%s", "cpu_s": %d.%02d, "inputs": %d, "edges": %d, ' \
            "$between" "$name" $((used / 100)) $((used % 100)) "$runs" "$edges"
        printf '"corpus": %d, "findings": %d}' "$(count_files "$CORPUS/$name")" "$findings"
        between=,
    done
    printf '\n]}\n'
}

name_findings() {
    local name file
    while read -r name _ _ _ _; do
        find "$FINDINGS/$name" -type f ! -name '*.log' | sort | while read -r file; do
            echo "fuzz: FINDING of fuzz_$name: $BUILD/tests/fuzz_$name $file" >&2
        done
    done
}

# Each target that runs is a process group of its own.
stop() {
    local group
    for group in $(jobs -p); do
        kill -TERM -- "-$group" 2>/dev/null || true
    done
    exit 130
}

main() {
    local target states=()
    parse "$@"
    build
    set -m
    trap stop INT TERM
    rm -rf "$STATES" "$FINDINGS" && mkdir -p "$STATES"
    for target in "${targets[@]}"; do
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
            wait -n
        done
        fuzz "$target" &
        states+=("$STATES/${target#fuzz_}")
    done
    wait
    if [ "$merge" = 1 ]; then
        for target in "${targets[@]}"; do
            merge_found "${target#fuzz_}"
        done
    fi
    if [ "$json" = 1 ]; then
        cat "${states[@]}" | print_json
    else
        cat "${states[@]}" | print_table
    fi
    cat "${states[@]}" | name_findings
    ! cat "${states[@]}" | grep -qv ' 0$'
}

main "$@"
