#!/bin/sh
# Run the fast tests, runs with Parsl and `make demo` on every other supported Python of this machine, and on the oldest
# supported versions of the dependencies. What is found: `python3.x` on the path, then those of pyenv.
#
#   sh tests/pythons.sh                all of them; those that are missing are named
#   sh tests/pythons.sh 3.13 oldest    some
set -eu
cd "$(dirname "$0")/.."
PYTHONS="3.11 3.12 3.13 3.14"
MAIN=.venv/bin/python
OWN=$("$MAIN" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
TESTS="tests/unit tests/contract tests/golden tests/integration/test_parsl_results.py"
unset FASTHEP_REQUIRE_SERVICES # batch systems and compilers are tried once, by `make test`

# Print the interpreter of a version, if there is one that works: one of pyenv's names may stand for none.
interpreter() {
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        if found=$("$candidate" -c "import sys, venv; assert '%d.%d' % sys.version_info[:2] == '$1'; print(sys.executable)" 2>/dev/null); then
            echo "$found"
            return
        fi
    done
}

# try NAME PYTHON OPTIONS OF PYTEST...: make the environment, run the tests, then the two commands of the README.
try() {
    echo "--- $1: $2"
    environment=.venv-$1 python=$2
    shift 2
    make venv VENV="$environment" PYTHON="$python" EXTRAS=dev &&
        "$environment/bin/python" -m pytest -p no:cacheprovider -q "$@" $TESTS &&
        make demo VENV="$environment" PYTHON="$python" EXTRAS=dev EVENTS=20000
}

passed="" failed="" missing=""
for name in ${*:-$PYTHONS oldest}; do
    case $name in
    "$OWN") continue ;; # what `make test` runs on
    oldest)
        mkdir -p .venv-oldest
        "$MAIN" tests/oldest.py >.venv-oldest/constraints.txt
        python=$("$MAIN" -c 'import sys; print(sys._base_executable)')
        # newer packages below old ones warn
        export PIP_CONSTRAINT="$PWD/.venv-oldest/constraints.txt"
        if try oldest "$python" -W ignore::DeprecationWarning -W ignore::FutureWarning; then result=0; else result=1; fi
        unset PIP_CONSTRAINT
        ;;
    *)
        python=$(interpreter "$name")
        if [ -z "$python" ]; then
            missing="$missing $name"
            continue
        fi
        if try "$name" "$python"; then result=0; else result=1; fi
        ;;
    esac
    if [ $result = 0 ]; then passed="$passed $name"; else failed="$failed $name"; fi
done
echo "passed:${passed:- none}; failed:${failed:- none}; not on this machine:${missing:- none}"
[ -z "$failed" ]
