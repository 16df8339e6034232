#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# writewatch bench: every workload runs, in small, with every peer that works here, and all answers are right; the
# forms of its output; and one clear line with the documented exit code for each mistake of the user. The times that
# it measures are not checked.
. "$(dirname "$0")/../../common/expect.sh"
unset WW_BACKEND
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

expect_usage() {
    expect_usage_of bench "$@"
}

expect 0 'usage: writewatch bench' "$ww" bench --help
expect 0 'usage: writewatch bench' "$ww" help bench
expect_usage "unknown option '--nonsense'" --nonsense
expect_usage "bench takes no 'that'" that
expect_usage "unknown backend 'bogus'; there are: uffd, .*, bare" --backend=bogus
expect_usage "backend 'mprotect' was given twice" --backend=mprotect --backend=mprotect
expect_usage "no workload matches 'nonsense'; there are: first_write, .*, textures" --workload=nonsense
for rounds in 0 100 -1 1x ''; do
    expect_usage "'$rounds' is not a number of rounds" --rounds="$rounds"
done

# ---- all workloads, all peers ----
"$ww" bench --quick --rounds=1 --json >"$folder/all.json" 2>"$folder/all.err" || {
    fail "bench --quick ends with code $?"
    cat "$folder/all.err"
}
! grep -q WRONG "$folder/all.err" || fail "a wrong answer: $(grep WRONG "$folder/all.err")"

if command -v python3 >/dev/null; then
    python3 - "$folder/all.json" <<'END' || failed=1
import json, sys

results = json.load(open(sys.argv[1]))
workloads = ("first_write dense_small dense_medium dense_large sparse sparse_huge isolated cycle protect writers pollers "
             "regions gc textures").split()
figures, peers, notes = results["figures"], results["peers"], results["notes"]
bad = []
if "mprotect" not in peers:
    bad.append("mprotect, which works everywhere, is not among the peers")
for workload in workloads:
    for peer in peers:
        measured = [f for f in figures if f["workload"] == workload and f["peer"] == peer]
        explained = [n for n in notes if "workload=%s peer=%s " % (workload, peer) in n]
        if not measured and not explained:
            bad.append("%s by %s is missing, and no note says why" % (workload, peer))
for f in figures:
    values = f["min"], f["q1"], f["median"], f["q3"], f["max"]
    if list(values) != sorted(values) or f["min"] < 0 or f["n"] != 1:
        bad.append("no possible summary: %s" % f)
    if f["unit"] == "us" and f["min"] <= 0:
        bad.append("it took no time: %s" % f)
    if f["ratio"] and f["ratio"]["to"] != peers[0]:
        bad.append("a ratio to another than the first: %s" % f)
if results["nr_wrong"] or results["rounds"] != 1 or results["page_size"] % 4096:
    bad.append("the head is odd")
print("\n".join("FAILED: " + b for b in bad), end="\n" if bad else "")
sys.exit(bool(bad))
END
fi

# ---- a choice of peers and workloads, and the table ----
out=$("$ww" bench --quick --rounds=2 --backend=mprotect --workload='poll*' 2>/dev/null)
printf '%s\n' "$out" | grep -q '^  poll_1m_by_2_threads  *[0-9.]* [mnu]*s' || fail "no row of a table in: $out"
! printf '%s\n' "$out" | grep -q 'dense\|uffd' || fail "more than was asked for: $out"
expect 77 'none is left out: it reports every page' "$ww" bench --quick --backend=none
expect 1 'cannot write' sh -c "'$ww' bench --quick --rounds=1 --backend=mprotect --workload=protect >/dev/full"

# If the kernel lacks what a peer needs, bench measures the others; if --backend names that peer, the exit code is 77.
if [ -x "$deny" ]; then
    expect 0 'bare is left out: ' "$deny" userfaultfd EPERM "$ww" bench --quick --rounds=1 --workload=protect
    expect 0 'protect_and_back' "$deny" userfaultfd EPERM "$ww" bench --quick --rounds=1 --workload=protect
    expect 77 'bare is left out: ' "$deny" userfaultfd EPERM "$ww" bench --quick --backend=bare
fi

# ---- pictures ----
plot() {
    "$ww" bench --quick --rounds=1 --backend=mprotect --workload=dense_medium "$@"
}
mkdir "$folder/empty" "$folder/it's here"
expect 1 'gnuplot was not found (Debian: gnuplot-nox)' env PATH="$folder/empty" \
    "$ww" bench --quick --rounds=1 --backend=mprotect --workload=dense_medium --plot="$folder/none"
expect 1 'nothing to plot' "$ww" bench --quick --rounds=1 --backend=mprotect --workload=protect --plot="$folder"
expect 1 "cannot plot into '$folder/no/such'" "$ww" bench --quick --rounds=1 --backend=mprotect \
    --workload=dense_medium --plot="$folder/no/such"
if command -v gnuplot >/dev/null; then
    plot --plot="$folder/it's here" >/dev/null 2>&1 || fail "--plot ends with code $?"
    for name in dirty-fraction-scattered dirty-fraction-contiguous region-size-dirty region-size-clean; do
        grep -q '</svg>' "$folder/it's here/$name.svg" || fail "$name.svg is no whole picture"
        grep -q mprotect "$folder/it's here/$name.svg" || fail "$name.svg has no line of the peer's"
    done
else
    echo "pictures were not drawn: there is no gnuplot"
fi
exit $failed
