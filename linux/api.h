/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The mark of a public function; everything else is hidden. */
#ifndef WW_LINUX_API_H
#define WW_LINUX_API_H

#define WW_API __attribute__((visibility("default")))

#endif
