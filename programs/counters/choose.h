/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chooses the process to look at. */
#ifndef WW_PROGRAMS_CHOOSE_H
#define WW_PROGRAMS_CHOOSE_H

#include "counters.h"

/* Opens the counters of process @pid, or for 0 of the only one that uses write watches. @command is for
 * messages. 0, or a negative errno after a message. */
int choose_process(const char *command, pid_t pid, struct counters_file *ret);

bool process_has_ended(const struct counters_file *file);

#endif
