# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- the engine, once for the library, the preload, the command and the unit tests ----
noinst_LTLIBRARIES = libengine.la
libengine_la_SOURCES = \
	include/writewatch.h include/writewatch-pagemap.h \
	linux/api.h \
	linux/backend.c linux/backend.h \
	linux/change.c linux/change.h \
	linux/context.c linux/context.h \
	linux/detach.c linux/detach.h \
	linux/epoch.h \
	linux/failover.c linux/failover.h \
	linux/get.c \
	linux/hold.c linux/hold.h \
	linux/lockless.c linux/lockless.h \
	linux/page_set.c linux/page_set.h \
	linux/region.c linux/region.h \
	linux/scan_step.c linux/scan_step.h \
	linux/scratch.c linux/scratch.h \
	linux/watch.c linux/watch.h

# The one door to the kernel: nothing else opens a userfaultfd, fills a pm_scan_arg, reads /proc or knows a version.
libengine_la_SOURCES += \
	linux/kernel/advice.c linux/kernel/advice.h \
	linux/kernel/entries.c linux/kernel/entries.h \
	linux/kernel/facts.c linux/kernel/facts.h \
	linux/kernel/fd.c linux/kernel/fd.h \
	linux/kernel/headroom.c linux/kernel/headroom.h \
	linux/kernel/proc_maps.c linux/kernel/proc_maps.h \
	linux/kernel/refusal.c linux/kernel/refusal.h \
	linux/kernel/dry_run.c \
	linux/kernel/scan.c linux/kernel/scan.h \
	linux/kernel/survey.c linux/kernel/survey.h \
	linux/kernel/uapi.h \
	linux/kernel/userfaultfd.c linux/kernel/userfaultfd.h \
	linux/kernel/worker.c linux/kernel/worker.h

# What a library needs in a process that is not its own.
libengine_la_SOURCES += \
	linux/process/heap.c linux/process/heap.h \
	linux/process/lock.c linux/process/lock.h \
	linux/process/raw.h \
	linux/process/signal.c linux/process/signal.h

libengine_la_SOURCES += \
	linux/backends/all.c \
	linux/backends/bits.h \
	linux/backends/none.c \
	linux/backends/mprotect/fault.c \
	linux/backends/mprotect/grace.c \
	linux/backends/mprotect/install.c \
	linux/backends/mprotect/isolated.c \
	linux/backends/mprotect/mprotect.c linux/backends/mprotect/mprotect.h \
	linux/backends/mprotect/protections.c \
	linux/backends/softdirty/dirty_bits.c \
	linux/backends/softdirty/softdirty.c linux/backends/softdirty/softdirty.h \
	linux/backends/uffd/effect.c \
	linux/backends/uffd/pager.c \
	linux/backends/uffd/requests.c \
	linux/backends/uffd/uffd.c linux/backends/uffd/uffd.h \
	linux/backends/uffd_sync/batches.c \
	linux/backends/uffd_sync/handler.c \
	linux/backends/uffd_sync/self_test.c \
	linux/backends/uffd_sync/table.c \
	linux/backends/uffd_sync/track.c \
	linux/backends/uffd_sync/uffd_sync.c linux/backends/uffd_sync/uffd_sync.h \
	linux/backends/uffd_sync/wp_ioctl.c

# First content of pages, at once or when they are first touched.
libengine_la_SOURCES += \
	linux/fill/demand.c linux/fill/demand.h \
	linux/fill/fill.c

# Scans of any process, which watches do not need.
libengine_la_SOURCES += \
	linux/pagemap/pagemap.c linux/pagemap/pagemap.h \
	linux/pagemap/scan_ioctl.c \
	linux/pagemap/scan_read.c \
	linux/pagemap/sink.c

# Apart from the engine, since the preload must do without.
noinst_LTLIBRARIES += libstrerror.la
libstrerror_la_SOURCES = linux/strerror.c

include_HEADERS = include/writewatch.h include/writewatch-pagemap.h include/writewatch-win32.h
pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = linux/libwritewatch.pc

lib_LTLIBRARIES = libwritewatch.la
libwritewatch_la_SOURCES =
libwritewatch_la_LIBADD = libkernel32.la libnt.la libengine.la libstrerror.la $(FFI_PIC)
libwritewatch_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -no-undefined \
	-Wl,--version-script=$(top_srcdir)/linux/libwritewatch.map
EXTRA_libwritewatch_la_DEPENDENCIES = linux/libwritewatch.map
EXTRA_DIST += linux/libwritewatch.map
