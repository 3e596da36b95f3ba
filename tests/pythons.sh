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
        if found=$("$candidate" -c "import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$1') or print(sys.executable)" 2>/dev/null); then
            echo "$found"
            return
        fi
    done
}

passed="" skipped=""
for name in ${*:-$PYTHONS oldest}; do
    environment=.venv-$name
    case $name in
        "$OWN") continue ;; # what `make test` runs on
        oldest) python=$("$MAIN" -c 'import sys; print(sys._base_executable)') ;;
        *) python=$(interpreter "$name") ;;
    esac
    if [ -z "$python" ]; then
        skipped="$skipped $name"
        continue
    fi
    echo "--- $name: $python"
    if [ "$name" = oldest ]; then
        "$MAIN" tests/oldest.py >"$environment.txt"
        make venv VENV="$environment" PYTHON="$python" EXTRAS=dev PIP_CONSTRAINT="$PWD/$environment.txt"
    else
        make venv VENV="$environment" PYTHON="$python" EXTRAS=dev
    fi
    # shellcheck disable=SC2086
    "$environment/bin/python" -m pytest -p no:cacheprovider -q $TESTS
    make demo VENV="$environment" PYTHON="$python" EVENTS=20000
    passed="$passed $name"
done
echo "passed on:${passed:- none}; not on this machine:${skipped:- none}"
