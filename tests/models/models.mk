# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- models of the schemes without a lock, every state of them; needs spin, takes a minute or two ----
EXTRA_DIST += tests/models/check-models.sh tests/models/grace.pml tests/models/notes.pml tests/models/quiet.pml tests/models/uffd-sync.pml tests/models/worker.pml

check-models:
	CC='$(CC)' $(SHELL) $(srcdir)/tests/models/check-models.sh || test $$? -eq 77

.PHONY: check-models
