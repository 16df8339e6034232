# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- searches every state of the models of lock-free schemes; needs spin, takes a minute or two ----
EXTRA_DIST += %D%/check-models.sh %D%/grace.pml %D%/lockless.pml %D%/notes.pml %D%/uffd-sync.pml %D%/worker.pml

check-models:
	CC='$(CC)' $(SHELL) $(srcdir)/%D%/check-models.sh || test $$? -eq 77

.PHONY: check-models
