# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- models of the schemes without a lock, every state of them; needs spin, takes a minute or two ----
EXTRA_DIST += tests/stress/models/check-models.sh tests/stress/models/grace.pml tests/stress/models/notes.pml tests/stress/models/lockless.pml tests/stress/models/uffd-sync.pml tests/stress/models/worker.pml

check-models:
	CC='$(CC)' $(SHELL) $(srcdir)/tests/stress/models/check-models.sh || test $$? -eq 77

.PHONY: check-models
