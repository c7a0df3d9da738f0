#!/usr/bin/env bash
# Writes docs/reference from the built program: run it after an option was added or changed. A test compares.
#
#   tools/dev/cli_reference.sh [PROGRAM]        default: build/cpu/hinge
set -euo pipefail
cd "$(dirname "$0")/../.."
program=${1:-build/cpu/hinge}
[ -x "$program" ] || { echo "tools/dev/cli_reference.sh: $program is not built" >&2; exit 1; }
"$program" reference docs/reference
