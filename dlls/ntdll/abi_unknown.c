/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Of processors without a file of their own: no convention, so the preload stays out.
 */
#include "abi.h"

const struct abi abi = { .nr_conventions = 0 };
