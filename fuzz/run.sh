#!/bin/sh
# Builds the targets and runs each for a number of seconds (default 30):
#
#     fuzz/run.sh [seconds] [target ...]
set -eu
cd "$(dirname "$0")"
seconds="${1:-30}"
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- decode session pair differential
# Recording each comparison takes more time than the core and its oracle together, and finds little
# in `pair`, whose input has no magic numbers.
options() { [ "$1" != pair ] || echo --no-trace-compares; }
for target in "$@"; do
    echo "== $target, $seconds s"
    mkdir -p "corpus/$target"
    # A choice takes a byte or two, and many small runs find more than a few large ones.
    length=4096
    [ "$target" != pair ] || length=256
    # `decode` and `differential` read frames, `session` what a peer sends, `pair` choices.
    # shellcheck disable=SC2046
    cargo +nightly fuzz run --sanitizer none $(options "$target") "$target" "corpus/$target" "seeds/$target" -- \
        -dict=muxado.dict -max_total_time="$seconds" -max_len="$length" -timeout=20 \
        -rss_limit_mb=2048 -print_final_stats=1 -verbosity=1
done
