/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small loader of Windows programs for x86_64: sections, relocations, imports.
 * It trusts nothing in the file, and refuses inconsistent ones with a message. It does
 * not know what the imported functions do.
 */
#ifndef WW_TESTS_LOADER_PE_H
#define WW_TESTS_LOADER_PE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Gives the address of a function of a DLL, or NULL. */
typedef void *(*pe_resolve)(void *arg, const char *dll, const char *name);

struct pe {
    char *base; /* the program in memory, NULL: none */
    size_t size;
    void *entry;
    char error[200]; /* why pe_load() failed */
};

/* Maps the program that is in @file, ready to be called at pe->entry. */
bool pe_load(struct pe *pe, const void *file, size_t file_size, pe_resolve resolve, void *arg);
void pe_unload(struct pe *pe);

#endif
