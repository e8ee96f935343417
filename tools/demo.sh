#!/bin/sh
# A real inspection, then one whose point is the verdict. What is made lies under .make/demo.
set -eu
export DJED_DATA="$PWD/.make/demo"
PATH="$PWD/.venv/bin:$PATH"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }

say '$ djed inspect examples/matmul/inspection.yaml'
djed inspect examples/matmul/inspection.yaml

say '$ djed inspect examples/broken/inspection.yaml      # resolves, installs, and …'
# A failed inspection is what this one is for; the command says so with its exit code.
djed inspect examples/broken/inspection.yaml || true

say 'Next:'
cat <<END
  export PATH="$PWD/.venv/bin:\$PATH" DJED_DATA="$DJED_DATA"
  djed list                                # what was inspected
  djed show matmul                         # everything that is known of it
  djed inspect examples/shell/inspection.yaml
END
