/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds and replaces function pointers in the initialised data of a loaded ELF object, by value or by the
 * name of an import, and finds the functions that objects define. Knows nothing of Wine.
 *
 * The object is trusted as far as the loader had to trust it when it mapped the segments. Nothing outside of
 * them is read or written. An entry that does not fit is not found.
 */
#ifndef WW_DLLS_NTDLL_ELF_H
#define WW_DLLS_NTDLL_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_MAX_SEGMENTS 16

/* The readable segments of one object in memory, and the part that the loader has made read-only. */
struct elf_object {
    size_t nr_segments;
    struct {
        uintptr_t start, end;
        uintptr_t data_end; /* of the bytes from the file; zeros follow */
        bool writable;
    } segments[ELF_MAX_SEGMENTS];
    uintptr_t relro_start, relro_end; /* whole pages */
    uintptr_t base;                   /* the load bias: addresses in memory minus those in the file */
    uintptr_t dynamic;                /* the dynamic section; 0: none */
};

struct dl_phdr_info;

/* Describes a loaded object. 0; -ENOTSUP: a segment wraps around, or there are too many. */
int elf_describe(const struct dl_phdr_info *info, struct elf_object *ret);

/* Describes the loaded object that contains @addr. 0, -ENOENT or -ENOTSUP. */
int elf_find_object(const void *addr, struct elf_object *ret);

/* Counts the aligned words equal to @value in the object's data; *@ret_slot is the last. */
size_t elf_find_pointer(const struct elf_object *object, const void *value, void ***ret_slot);

/* The slot through which the object calls the imported function @name, an aligned word of a writable segment,
 * or NULL. */
void **elf_find_import(const struct elf_object *object, const char *name);

/* The function that the object exports by that name, or NULL. */
void *elf_find_export(const struct elf_object *object, const char *name);

struct elf_definition {
    void *function;
    struct elf_object object;
};

/*
 * Finds the functions of that name in the objects after the one that contains @self, in the loader's order of
 * lookup: what dlsym(RTLD_NEXT) gives, and those after it. Calls no function that others may interpose.
 * Returns how many, at most @capacity, which is not 0.
 */
size_t elf_find_next(const char *name, const void *self, struct elf_definition *ret, size_t capacity);

bool elf_contains(const struct elf_object *object, const void *addr);

/* Stores values[i] in slots[i]. Pages that the loader made read-only are so afterwards. Returns 0, or a
 * negative errno, with which no slot is changed; -EINVAL: one is not an aligned word of a writable segment.
 */
int elf_replace_pointers(const struct elf_object *object, void **const slots[], void *const values[],
                         size_t nr);

#endif
