# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- Debian systems in folders, for tests of Wine, packages, containers, documents and kernels ----
EXTRA_DIST += %D%/debian.sh %D%/fresh.sh %D%/machine-init %D%/machine.sh %D%/root.sh
