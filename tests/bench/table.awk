# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes a short table of the lines that wine.sh prints for one Wine.
function field(name,    i, pair) {
    for (i = 2; i <= NF; i++) {
        split($i, pair, "=")
        if (pair[1] == name) return pair[2]
    }
    return ""
}
function human(us) {
    return us >= 9950 ? sprintf("%.0f ms", us / 1000) : us >= 1000 ? sprintf("%.1f ms", us / 1000) : \
        us >= 100 ? sprintf("%.0f us", us) : us >= 10 ? sprintf("%.1f us", us) : sprintf("%.2f us", us)
}
function row(label, figure, per_page,    m, text, us) {
    for (m = 1; m <= 2; m++) {
        us = median[mode[m], figure]
        text[m] = us == "" ? (cut_off[mode[m], workload] ? "hangs" : "-") : human(per_page ? us / pages[figure] : us)
    }
    us = median["stock", figure]
    printf "  %-34s %12s %14s %9s\n", label, text[1], text[2],
        us == "" || median["shim", figure] == "" ? "" : sprintf("%.2fx", median["shim", figure] / us)
}
BEGIN { mode[1] = "stock"; mode[2] = "shim" }
{
    peer = field("peer")
    which = peer ~ /-shim$/ ? "shim" : "stock"
}
/^bench / {
    if (which == "stock") version = substr(peer, 6)
    median[which, field("workload")] = field("median_us") + 0
    pages[field("workload")] = field("pages")
}
/^note .* cut off/ { cut_off[which, field("workload")] = 1 }
END {
    printf "%-36s %12s %14s %9s\n", "", "Wine " version, "with the shim", "ratio"
    print "64 MB, every page written (16384)"
    row("allocate", "allocate_64m")
    row("first write, a page", "first_write_fresh_64m_contiguous", 1)
    row("first write after a reset, a page", "first_write_armed_64m_contiguous", 1)
    row("get + reset", "get_reset_64m_100pct_contiguous")
    row("get, nothing written", "get_64m_0pct")
    row("reset", "reset_64m_100pct_contiguous")
    row("free", "release_64m")
    print "64 MB, every tenth page"
    row("first write after a reset, a page", "first_write_armed_64m_every_tenth", 1)
    row("get + reset", "get_reset_64m_10pct_scattered")
    row("reset", "reset_64m_10pct_scattered")
    print "1 GB, every other page (131072)"
    workload = "isolated"
    row("get + reset", "get_reset_1g_every_other")
    row("first write after a reset, a page", "first_write_armed_1g_every_other", 1)
    print "256 GB reserved, 1000 pages written"
    workload = "sparse"
    row("allocate", "allocate_256g")
    row("get + reset", "get_reset_256g_1000_pages")
    row("get, nothing written", "get_256g_clean")
    row("free", "release_256g")
}
