# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- manual pages: written ones, and for each other function one that leads to its group's ----
# A page's own name is its first function; a further one is one more word here. That
# each function has a page is seen by tests/system/docs/test-man.sh.
dist_man_MANS = man/writewatch.1 man/writewatch-bench.1 man/writewatch-doctor.1 man/writewatch-plot.1 \
	man/writewatch-probe.1 man/writewatch-record.1 man/writewatch-run.1 man/writewatch-scan.1 man/writewatch-top.1 \
	man/writewatch-json.5 man/writewatch.3 man/writewatch.7 \
	man/ww_fill.3 man/ww_get_pages.3 man/ww_latch.3 man/ww_open.3 man/ww_pagemap_open.3 \
	man/ww_pagemap_scan.3 man/ww_probe.3 man/ww_strerror.3 man/ww_watch.3 man/ww_win32_open.3

TO_WW_FILL = man/links/ww_fill_on_demand.3
TO_WW_GET_PAGES = man/links/ww_count.3 man/links/ww_get_ranges.3 man/links/ww_reset.3
TO_WW_LATCH = man/links/ww_discard.3 man/links/ww_protect.3
TO_WW_OPEN = man/links/ww_close.3 man/links/ww_open_with.3 man/links/ww_version.3
TO_WW_PAGEMAP_OPEN = man/links/ww_pagemap_categories.3 man/links/ww_pagemap_close.3 \
	man/links/ww_pagemap_flags.3 man/links/ww_pagemap_source.3
TO_WW_PROBE = man/links/ww_backend_caps.3 man/links/ww_backend_name.3
TO_WW_WATCH = man/links/ww_find.3 man/links/ww_next.3 man/links/ww_unwatch.3
TO_WW_WIN32_OPEN = man/links/ww_win32_bind.3 man/links/ww_win32_close.3 man/links/ww_win32_last_error.3
MAN_LINKS = $(TO_WW_FILL) $(TO_WW_GET_PAGES) $(TO_WW_LATCH) $(TO_WW_OPEN) $(TO_WW_PAGEMAP_OPEN) \
	$(TO_WW_PROBE) $(TO_WW_WATCH) $(TO_WW_WIN32_OPEN)
nodist_man_MANS = $(MAN_LINKS)
CLEANFILES += $(MAN_LINKS)

$(TO_WW_FILL): MAN_PAGE = ww_fill
$(TO_WW_GET_PAGES): MAN_PAGE = ww_get_pages
$(TO_WW_LATCH): MAN_PAGE = ww_latch
$(TO_WW_OPEN): MAN_PAGE = ww_open
$(TO_WW_PAGEMAP_OPEN): MAN_PAGE = ww_pagemap_open
$(TO_WW_PROBE): MAN_PAGE = ww_probe
$(TO_WW_WATCH): MAN_PAGE = ww_watch
$(TO_WW_WIN32_OPEN): MAN_PAGE = ww_win32_open
$(MAN_LINKS):
	$(AM_V_GEN)$(MKDIR_P) man/links && echo '.so man3/$(MAN_PAGE).3' >$@
