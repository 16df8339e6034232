# SPDX-License-Identifier: LGPL-2.1-or-later
# Turns the lines of wine.sh into a table for people.
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
function row(label, scenario, op, per_page,    m, text, us) {
    for (m = 1; m <= 2; m++) {
        us = median[mode_name[m], scenario, op]
        text[m] = us == "" ? (hangs[mode_name[m], scenario] ? "hangs" : "-") : human(per_page ? us / pages[scenario] : us)
    }
    us = median["stock", scenario, op]
    printf "  %-34s %12s %14s %9s\n", label, text[1], text[2],
        us == "" || median["shim", scenario, op] == "" ? "" : sprintf("%.2fx", median["shim", scenario, op] / us)
}
function block(title, scenario) {
    print title
    row("allocate", scenario, "alloc")
    row("first write, a page", scenario, "first_write_fresh", 1)
    row("first write after a reset, a page", scenario, "first_write", 1)
    row("get + reset", scenario, "get_reset")
    row("get, nothing written", scenario, "get_clean")
    row("reset", scenario, "reset")
    row("free", scenario, "release")
}
BEGIN { mode_name[1] = "stock"; mode_name[2] = "shim" }
/^bench / {
    version = field("wine")
    if ($0 ~ / hangs /) { hangs[field("mode"), field("scenario")] = 1; next }
    median[field("mode"), field("scenario"), field("op")] = field("median_us") + 0
    pages[field("scenario")] = field("pages")
}
END {
    printf "%-36s %12s %14s %9s\n", "", "Wine " version, "with the shim", "ratio"
    block("64 MB, every page written (16384)", "64m")
    block("64 MB, every tenth page", "64m10")
    block("1 GB, every other page (131072)", "1g2")
    block("256 GB reserved, 1000 pages written", "256g")
}
