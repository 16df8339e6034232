/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef WW_PROGRAMS_TREE_H
#define WW_PROGRAMS_TREE_H

/* Removes a folder with all that it contains, and follows no symbolic link. What cannot be removed stays. */
void remove_tree(const char *path);

#endif
