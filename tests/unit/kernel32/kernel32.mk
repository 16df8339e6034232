# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- the entry points for hosts that are not Wine, dlls/kernel32/ ----
if HAVE_CHECK
UNIT_TESTS += %D%/test-win32
%C%_test_win32_SOURCES = %D%/test-win32.c tests/common/util.h %D%/win32.h \
	%D%/win32-memory.c %D%/win32-objects.c %D%/win32-watches.c %D%/win32-world.c
%C%_test_win32_CPPFLAGS = $(UNIT_CPPFLAGS) $(WINE_CPPFLAGS)
%C%_test_win32_LDADD = libkernel32.la libnt.la $(UNIT_LDADD) $(FFI_LIBS)
%C%_test_win32_LDFLAGS = -Wl,--wrap=calloc,--wrap=ww_heap_alloc,--wrap=mprotect,--wrap=ww_protect,--wrap=ww_watch,--wrap=ww_unwatch
endif
