# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- the preload in programs that are not Wine, or only look like it, and with other preloads ----
SCRIPT_TESTS += %D%/test-attach.sh %D%/test-musl.sh %D%/test-overlays.sh %D%/test-programs.sh
CLEANFILES += %D%/attach.out %D%/overlays.out %D%/overlays.err
CLEAN_FOLDERS += %D%/musl

# Programs that stand for Wine's loader, and fake ntdll.so files.
check_PROGRAMS += %D%/attach-host-system %D%/attach-host-windows %D%/runpath-host
%C%_attach_host_system_SOURCES = %D%/attach-host.c %D%/fake-ntdll.h
%C%_attach_host_windows_SOURCES = %D%/attach-host.c %D%/fake-ntdll.h
%C%_attach_host_windows_CPPFLAGS = $(AM_CPPFLAGS) -DFAKE_WINDOWS
%C%_runpath_host_LDFLAGS = -Wl,--enable-new-dtags,-rpath,'$$ORIGIN'

FAKES = system windows twice noslot notwine oddcall
FAKE_FLAGS_system =
FAKE_FLAGS_windows = -DFAKE_WINDOWS
FAKE_FLAGS_twice = -DFAKE_TWICE
FAKE_FLAGS_noslot = -DFAKE_NO_SLOT
FAKE_FLAGS_notwine = -DFAKE_NOT_WINE
FAKE_FLAGS_oddcall = -DFAKE_ODD_CALL
FAKE_NTDLLS = $(FAKES:%=%D%/fake-%/ntdll.so)
EXTRA_DIST += %D%/fake-ntdll.c %D%/foreign.c
check_DATA += $(FAKE_NTDLLS) %D%/foreign.so
CLEANFILES += $(FAKE_NTDLLS) %D%/foreign.so

$(FAKE_NTDLLS): %D%/fake-%/ntdll.so: $(srcdir)/%D%/fake-ntdll.c $(srcdir)/%D%/fake-ntdll.h
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(CC) $(CFLAGS) -fPIC -shared -Wl,-Bsymbolic,-z,relro \
		$(FAKE_FLAGS_$*) -o $@ $(srcdir)/%D%/fake-ntdll.c

%D%/foreign.so: $(srcdir)/%D%/foreign.c
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(CC) $(CFLAGS) -fPIC -shared -o $@ $(srcdir)/%D%/foreign.c

# The preload as it is built for a processor without an abi_*.c.
UNKNOWN_CPU = %D%/unknown-cpu.so
check_DATA += $(UNKNOWN_CPU)
CLEANFILES += $(UNKNOWN_CPU)
$(UNKNOWN_CPU): $(srcdir)/dlls/ntdll/abi_unknown.c libpreload.la libnt.la libengine.la
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(CC) $(AM_CPPFLAGS) $(FFI_CFLAGS) $(AM_CFLAGS) $(CFLAGS) -fPIC -shared -Wl,-z,defs \
		-Wl,--version-script=$(top_srcdir)/dlls/ntdll/preload.map -o $@ $(srcdir)/dlls/ntdll/abi_unknown.c \
		-Wl,--whole-archive .libs/libpreload.a -Wl,--no-whole-archive .libs/libnt.a .libs/libengine.a $(FFI_PIC) $(LIBS)

# Other preloads, which replace functions of the dynamic linker.
OVERLAYS = $(patsubst %,%D%/overlay-%.so,dlsym opener dlopen both dlvsym)
OVERLAY_FLAGS_dlsym = -DOVERLAY_DLSYM
OVERLAY_FLAGS_opener = -DOVERLAY_OPENER
OVERLAY_FLAGS_dlopen = -DOVERLAY_DLOPEN
OVERLAY_FLAGS_both = -DOVERLAY_BOTH
OVERLAY_FLAGS_dlvsym = -DOVERLAY_DLVSYM
EXTRA_DIST += %D%/overlay.c
check_DATA += $(OVERLAYS)
CLEANFILES += $(OVERLAYS)

$(OVERLAYS): %D%/overlay-%.so: $(srcdir)/%D%/overlay.c
	$(AM_V_CCLD)$(MKDIR_P) $(@D) && $(CC) $(CFLAGS) -D_GNU_SOURCE -fPIC -shared $(OVERLAY_FLAGS_$*) -o $@ \
		$(srcdir)/%D%/overlay.c $(LIBS)

# A preload that handles SIGSEGV, and a program that makes faults.
TEST_PRELOADS += %D%/handler.so
EXTRA_DIST += %D%/handler.c
check_PROGRAMS += %D%/fault-host
%C%_fault_host_LDADD = libengine.la
