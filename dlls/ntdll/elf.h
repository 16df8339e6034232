/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding and replacing function pointers in the initialised data of a loaded
 * ELF object, by value or by the name of an import. Knows nothing of Wine.
 */
#ifndef WW_DLLS_NTDLL_ELF_H
#define WW_DLLS_NTDLL_ELF_H

#include <stddef.h>
#include <stdint.h>

#define ELF_MAX_SEGMENTS 8

/* The writable segments of one object, as they lie in memory, and what of them
 * the loader has made read-only. */
struct elf_object {
    size_t nr_segments;
    struct {
        uintptr_t start, end;
    } segments[ELF_MAX_SEGMENTS];
    uintptr_t relro_start, relro_end;
    uintptr_t base;      /* what was added to the addresses in the file */
    const void *dynamic; /* the dynamic section */
};

/* Describes the loaded object that contains @addr. 0, or -ENOENT. */
int elf_find_object(const void *addr, struct elf_object *ret);

/* Counts the aligned words equal to @value in the object's data; *@ret_slot is the last. */
size_t elf_find_pointer(const struct elf_object *object, const void *value, void ***ret_slot);

/* The slot through which the object calls the function @name of another one, or NULL. */
void **elf_find_import(const struct elf_object *object, const char *name);

/* Stores values[i] in slots[i], which may be read-only before and after: all of them, or none and
 * returns a negative errno. */
int elf_replace_pointers(const struct elf_object *object, void **const slots[], void *const values[],
                         size_t nr);

#endif
