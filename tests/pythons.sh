#!/bin/sh
# Run the tests that are not slow, runs with Parsl and `make demo` on every other supported Python of this machine, and on the oldest
# supported versions of the dependencies. What is found: `python3.x` on the path, then those of pyenv.
#
#   sh tests/pythons.sh                all of them, side by side; those that are missing are named
#   sh tests/pythons.sh 3.13 oldest    some
#
# What each of them says is in `.venv-NAME/tests.log`: shown whole if it fails, else its last lines.
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

# try NAME PYTHON OPTIONS OF PYTEST...: make the environment and run the tests.
try() {
    environment=.venv-$1 python=$2
    shift 2
    make venv VENV="$environment" PYTHON="$python" EXTRAS=dev &&
        "$environment/bin/python" -m pytest -p no:cacheprovider -q -m "not slow" "$@" $TESTS
}

# The two commands of the README. All environments write the same files: one after the other.
demo() {
    make demo VENV=".venv-$1" PYTHON=".venv-$1/bin/python" EXTRAS=dev EVENTS=20000
}

begun="" passed="" failed="" missing=""
for name in ${*:-$PYTHONS oldest}; do
    options=""
    case $name in
    "$OWN") continue ;; # what `make test` runs on
    oldest)
        python=$("$MAIN" -c 'import sys; print(sys._base_executable)')
        options="-W ignore::DeprecationWarning -W ignore::FutureWarning" # newer packages below old ones warn
        ;;
    *) python=$(interpreter "$name") ;;
    esac
    if [ -z "$python" ]; then
        missing="$missing $name"
        continue
    fi
    mkdir -p ".venv-$name"
    (
        if [ "$name" = oldest ]; then
            "$MAIN" tests/oldest.py >.venv-oldest/constraints.txt
            export PIP_CONSTRAINT="$PWD/.venv-oldest/constraints.txt"
        fi
        # shellcheck disable=SC2086 # a list of words
        try "$name" "$python" $options
    ) >".venv-$name/tests.log" 2>&1 &
    begun="$begun $name:$!"
    echo "$name: $python, see .venv-$name/tests.log"
done
for one in $begun; do
    name=${one%:*} shown=4
    wait "${one#*:}" && result=0 || result=1
    [ $result = 0 ] || shown=+1
    echo "--- $name"
    tail -n $shown ".venv-$name/tests.log"
    if [ $result = 0 ] && demo "$name"; then passed="$passed $name"; else failed="$failed $name"; fi
done
echo "passed:${passed:- none}; failed:${failed:- none}; not on this machine:${missing:- none}"
[ -z "$failed" ]
