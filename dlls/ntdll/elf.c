/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loaded ELF objects as dl_iterate_phdr() shows them: a search for pointers in
 * their data, and the replacement of one.
 */
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf.h"

struct search {
    uintptr_t addr;
    struct elf_object *object;
    bool found;
};

static bool contains(const struct dl_phdr_info *info, uintptr_t addr)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *phdr = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + phdr->p_vaddr;

        if (phdr->p_type == PT_LOAD && addr >= start && addr - start < phdr->p_memsz) {
            return true;
        }
    }
    return false;
}

static int visit_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct search *search = arg;
    struct elf_object *object = search->object;

    (void)size;
    if (!contains(info, search->addr)) {
        return 0;
    }
    search->found = true;
    *object = (struct elf_object){ .base = info->dlpi_addr };
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *phdr = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + phdr->p_vaddr;

        if (phdr->p_type == PT_DYNAMIC) {
            object->dynamic = (const void *)start;
        }
        if (phdr->p_type == PT_GNU_RELRO) {
            object->relro_start = start;
            object->relro_end = start + phdr->p_memsz;
        }
        if (phdr->p_type == PT_LOAD && (phdr->p_flags & PF_W) && (phdr->p_flags & PF_R) &&
            object->nr_segments < ELF_MAX_SEGMENTS) {
            object->segments[object->nr_segments].start = start;
            object->segments[object->nr_segments++].end = start + phdr->p_filesz;
        }
    }
    return 1;
}

int elf_find_object(const void *addr, struct elf_object *ret)
{
    struct search search = { .addr = (uintptr_t)addr, .object = ret };

    dl_iterate_phdr(visit_object, &search);
    return search.found ? 0 : -ENOENT;
}

size_t elf_find_pointer(const struct elf_object *object, const void *value, void ***ret_slot)
{
    size_t nr = 0;

    for (size_t i = 0; i < object->nr_segments; i++) {
        uintptr_t pos = (object->segments[i].start + sizeof(void *) - 1) & ~(sizeof(void *) - 1);

        for (; pos + sizeof(void *) <= object->segments[i].end; pos += sizeof(void *)) {
            if (*(void *const *)pos == value) {
                *ret_slot = (void **)pos;
                nr++;
            }
        }
    }
    return nr;
}

#if defined(__LP64__)
typedef ElfW(Rela) elf_reloc;
#define RELOC_SYMBOL(info) ELF64_R_SYM(info)
#define RELOC_TYPE(info) ELF64_R_TYPE(info)
#define TYPE_JUMP_SLOT R_X86_64_JUMP_SLOT
#define TYPE_GLOB_DAT R_X86_64_GLOB_DAT
#define TAG_RELOCS DT_RELA
#define TAG_RELOCS_SIZE DT_RELASZ
#else
typedef ElfW(Rel) elf_reloc;
#define RELOC_SYMBOL(info) ELF32_R_SYM(info)
#define RELOC_TYPE(info) ELF32_R_TYPE(info)
#define TYPE_JUMP_SLOT R_386_JMP_SLOT
#define TYPE_GLOB_DAT R_386_GLOB_DAT
#define TAG_RELOCS DT_REL
#define TAG_RELOCS_SIZE DT_RELSZ
#endif

/* A value of the dynamic section; 0 if it is not there. */
static uintptr_t dynamic_value(const struct elf_object *object, ElfW(Sxword) tag)
{
    const ElfW(Dyn) *dynamic = object->dynamic;

    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        if (dynamic->d_tag == (__typeof__(dynamic->d_tag))tag) {
            return dynamic->d_un.d_ptr;
        }
    }
    return 0;
}

/* An address of the dynamic section, which some C libraries relocate in place and others do not. */
static const void *dynamic_pointer(const struct elf_object *object, ElfW(Sxword) tag)
{
    uintptr_t value = dynamic_value(object, tag);

    return (const void *)(value && value < object->base ? value + object->base : value);
}

static void **find_in_relocs(const struct elf_object *object, const elf_reloc *relocs, size_t size,
                             const char *name)
{
    const ElfW(Sym) *symbols = dynamic_pointer(object, DT_SYMTAB);
    const char *strings = dynamic_pointer(object, DT_STRTAB);

    for (size_t i = 0; relocs && symbols && strings && i < size / sizeof(*relocs); i++) {
        unsigned int type = RELOC_TYPE(relocs[i].r_info);

        if ((type == TYPE_JUMP_SLOT || type == TYPE_GLOB_DAT) &&
            !strcmp(strings + symbols[RELOC_SYMBOL(relocs[i].r_info)].st_name, name)) {
            return (void **)(object->base + relocs[i].r_offset);
        }
    }
    return NULL;
}

void **elf_find_import(const struct elf_object *object, const char *name)
{
    void **slot =
        find_in_relocs(object, dynamic_pointer(object, DT_JMPREL), dynamic_value(object, DT_PLTRELSZ), name);

    return slot ? slot
                : find_in_relocs(object, dynamic_pointer(object, TAG_RELOCS),
                                 dynamic_value(object, TAG_RELOCS_SIZE), name);
}

/* Of the pages that the loader has made read-only. */
static int protect_slots(const struct elf_object *object, void **const slots[], size_t nr, int prot)
{
    uintptr_t page_mask = sysconf(_SC_PAGESIZE) - 1;

    for (size_t i = 0; i < nr; i++) {
        uintptr_t slot = (uintptr_t)slots[i];

        if (slot >= object->relro_start && slot < object->relro_end &&
            mprotect((void *)(slot & ~page_mask), page_mask + 1, prot)) {
            return -errno;
        }
    }
    return 0;
}

/* Nothing can fail any more once the first is stored: it might not be possible to take it back. */
int elf_replace_pointers(const struct elf_object *object, void **const slots[], void *const values[],
                         size_t nr)
{
    int err = protect_slots(object, slots, nr, PROT_READ | PROT_WRITE);

    for (size_t i = 0; i < nr && !err; i++) {
        __atomic_store_n(slots[i], values[i], __ATOMIC_RELEASE);
    }
    protect_slots(object, slots, nr, PROT_READ);
    return err;
}
