/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads loaded ELF objects as dl_iterate_phdr() shows them: searches their data for pointers, finds the
 * functions that they define, and replaces pointers.
 */
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi.h"
#include "elf.h"

struct search {
    uintptr_t addr;
    struct elf_object *object;
    int result;
};

static bool contains(const struct dl_phdr_info *info, uintptr_t addr)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *phdr = &info->dlpi_phdr[i];

        if (phdr->p_type == PT_LOAD && addr - (info->dlpi_addr + phdr->p_vaddr) < phdr->p_memsz) {
            return true;
        }
    }
    return false;
}

/* Adds a segment if it is readable. False: it wraps around, or there is no room for it. */
static bool add_segment(struct elf_object *object, const ElfW(Phdr) * phdr)
{
    uintptr_t start = object->base + phdr->p_vaddr, end = start + phdr->p_memsz;

    if (!(phdr->p_flags & PF_R) || !phdr->p_memsz) {
        return true;
    }
    if (end < start || object->nr_segments == ELF_MAX_SEGMENTS) {
        return false;
    }
    object->segments[object->nr_segments].start = start;
    object->segments[object->nr_segments].end = end;
    object->segments[object->nr_segments].data_end =
        phdr->p_filesz < phdr->p_memsz ? start + phdr->p_filesz : end;
    object->segments[object->nr_segments++].writable = phdr->p_flags & PF_W;
    return true;
}

int elf_describe(const struct dl_phdr_info *info, struct elf_object *ret)
{
    uintptr_t page_mask = sysconf(_SC_PAGESIZE) - 1;

    *ret = (struct elf_object){ .base = info->dlpi_addr };
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *phdr = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + phdr->p_vaddr;

        if (phdr->p_type == PT_DYNAMIC) {
            ret->dynamic = start;
        }
        if (phdr->p_type == PT_GNU_RELRO) {
            /* Rounded as the loader does: the page in which it ends stays writable. */
            ret->relro_start = start & ~page_mask;
            ret->relro_end = (start + phdr->p_memsz) & ~page_mask;
        }
        if (phdr->p_type == PT_LOAD && !add_segment(ret, phdr)) {
            return -ENOTSUP;
        }
    }
    return 0;
}

static int visit_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct search *search = arg;

    (void)size;
    if (!contains(info, search->addr)) {
        return 0;
    }
    search->result = elf_describe(info, search->object);
    return 1;
}

int elf_find_object(const void *addr, struct elf_object *ret)
{
    struct search search = { .addr = (uintptr_t)addr, .object = ret, .result = -ENOENT };

    dl_iterate_phdr(visit_object, &search);
    return search.result;
}

/* How many bytes there are from @addr to the end of its segment; 0: it is in none. */
static size_t room_at(const struct elf_object *object, uintptr_t addr)
{
    for (size_t i = 0; i < object->nr_segments; i++) {
        if (addr >= object->segments[i].start && addr < object->segments[i].end) {
            return object->segments[i].end - addr;
        }
    }
    return 0;
}

/* Whether a pointer can be replaced there. */
static bool is_slot(const struct elf_object *object, uintptr_t addr)
{
    for (size_t i = 0; i < object->nr_segments; i++) {
        if (object->segments[i].writable && addr >= object->segments[i].start &&
            addr < object->segments[i].end && object->segments[i].end - addr >= sizeof(void *)) {
            return !(addr % sizeof(void *));
        }
    }
    return false;
}

size_t elf_find_pointer(const struct elf_object *object, const void *value, void ***ret_slot)
{
    size_t nr = 0;

    for (size_t i = 0; i < object->nr_segments; i++) {
        uintptr_t pos = object->segments[i].start, end = object->segments[i].data_end;

        pos += -pos % sizeof(void *);
        for (; object->segments[i].writable && pos < end && end - pos >= sizeof(void *);
             pos += sizeof(void *)) {
            if (*(void *const *)pos == value) {
                *ret_slot = (void **)pos;
                nr++;
            }
        }
    }
    return nr;
}

#ifdef __LP64__
#define RELOC_SYMBOL(info) ELF64_R_SYM(info)
#define RELOC_TYPE(info) ELF64_R_TYPE(info)
#else
#define RELOC_SYMBOL(info) ELF32_R_SYM(info)
#define RELOC_TYPE(info) ELF32_R_TYPE(info)
#endif

/* A value of the dynamic section, or 0. */
static uintptr_t dynamic_value(const struct elf_object *object, ElfW(Sxword) tag)
{
    const ElfW(Dyn) *dynamic = (const void *)object->dynamic;
    size_t nr = object->dynamic % sizeof(void *) ? 0 : room_at(object, object->dynamic) / sizeof(*dynamic);

    for (size_t i = 0; i < nr && dynamic[i].d_tag != DT_NULL; i++) {
        if (dynamic[i].d_tag == (__typeof__(dynamic->d_tag))tag) {
            return dynamic[i].d_un.d_ptr;
        }
    }
    return 0;
}

/* A table that the dynamic section names. NULL: it is outside of the segments or not aligned. Some C
 * libraries relocate these addresses in place and others do not. */
static const void *dynamic_table(const struct elf_object *object, ElfW(Sxword) tag, size_t align,
                                 size_t *ret_room)
{
    uintptr_t addr = dynamic_value(object, tag);

    addr += addr && addr < object->base ? object->base : 0;
    *ret_room = addr % align ? 0 : room_at(object, addr);
    return *ret_room ? (const void *)addr : NULL;
}

/* The symbols and their names, and how many of each can be read. */
struct names {
    const ElfW(Sym) * symbols;
    const char *strings;
    size_t nr_symbols, len;
};

static bool is_named(const struct names *names, size_t symbol, const char *name)
{
    size_t size = strlen(name) + 1,
           at = symbol < names->nr_symbols ? names->symbols[symbol].st_name : names->len;

    return at < names->len && size <= names->len - at && !memcmp(names->strings + at, name, size);
}

/* An entry with an addend begins as one without. */
static void **find_in_relocs(const struct elf_object *object, const struct names *names, ElfW(Sxword) table,
                             ElfW(Sxword) table_size, const char *name)
{
    size_t room, size = dynamic_value(object, table_size);
    size_t entry_size = abi.has_addends ? sizeof(ElfW(Rela)) : sizeof(ElfW(Rel));
    const char *relocs = dynamic_table(object, table, sizeof(void *), &room);

    for (size_t i = 0; i < (size < room ? size : room) / entry_size; i++) {
        const ElfW(Rel) *reloc = (const void *)(relocs + i * entry_size);
        unsigned int type = RELOC_TYPE(reloc->r_info);
        uintptr_t slot = object->base + reloc->r_offset;

        if ((type == abi.jump_slot || type == abi.glob_dat) &&
            is_named(names, RELOC_SYMBOL(reloc->r_info), name) && is_slot(object, slot)) {
            return (void **)slot;
        }
    }
    return NULL;
}

void **elf_find_import(const struct elf_object *object, const char *name)
{
    struct names names;
    void **slot;

    names.symbols = dynamic_table(object, DT_SYMTAB, sizeof(void *), &names.nr_symbols);
    names.nr_symbols /= sizeof(*names.symbols);
    names.strings = dynamic_table(object, DT_STRTAB, 1, &names.len);
    slot = find_in_relocs(object, &names, DT_JMPREL, DT_PLTRELSZ, name);
    if (!slot && abi.has_addends) {
        slot = find_in_relocs(object, &names, DT_RELA, DT_RELASZ, name);
    } else if (!slot) {
        slot = find_in_relocs(object, &names, DT_REL, DT_RELSZ, name);
    }
    return slot;
}

/* ---- definitions ---- */

/* A table of 32-bit words. Beyond its end it reads as 0. */
struct words {
    const uint32_t *word;
    size_t nr;
};

static uint32_t word_at(const struct words *words, uint64_t at)
{
    return at < words->nr ? words->word[at] : 0;
}

static struct words words_of(const struct elf_object *object, ElfW(Sxword) tag)
{
    struct words words;

    words.word = dynamic_table(object, tag, sizeof(*words.word), &words.nr);
    words.nr /= sizeof(*words.word);
    return words;
}

#define VERSION_HIDDEN 0x8000 /* not the default version of the name */

/* Whether the symbol is an exported function of that name, in its default version. A function whose address
 * is chosen at run time (IFUNC) does not count. */
static bool is_definition(const struct elf_object *object, const struct names *names, size_t symbol,
                          const char *name)
{
    const ElfW(Sym) * sym;
    size_t nr_versions;
    const uint16_t *versions;

    if (!is_named(names, symbol, name)) {
        return false;
    }
    sym = &names->symbols[symbol];
    versions = dynamic_table(object, DT_VERSYM, sizeof(*versions), &nr_versions);
    nr_versions /= sizeof(*versions);
    return sym->st_shndx != SHN_UNDEF && ELF32_ST_TYPE(sym->st_info) <= STT_FUNC &&
           ELF32_ST_BIND(sym->st_info) != STB_LOCAL && ELF32_ST_VISIBILITY(sym->st_other) != STV_HIDDEN &&
           !(symbol < nr_versions && (versions[symbol] & VERSION_HIDDEN)) &&
           room_at(object, object->base + sym->st_value);
}

static uint32_t gnu_hash(const char *name)
{
    uint32_t hash = 5381;

    for (; *name; name++) {
        hash = hash * 33 + (unsigned char)*name;
    }
    return hash;
}

/* Looks up DT_GNU_HASH: 4 words, a Bloom filter of words as wide as pointers, the buckets, and the hash of
 * each symbol from the first one on. The lowest bit of a hash is set at the end of its bucket. Returns the
 * symbol or 0.
 */
static size_t find_by_gnu_hash(const struct elf_object *object, const struct names *names, const char *name)
{
    struct words table = words_of(object, DT_GNU_HASH);
    uint32_t nr_buckets = word_at(&table, 0), first = word_at(&table, 1), hash = gnu_hash(name), entry = 0;
    uint64_t buckets = 4 + (uint64_t)word_at(&table, 2) * (sizeof(void *) / sizeof(uint32_t)), symbol;

    if (!nr_buckets) {
        return 0;
    }
    symbol = word_at(&table, buckets + hash % nr_buckets);
    for (; symbol && symbol >= first && symbol < names->nr_symbols && !(entry & 1); symbol++) {
        entry = word_at(&table, buckets + nr_buckets + (symbol - first));
        if ((entry | 1) == (hash | 1) && is_definition(object, names, symbol, name)) {
            return symbol;
        }
    }
    return 0;
}

/* For objects without it. DT_HASH has the number of symbols in its second word. */
static size_t find_among_all(const struct elf_object *object, const struct names *names, const char *name)
{
    struct words table = words_of(object, DT_HASH);
    size_t nr = word_at(&table, 1);

    for (size_t symbol = 1; symbol < nr && symbol < names->nr_symbols; symbol++) {
        if (is_definition(object, names, symbol, name)) {
            return symbol;
        }
    }
    return 0;
}

void *elf_find_export(const struct elf_object *object, const char *name)
{
    struct names names;
    size_t symbol;

    names.symbols = dynamic_table(object, DT_SYMTAB, sizeof(void *), &names.nr_symbols);
    names.nr_symbols /= sizeof(*names.symbols);
    names.strings = dynamic_table(object, DT_STRTAB, 1, &names.len);
    symbol = find_by_gnu_hash(object, &names, name);
    symbol = symbol ? symbol : find_among_all(object, &names, name);
    return symbol ? (void *)(object->base + names.symbols[symbol].st_value) : NULL;
}

struct next {
    const char *name;
    uintptr_t self;
    bool seen_self;
    struct elf_definition *definitions;
    size_t nr, capacity;
};

static int visit_next(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct next *next = arg;
    struct elf_object object;
    void *function;

    (void)size;
    if (contains(info, next->self)) {
        next->seen_self = true;
        return 0;
    }
    if (!next->seen_self || elf_describe(info, &object)) {
        return 0;
    }
    function = elf_find_export(&object, next->name);
    if (function) {
        next->definitions[next->nr++] = (struct elf_definition){ .function = function, .object = object };
    }
    return next->nr == next->capacity;
}

size_t elf_find_next(const char *name, const void *self, struct elf_definition *ret, size_t capacity)
{
    struct next next = { .name = name, .self = (uintptr_t)self, .definitions = ret, .capacity = capacity };

    dl_iterate_phdr(visit_next, &next);
    return next.nr;
}

bool elf_contains(const struct elf_object *object, const void *addr)
{
    return room_at(object, (uintptr_t)addr);
}

/* ---- replacing ---- */

/* Changes the protection of those slots' pages that the loader has made read-only. */
static int protect_slots(const struct elf_object *object, void **const slots[], size_t nr, int prot)
{
    uintptr_t page_mask = sysconf(_SC_PAGESIZE) - 1;

    for (size_t i = 0; i < nr; i++) {
        uintptr_t page = (uintptr_t)slots[i] & ~page_mask;

        if (page >= object->relro_start && page < object->relro_end &&
            mprotect((void *)page, page_mask + 1, prot)) {
            return -errno;
        }
    }
    return 0;
}

/* Everything that can fail comes before the first store, which might not be possible to undo. */
int elf_replace_pointers(const struct elf_object *object, void **const slots[], void *const values[],
                         size_t nr)
{
    int err;

    for (size_t i = 0; i < nr; i++) {
        if (!is_slot(object, (uintptr_t)slots[i])) {
            return -EINVAL;
        }
    }
    err = protect_slots(object, slots, nr, PROT_READ | PROT_WRITE);
    for (size_t i = 0; i < nr && !err; i++) {
        __atomic_store_n(slots[i], values[i], __ATOMIC_RELEASE);
    }
    protect_slots(object, slots, nr, PROT_READ);
    return err;
}
