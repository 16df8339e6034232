# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- what Windows programs see: the NT calls, and how they reach us under Wine ----
noinst_LTLIBRARIES += libnt.la
libnt_la_SOURCES = \
	dlls/ntdll/abi.h \
	dlls/ntdll/closure.c dlls/ntdll/closure.h \
	dlls/ntdll/nt.h \
	dlls/ntdll/counters.h dlls/ntdll/stats.c dlls/ntdll/stats.h \
	dlls/ntdll/status.c \
	dlls/ntdll/virtual.c \
	dlls/ntdll/writewatch.c
libnt_la_CPPFLAGS = $(AM_CPPFLAGS) $(WINE_CPPFLAGS) $(FFI_CFLAGS)

# A file for each processor; configure chooses one. A port is another word here (dlls/ntdll/abi.h).
EXTRA_libnt_la_SOURCES = dlls/ntdll/abi_i386.c dlls/ntdll/abi_unknown.c dlls/ntdll/abi_x86_64.c
libnt_la_LIBADD = dlls/ntdll/libnt_la-abi_$(NTDLL_ABI).lo

# ---- the same calls for hosts that are not Wine: part of the library ----
noinst_LTLIBRARIES += libkernel32.la
libkernel32_la_SOURCES = \
	dlls/kernel32/bind.c \
	dlls/kernel32/error.c \
	dlls/kernel32/kernel32.c dlls/kernel32/kernel32.h \
	dlls/kernel32/memory.c
libkernel32_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/dlls/ntdll $(WINE_CPPFLAGS) $(FFI_CFLAGS)

# The preload, twice: with the backends that Wine programs get, and with all for those who ask for another one.
noinst_LTLIBRARIES += libpreload.la
libpreload_la_SOURCES = \
	dlls/ntdll/attach.c \
	dlls/ntdll/elf.c dlls/ntdll/elf.h \
	dlls/ntdll/hook.c dlls/ntdll/hook.h \
	dlls/ntdll/filter.c dlls/ntdll/filter.h \
	dlls/ntdll/remote.c dlls/ntdll/remote.h
libpreload_la_CPPFLAGS = $(AM_CPPFLAGS) $(WINE_CPPFLAGS) $(FFI_CFLAGS)

pkglib_LTLIBRARIES = libwritewatch-ntdll.la libwritewatch-ntdll-all.la
PRELOAD_LIBS = libpreload.la libnt.la libengine.la $(FFI_PIC)
PRELOAD_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -no-undefined -static-libgcc $(SECTION_LDFLAGS) \
	-Wl,--version-script=$(top_srcdir)/dlls/ntdll/preload.map
libwritewatch_ntdll_la_SOURCES = dlls/ntdll/backends.c
libwritewatch_ntdll_la_LIBADD = $(PRELOAD_LIBS)
libwritewatch_ntdll_la_LDFLAGS = $(PRELOAD_LDFLAGS)
EXTRA_libwritewatch_ntdll_la_DEPENDENCIES = dlls/ntdll/preload.map
libwritewatch_ntdll_all_la_SOURCES =
libwritewatch_ntdll_all_la_LIBADD = $(PRELOAD_LIBS)
libwritewatch_ntdll_all_la_LDFLAGS = $(PRELOAD_LDFLAGS)
EXTRA_libwritewatch_ntdll_all_la_DEPENDENCIES = dlls/ntdll/preload.map
EXTRA_DIST += dlls/ntdll/preload.map

# The preload loads with an older glibc, whatever it was built with, and with musl.
if OLD_GLIBC
noinst_LTLIBRARIES += libglibc.la
libglibc_la_SOURCES = dlls/ntdll/glibc.S
PRELOAD_LIBS += libglibc.la
GLIBC_WRAPPED = __dprintf_chk __register_atfork __snprintf_chk fstat secure_getenv pthread_attr_setstack pthread_create pthread_detach pthread_join pthread_mutex_trylock pthread_once \
	pthread_rwlock_destroy pthread_rwlock_init pthread_rwlock_rdlock pthread_rwlock_tryrdlock pthread_rwlock_unlock pthread_rwlock_wrlock \
	pthread_rwlockattr_destroy pthread_rwlockattr_init pthread_rwlockattr_setkind_np pthread_sigmask
PRELOAD_LDFLAGS += $(GLIBC_WRAPPED:%=-Wl,--wrap=%) $(OLD_GLIBC_LDFLAGS)
endif

