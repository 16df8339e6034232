# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- a host that is not Wine: a loader of PE files over the library, also for damaged files ----
SCRIPT_TESTS += %D%/test-loader.sh
CLEANFILES += %D%/loader.out %D%/bad.exe
check_PROGRAMS += %D%/loader %D%/damage
%C%_loader_SOURCES = %D%/loader.c %D%/pe.c %D%/pe.h
%C%_loader_CPPFLAGS = $(AM_CPPFLAGS) $(WINE_CPPFLAGS)
%C%_loader_LDADD = libwritewatch.la
%C%_damage_SOURCES = %D%/damage.c %D%/pe.c %D%/pe.h
%C%_damage_CPPFLAGS = $(AM_CPPFLAGS) $(WINE_CPPFLAGS)

# The programs that it loads, which have no C runtime.
LOADED = %D%/guest.exe %D%/other.exe
EXTRA_DIST += %D%/guest.c %D%/other.c
CLEANFILES += $(LOADED)
%D%/guest.exe: %D%/guest.c
%D%/other.exe: %D%/other.c
$(LOADED):
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(MINGW64) $(PE_CFLAGS) -nostdlib -nostartfiles -Wl,--entry,guest_main \
		-o $@ $(filter %.c,$^) -lkernel32
if HAVE_MINGW64
noinst_DATA += $(LOADED)
endif
