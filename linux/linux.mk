# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- the engine, once for the library, the preload, the command and the unit tests ----
noinst_LTLIBRARIES = libengine.la
libengine_la_SOURCES = \
	include/writewatch.h include/writewatch-pagemap.h \
	linux/backend.c \
	linux/get.c \
	linux/hold.c linux/hold.h \
	linux/internal.h \
	linux/lockless.c linux/lockless.h \
	linux/page_set.c linux/page_set.h \
	linux/region.c \
	linux/scan_step.c \
	linux/watch.c

# Nothing else opens a userfaultfd, reads /proc or knows a version of the kernel.
libengine_la_SOURCES += \
	linux/kernel/fd.c linux/kernel/fd.h \
	linux/kernel/headroom.c \
	linux/kernel/heap.c linux/kernel/heap.h \
	linux/kernel/lock.c linux/kernel/lock.h \
	linux/kernel/proc_maps.c linux/kernel/proc_maps.h \
	linux/kernel/raw.h \
	linux/kernel/refusal.c linux/kernel/refusal.h \
	linux/kernel/rehearsal.c \
	linux/kernel/release.c linux/kernel/release.h \
	linux/kernel/signal.c \
	linux/kernel/survey.c \
	linux/kernel/uapi.h \
	linux/kernel/userfaultfd.c linux/kernel/userfaultfd.h \
	linux/kernel/worker.c linux/kernel/worker.h

libengine_la_SOURCES += \
	linux/backends/bits.h \
	linux/backends/none.c \
	linux/backends/mprotect/fault.c \
	linux/backends/mprotect/grace.c \
	linux/backends/mprotect/install.c \
	linux/backends/mprotect/mprotect.c linux/backends/mprotect/mprotect.h \
	linux/backends/mprotect/protections.c \
	linux/backends/softdirty/dirty_bits.c \
	linux/backends/softdirty/softdirty.c linux/backends/softdirty/softdirty.h \
	linux/backends/uffd/pager.c \
	linux/backends/uffd/uffd.c linux/backends/uffd/uffd.h \
	linux/backends/uffd_sync/handler.c \
	linux/backends/uffd_sync/self_test.c \
	linux/backends/uffd_sync/table.c \
	linux/backends/uffd_sync/track.c \
	linux/backends/uffd_sync/uffd_sync.c linux/backends/uffd_sync/uffd_sync.h \
	linux/backends/uffd_sync/wp_ioctl.c

libengine_la_SOURCES += \
	linux/fill/demand.c linux/fill/demand.h \
	linux/fill/fill.c

# Scans of any process, which watches do not need.
libengine_la_SOURCES += \
	linux/pagemap/facts.c \
	linux/pagemap/pagemap.c linux/pagemap/pagemap.h \
	linux/pagemap/scan_ioctl.c \
	linux/pagemap/scan_read.c

include_HEADERS = include/writewatch.h include/writewatch-pagemap.h include/writewatch-win32.h
pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = linux/libwritewatch.pc

lib_LTLIBRARIES = libwritewatch.la
libwritewatch_la_SOURCES =
libwritewatch_la_LIBADD = libkernel32.la libnt.la libengine.la $(FFI_PIC)
libwritewatch_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -no-undefined \
	-Wl,--version-script=$(top_srcdir)/linux/libwritewatch.map
EXTRA_libwritewatch_la_DEPENDENCIES = linux/libwritewatch.map
EXTRA_DIST += linux/libwritewatch.map
