#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A minute of the soak test. The seed is fixed, but threads interleave in another way
# each time.
exec "${SHELL:-sh}" "$(dirname "$0")/soak.sh" "${WW_SOAK_SECONDS:-60}" 1 60
