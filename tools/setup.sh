#!/usr/bin/env bash
# Makes .venv ready to run every node: Python packages, and the interface packages built into it.
# Without a sourced ROS installation rclpy comes from pinned wheels; with one, from the installation.
# Safe to run again: it does only what has changed since.
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=$PWD/.venv
PYTHON=${PYTHON:-python3}

need() { # command, apt package
  command -v "$1" >/dev/null || { echo "setup: '$1' is missing. On Debian or Ubuntu: sudo apt install $2" >&2; exit 1; }
}
need "$PYTHON" "python3 python3-venv python3-dev"
need g++ g++
need cmake cmake
"$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || {
  echo "setup: Python 3.11 or 3.12 is needed, $PYTHON is $("$PYTHON" -V). Set PYTHON=python3.12, for example." >&2; exit 1; }
"$PYTHON" -c 'import ensurepip' 2>/dev/null || {
  echo "setup: Python's venv module is missing. On Debian or Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
[ -e "$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] || {
  echo "setup: Python's headers are missing. On Debian or Ubuntu: sudo apt install python3-dev" >&2; exit 1; }
"$PYTHON" -c 'from ctypes.util import find_library as find; raise SystemExit(not (find("EGL") or find("OSMesa")))' || {
  echo "setup: no off-screen OpenGL. On Debian or Ubuntu: sudo apt install libegl1 libgl1-mesa-dri" >&2; exit 1; }

if [ -n "${ROS_DISTRO:-}" ] && "$PYTHON" -c 'import rclpy' 2>/dev/null; then ROS=system; else ROS=wheels; fi

stamp() { cat "$@" | sha256sum | cut -d' ' -f1; }
stale() { [ "$(cat "$VENV/.stamp-$1" 2>/dev/null)" != "$2" ]; }

[ "$(cat "$VENV/.ros" 2>/dev/null)" = "$ROS" ] || rm -rf "$VENV"
if [ ! -x "$VENV/bin/python" ]; then
  if [ $ROS = system ]; then "$PYTHON" -m venv --system-site-packages "$VENV"; else "$PYTHON" -m venv "$VENV"; fi
  echo $ROS >"$VENV/.ros"
fi

want=$(stamp tools/requirements*.txt)
if stale packages "$want"; then
  echo "setup: installing Python packages into .venv ($ROS ROS)"
  lists=(-r tools/requirements.txt -r tools/requirements-dev.txt)
  [ $ROS = wheels ] && lists+=(-r tools/requirements-ros.txt)
  "$VENV/bin/pip" install -q --disable-pip-version-check "${lists[@]}"
  "$VENV/bin/pip" install -q --disable-pip-version-check --no-deps -r tools/requirements-nodeps.txt
  [ $ROS = wheels ] && "$VENV/bin/python" tools/fix_wheel_exports.py
  echo "$want" >"$VENV/.stamp-packages"
fi

build() { # interface package: plain CMake into the environment's prefix, where its types import without variables
  local name=$1 log; log=$(mktemp)
  want=$(find "src/$name" -type f | sort | xargs sha256sum | sha256sum | cut -d' ' -f1)
  stale "$name" "$want" || return 0
  echo "setup: building $name"
  local dir; dir=$(mktemp -d)
  local prefix=(-DCMAKE_PREFIX_PATH="$VENV")
  [ $ROS = system ] && prefix=()
  if ! ( [ $ROS = wheels ] && export PATH="$VENV/bin:$PATH" AMENT_PREFIX_PATH="$VENV" LD_LIBRARY_PATH="$VENV/lib" && unset PYTHONPATH
         cmake -S "src/$name" -B "$dir" -G Ninja -DCMAKE_MAKE_PROGRAM="$VENV/bin/ninja" -DCMAKE_BUILD_TYPE=Release \
           -DBUILD_TESTING=OFF -DCMAKE_INSTALL_PREFIX="$VENV" "${prefix[@]}" \
           -DPython3_EXECUTABLE="$VENV/bin/python3" -DPython3_FIND_VIRTUALENV=ONLY && cmake --build "$dir" --target install
       ) >"$log" 2>&1; then
    tail -40 "$log" >&2; echo "setup: building $name failed, the log is $log" >&2; exit 1
  fi
  rm -rf "$dir" "$log"
  echo "$want" >"$VENV/.stamp-$name"
}
[ $ROS = system ] && "$PYTHON" -c 'import interbotix_xs_msgs' 2>/dev/null || build interbotix_xs_msgs
build sarl_interfaces

want=$(stamp setup.py pyproject.toml)
if stale project "$want"; then
  "$VENV/bin/pip" install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
  echo "$want" >"$VENV/.stamp-project"
fi
