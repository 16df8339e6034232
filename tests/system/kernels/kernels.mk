# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- Debian's kernels, each in a virtual machine; needs qemu and a network, about two hours on two processors ----
# KERNEL_TESTS run in every configuration in which the kernel tracks as usual, ..._ONCE besides in the plain one,
# ..._BARRED where a backend is denied, ..._MOVING in `moving`, where answers are not exact. A new test is one word.
KERNEL_TESTS = \
	tests/system/facts/test-kernel \
	tests/unit/backends/test-softdirty \
	tests/unit/contract/test-contract \
	tests/unit/engine/test-concurrent \
	tests/unit/engine/test-mappings \
	tests/unit/fill/test-fill \
	tests/unit/pagemap/test-pagemap
KERNEL_TESTS_ONCE = \
	tests/stress/faults/test-faults \
	tests/system/environment/test-environment \
	tests/unit/backends/test-mprotect \
	tests/unit/backends/test-uffd-sync \
	tests/unit/backends/test-waits \
	tests/unit/engine/test-interrupted \
	tests/unit/engine/test-lockless \
	tests/unit/engine/test-malloc \
	tests/unit/engine/test-page-set \
	tests/unit/engine/test-region \
	tests/unit/engine/test-watch \
	tests/unit/kernel/test-maps \
	tests/unit/kernel32/test-win32 \
	tests/unit/ntdll/test-nt \
	tests/unit/process/test-heap \
	tests/unit/process/test-lock
KERNEL_TESTS_BARRED = tests/unit/contract/test-contract tests/unit/pagemap/test-pagemap
KERNEL_TESTS_MOVING = tests/unit/engine/test-concurrent %D%/test-moving
EXTRA_DIST += %D%/build.sh %D%/fetch.sh %D%/init %D%/initramfs.sh %D%/matrix.sh %D%/qemu.sh %D%/run.sh %D%/table.awk
EXTRA_PROGRAMS += %D%/merge %D%/test-moving
%C%_test_moving_SOURCES = %D%/test-moving.c tests/common/util.h
%C%_test_moving_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_moving_LDADD = $(UNIT_LDADD)
CLEANFILES += %D%/merge %D%/test-moving kernel-programs.list
CLEAN_FOLDERS += kernels

check-kernels: all
	WW_BUILDDIR='$(abs_builddir)' $(SHELL) $(srcdir)/%D%/matrix.sh $(srcdir)/docs/evidence/KERNELS.md || test $$? -eq 77

# For build.sh, in a build folder of its own. `asked` marks a program that runs only by name (run.sh).
kernel-programs: $(KERNEL_TESTS) $(KERNEL_TESTS_ONCE) $(KERNEL_TESTS_BARRED) $(KERNEL_TESTS_MOVING) \
		tests/common/deny %D%/merge writewatch tests/bench/native
	@{ printf 'always %s\n' $(KERNEL_TESTS); printf 'once %s\n' $(KERNEL_TESTS_ONCE); \
		printf 'barred %s\n' $(KERNEL_TESTS_BARRED); printf 'moving %s\n' $(KERNEL_TESTS_MOVING); \
		echo 'asked tests/bench/native'; } >kernel-programs.list

.PHONY: check-kernels kernel-programs
