# Sourced by packaging/run and packaging/test: make sure that the environment in .venv is
# there and belongs to this lock and this interpreter. Everything it says goes to stderr.
# After the first time it compares one stamp and needs no network.

lanai_say() { printf 'lanai: %s\n' "$*" >&2; }

# What PySide6, PortAudio and OpenCV load at run time, by Debian's names.
LANAI_LIBRARIES="python3-venv libportaudio2 libpulse0 libegl1 libgl1 libglib2.0-0 libfontconfig1
libdbus-1-3 libxkbcommon0 libxkbcommon-x11-0 libx11-xcb1 libxcb-cursor0 libxcb-icccm4 libxcb-image0
libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xkb1"

lanai_find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
            2>/dev/null; then
            command -v "$name"
            return 0
        fi
    done
    lanai_say "Python 3.11, 3.12 or 3.13 is needed, and no python3 of that kind was found."
    return 1
}

lanai_stamp() { # the lock and the interpreter; reading both is all a second start does
    { cat "${2:-$LANAI_ROOT/packaging/requirements.lock}"; printf '%s\n' "$1"; readlink -f "$1"; } \
        | sha256sum | cut -d' ' -f1
}

lanai_apt_install() {
    lanai_say "installing system packages: $*"
    {
        apt-get update -q &&
            DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
    } >&2
}

lanai_install_libraries() {
    command -v dpkg-query >/dev/null || {
        lanai_say "not a Debian system: if a library is missing, these are Debian's names:" $LANAI_LIBRARIES
        return 0
    }
    local name missing=""
    for name in $LANAI_LIBRARIES; do
        if [ "$name" = python3-venv ] && "$1" -c 'import ensurepip' 2>/dev/null; then
            continue
        fi
        # A library may be there under its successor's name (libglib2.0-0t64): "install" settles it.
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] \
            || [ "$(dpkg-query -W -f='${db:Status-Status}' "${name}t64" 2>/dev/null)" = installed ] \
            || missing="$missing $name"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        lanai_say "missing system libraries, install them as root:$missing"
        return 0
    fi
    lanai_apt_install $missing || {
        lanai_say "the system libraries could not be installed; is there a network?"
        return 1
    }
}

lanai_set_up() { # sets LANAI_PYTHON
    LANAI_ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
    local venv="$LANAI_ROOT/.venv" python stamp
    python=$(lanai_find_python) || return 1
    stamp=$(lanai_stamp "$python")
    LANAI_PYTHON="$venv/bin/python"
    [ "$(cat "$venv/lanai-stamp" 2>/dev/null)" = "$stamp" ] && return 0
    (
        # Two starts at once: the second waits, then finds the stamp.
        flock 9 2>/dev/null
        [ "$(cat "$venv/lanai-stamp" 2>/dev/null)" = "$stamp" ] && exit 0
        lanai_install_libraries "$python" || exit 1
        lanai_say "setting up the environment in $venv (once; about 1.3 GB)"
        "$python" -m venv --clear "$venv" >&2 || exit 1
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
            --require-hashes -r "$LANAI_ROOT/packaging/requirements.lock" >&2 || {
            lanai_say "the environment could not be installed; is there a network?"
            exit 1
        }
        printf '%s\n' "$stamp" >"$venv/lanai-stamp"
    ) 9>"$LANAI_ROOT/.setup-lock"
}

lanai_set_up_agents() { # what one test wants: an official agent worker, in an environment of its own
    local venv="$LANAI_ROOT/.venv-agents" lock="$LANAI_ROOT/packaging/agents/requirements.lock"
    local python stamp
    python=$(lanai_find_python) || return 1
    stamp=$(lanai_stamp "$python" "$lock")
    [ "$(cat "$venv/lanai-stamp" 2>/dev/null)" = "$stamp" ] && return 0
    lanai_say "setting up the agents' environment in $venv (once; about 0.5 GB)"
    "$python" -m venv --clear "$venv" >&2 &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
            --require-hashes -r "$lock" >&2 &&
        printf '%s\n' "$stamp" >"$venv/lanai-stamp" && return 0
    rm -rf "$venv"
    return 1
}
