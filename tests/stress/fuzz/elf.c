/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dlls/ntdll/elf.c over a damaged or foreign image: program headers, dynamic
 * section, relocations, symbols and names are the input's bytes. Only what the
 * loader itself would have mapped is accessible: other pages of the image are
 * PROT_NONE, and other bytes are poisoned under AddressSanitizer.
 *
 * Whatever the image says, elf.c must read nothing outside of its readable segments,
 * change nothing outside of its writable ones, and find only words in those.
 */
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../../../dlls/ntdll/elf.h"
#include "fuzz.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define CHECKED_BYTES
#endif
#endif

#define NR_PAGES 3
#define PAGE 4096
#define IMAGE_SIZE (NR_PAGES * PAGE)
#define MAX_PHDRS 24

/* Always the same address, so that an input can hold relocated addresses. */
static char *const image = APART;

static ElfW(Phdr) phdrs[MAX_PHDRS];
static struct dl_phdr_info info;
static uintptr_t relro_start, relro_end; /* the pages that the loader made read-only */
static bool wraps;                       /* a segment wraps around, or there are too many */
static unsigned char readable[IMAGE_SIZE], writable[IMAGE_SIZE];
static char before[IMAGE_SIZE];

/* ---- an image ---- */

static void mark_segment(const ElfW(Phdr) * phdr)
{
    size_t start = info.dlpi_addr + phdr->p_vaddr - (uintptr_t)image;

    if (phdr->p_flags & PF_R) {
        memset(readable + start, 1, phdr->p_memsz);
    }
    if ((phdr->p_flags & PF_R) && (phdr->p_flags & PF_W)) {
        memset(writable + start, 1, phdr->p_memsz);
    }
}

/* A segment within the image, as the loader maps them; or one that wraps around, which no loader can map. */
static void take_load(struct input *input, ElfW(Phdr) * phdr)
{
    uintptr_t start = take(input, 2) % IMAGE_SIZE;

    if (take(input, 1) == 255) {
        phdr->p_vaddr = -(uintptr_t)PAGE - info.dlpi_addr;
        phdr->p_memsz = PAGE + 1 + start;
        wraps |= phdr->p_flags & PF_R;
        return;
    }
    phdr->p_vaddr = (uintptr_t)image + start - info.dlpi_addr;
    phdr->p_memsz = take(input, 2) % (IMAGE_SIZE - start + 1);
    phdr->p_filesz = take_bool(input) ? phdr->p_memsz : take(input, 4);
}

static void take_phdrs(struct input *input)
{
    static const ElfW(Word) types[] = { PT_LOAD, PT_DYNAMIC, PT_GNU_RELRO, PT_NOTE };
    size_t nr_loads = 0;

    info = (struct dl_phdr_info){ .dlpi_addr = (uintptr_t)image, .dlpi_name = "", .dlpi_phdr = phdrs };
    info.dlpi_addr -= take_bool(input) ? take(input, 4) * PAGE : 0;
    info.dlpi_phnum = take_below(input, MAX_PHDRS + 1);
    wraps = false;
    relro_start = relro_end = 0;
    memset(phdrs, 0, sizeof(phdrs));
    memset(readable, 0, sizeof(readable));
    memset(writable, 0, sizeof(writable));
    for (int i = 0; i < info.dlpi_phnum; i++) {
        unsigned int kind = take(input, 1);

        phdrs[i].p_type = types[kind % 4];
        phdrs[i].p_flags = kind >> 4;
        if (phdrs[i].p_type == PT_LOAD) {
            take_load(input, &phdrs[i]);
            nr_loads += (phdrs[i].p_flags & PF_R) && phdrs[i].p_memsz;
        } else {
            phdrs[i].p_vaddr = kind & 8 ? take(input, 8) : (uintptr_t)image - info.dlpi_addr + take(input, 2);
            phdrs[i].p_memsz = take(input, kind & 8 ? 8 : 2);
        }
        if (phdrs[i].p_type == PT_GNU_RELRO) {
            relro_start = (info.dlpi_addr + phdrs[i].p_vaddr) / PAGE * PAGE;
            relro_end = (info.dlpi_addr + phdrs[i].p_vaddr + phdrs[i].p_memsz) / PAGE * PAGE;
        }
    }
    wraps |= nr_loads > ELF_MAX_SEGMENTS;
    for (int i = 0; i < info.dlpi_phnum && !wraps; i++) {
        if (phdrs[i].p_type == PT_LOAD) {
            mark_segment(&phdrs[i]);
        }
    }
}

static bool any(const unsigned char *bytes)
{
    return memchr(bytes, 1, PAGE) != NULL;
}

static int page_prot(size_t page)
{
    uintptr_t addr = (uintptr_t)image + page * PAGE;
    bool relro = addr >= relro_start && addr < relro_end;

    if (!any(readable + page * PAGE)) {
        return PROT_NONE;
    }
    return any(writable + page * PAGE) && !relro ? PROT_READ | PROT_WRITE : PROT_READ;
}

/* Fills the image with the rest of the input, and protects it as the loader does. */
static void load_image(struct input *input)
{
    size_t size, at = take(input, 2) % IMAGE_SIZE;

    must(mmap(image, IMAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
             image,
         "mmap");
    size = input->left < IMAGE_SIZE - at ? input->left : IMAGE_SIZE - at;
    memcpy(image + at, input->at, size);
    memcpy(before, image, IMAGE_SIZE);
    for (size_t i = 0; i < NR_PAGES; i++) {
        must(!mprotect(image + i * PAGE, PAGE, page_prot(i)), "mprotect");
    }
#ifdef CHECKED_BYTES
    for (size_t i = 0; i < IMAGE_SIZE; i++) {
        if (!readable[i]) {
            ASAN_POISON_MEMORY_REGION(image + i, 1);
        }
    }
#endif
}

static void unload_image(void)
{
#ifdef CHECKED_BYTES
    ASAN_UNPOISON_MEMORY_REGION(image, IMAGE_SIZE);
#endif
    must(!mprotect(image, IMAGE_SIZE, PROT_READ | PROT_WRITE), "mprotect");
}

/* ---- what must hold ---- */

static bool is_word_of_data(const void *slot)
{
    uintptr_t at = (uintptr_t)slot - (uintptr_t)image;

    if ((uintptr_t)slot % sizeof(void *) || at > IMAGE_SIZE - sizeof(void *)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(void *); i++) {
        if (!writable[at + i]) {
            return false;
        }
    }
    return true;
}

/* Protections must be as the loader left them. process_vm_writev() shows that without a signal. */
static void check_protections(void)
{
    char own = 0;
    struct iovec known = { .iov_base = &own, .iov_len = 1 };

    if (process_vm_writev(getpid(), &known, 1, &known, 1, 0) != 1) {
        return; /* a sandbox denies the system call */
    }
    for (size_t i = 0; i < NR_PAGES; i++) {
        size_t at = (const unsigned char *)memchr(readable + i * PAGE, 1, PAGE) - readable;
        struct iovec byte = { .iov_base = image + at, .iov_len = 1 };
        bool open = page_prot(i) & PROT_WRITE;

        must(page_prot(i) == PROT_NONE || (process_vm_writev(getpid(), &byte, 1, &byte, 1, 0) == 1) == open,
             "page %zu is %swritable", i, open ? "not " : "");
    }
}

/* Replaces a word that was found, which must work. */
static void replace(const struct elf_object *object, void **slot)
{
    void *value = (void *)0x1122334455667788;

    must(is_word_of_data(slot), "found %p", (void *)slot);
    must(!elf_replace_pointers(object, &slot, &value, 1) && *slot == value, "a slot cannot be replaced");
    memcpy(before + ((char *)slot - image), &value, sizeof(value));
}

static int store_null(const struct elf_object *object, uintptr_t addr)
{
    void **slot = (void **)addr, *value = NULL;

    return elf_replace_pointers(object, &slot, &value, 1);
}

/* Replaces at any address, which must be refused unless a word of a segment is there. */
static void replace_anywhere(const struct elf_object *object, uintptr_t addr)
{
    bool good = is_word_of_data((void *)addr);
    int err;

    if (addr - (uintptr_t)image >= IMAGE_SIZE) {
        must(store_null(object, addr) == -EINVAL, "%#zx is in no segment", (size_t)addr);
        return;
    }
    err = store_null(object, addr);
    must(err == -EINVAL || (!err && good), "%d at %#zx", err, (size_t)addr);
    if (!err) {
        memset(before + (addr - (uintptr_t)image), 0, sizeof(void *));
    }
}

static void search(const struct elf_object *object, uintptr_t addr, const void *value)
{
    static const char *const names[] = { "mmap", "munmap", "", "madvise", "m" };
    void **slot;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        slot = elf_find_import(object, names[i]);
        if (slot) {
            replace(object, slot);
        }
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        void *function = elf_find_export(object, names[i]);

        must(!function || elf_contains(object, function), "%s at %p is in no segment", names[i], function);
    }
    if (elf_find_pointer(object, value, &slot)) {
        replace(object, slot);
    }
    replace_anywhere(object, addr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { .at = data, .left = size };
    struct elf_object object;
    uintptr_t addr, value;
    int err;

    if (sysconf(_SC_PAGESIZE) != PAGE) {
        return 0;
    }
    take_phdrs(&input);
    addr = take_bool(&input) ? take(&input, 8) : (uintptr_t)image + take(&input, 2);
    value = take(&input, 8);
    err = elf_describe(&info, &object);
    must(err == (wraps ? -ENOTSUP : 0), "%d for %s segments", err, wraps ? "impossible" : "possible");
    if (!err) {
        load_image(&input);
        search(&object, addr, (void *)value);
        check_protections();
        unload_image();
        must(!memcmp(image, before, IMAGE_SIZE), "something else was changed");
    }
    return 0;
}
