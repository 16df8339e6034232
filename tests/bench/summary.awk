# SPDX-License-Identifier: LGPL-2.1-or-later
# Turns `mode scenario op value` into bench and ratio lines: minimum, median, maximum.
$3 == "hang" { hang[$1 " " $2] = $4; if (!(($2) in seen)) { seen[$2]; order[++nr_scenarios] = $2 }; next }
{
    key = $1 " " $2 " " $3
    value[key, ++n[key]] = $4
    if (!($2 in seen)) { seen[$2]; order[++nr_scenarios] = $2 }
    if (!($3 in op_seen)) { op_seen[$3]; op_order[++nr_ops] = $3 }
}
function sort_values(key,    i, j, t) {
    for (i = 2; i <= n[key]; i++) {
        t = value[key, i]
        for (j = i - 1; j > 0 && value[key, j] + 0 > t + 0; j--) {
            value[key, j + 1] = value[key, j]
        }
        value[key, j + 1] = t
    }
}
function median(key) {
    return (value[key, int((n[key] + 1) / 2)] + value[key, int(n[key] / 2) + 1]) / 2
}
BEGIN { split("64m 16384 64m10 1639 512m2 65536 1g2 131072 256g 1000", p, " "); for (i = 1; i < 10; i += 2) pages[p[i]] = p[i + 1] }
END {
    for (s = 1; s <= nr_scenarios; s++) {
        scenario = order[s]
        for (o = 1; o <= nr_ops; o++) {
            op = op_order[o]
            unit = op == "page_tables_kb" ? "kb" : "us"
            for (m = 1; m <= 2; m++) {
                mode = m == 1 ? "stock" : "shim"
                key = mode " " scenario " " op
                if (!n[key]) continue
                sort_values(key)
                printf "bench wine=%s mode=%s scenario=%s op=%s pages=%d n=%d min_%s=%.1f median_%s=%.1f max_%s=%.1f\n",
                    version, mode, scenario, op, pages[scenario], n[key], unit, value[key, 1], unit,
                    median(key), unit, value[key, n[key]]
            }
            stock = "stock " scenario " " op
            shim = "shim " scenario " " op
            if (n[stock] && n[shim] && median(stock) > 0) {
                printf "ratio scenario=%s op=%s shim/stock=%.3f\n", scenario, op, median(shim) / median(stock)
            }
        }
        for (m = 1; m <= 2; m++) {
            mode = m == 1 ? "stock" : "shim"
            if ((mode " " scenario) in hang) {
                printf "bench wine=%s mode=%s scenario=%s hangs after_s=%d\n", version, mode, scenario,
                    hang[mode " " scenario]
            }
        }
    }
}
