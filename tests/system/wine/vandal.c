/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded in front of ours under real Wine: opens ntdll.so first, damages one thing
 * in it as VANDAL says, lets our preload try to attach, and compares all of ntdll.so's
 * data, word for word, with what it was before that. Writes the result to the file
 * VANDAL_LOG, one line a process, and one more at its end.
 *
 * VANDAL is a damage and, after a colon, its target: see the table damages[]. Every
 * damage leaves ntdll.so in working order. 64-bit only.
 */
#if defined(__x86_64__)
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NR_CALLS 6
#define NR_IMPORTS 4
#define MAX_WORDS 65536

static const char *const calls[NR_CALLS] = {
    "NtAllocateVirtualMemory", "NtAllocateVirtualMemoryEx", "NtFreeVirtualMemory",
    "NtProtectVirtualMemory",  "NtGetWriteWatch",           "NtResetWriteWatch",
};

/* ---- ntdll.so as it is loaded ---- */

static struct {
    void *handle;
    uintptr_t base, start, end;       /* its writable segment */
    uintptr_t relro_start, relro_end; /* its pages that are read-only by now */
    const ElfW(Dyn) * dynamic;
} ntdll;

static int look(struct dl_phdr_info *info, size_t size, void *function)
{
    uintptr_t addr = (uintptr_t)function, page = sysconf(_SC_PAGESIZE);
    bool found = false;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

        found = found || (info->dlpi_phdr[i].p_type == PT_LOAD && addr >= start &&
                          addr < start + info->dlpi_phdr[i].p_memsz);
    }
    for (int i = 0; found && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *phdr = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + phdr->p_vaddr;

        ntdll.base = info->dlpi_addr;
        if (phdr->p_type == PT_LOAD && (phdr->p_flags & PF_W)) {
            ntdll.start = start;
            ntdll.end = start + phdr->p_memsz;
        } else if (phdr->p_type == PT_GNU_RELRO) {
            ntdll.relro_start = start & -page;
            ntdll.relro_end = (start + phdr->p_memsz) & -page;
        } else if (phdr->p_type == PT_DYNAMIC) {
            ntdll.dynamic = (const ElfW(Dyn) *)start;
        }
    }
    return found;
}

static void fail(const char *what)
{
    dprintf(2, "vandal: %s\n", what);
    _exit(99);
}

static void *function(const char *name)
{
    void *found = dlsym(ntdll.handle, name);

    if (!found) {
        fail(name);
    }
    return found;
}

static uintptr_t dynamic(ElfW(Sxword) tag)
{
    const ElfW(Dyn) *entry = ntdll.dynamic;

    while (entry->d_tag != DT_NULL && entry->d_tag != tag) {
        entry++;
    }
    return entry->d_tag == DT_NULL ? 0 : entry->d_un.d_ptr;
}

/* The only word of its data that holds this value. */
static uintptr_t *find_word(uintptr_t value)
{
    uintptr_t *found = NULL;

    for (uintptr_t *word = (uintptr_t *)ntdll.start; (uintptr_t)(word + 1) <= ntdll.end; word++) {
        if (*word == value) {
            found = found ? (fail("a word is there twice"), word) : word;
        }
    }
    return found ? found : (fail("no such word"), found);
}

static uintptr_t *slot_of(const char *name)
{
    return find_word((uintptr_t)function(name));
}

/* The import of this name: its symbol and its slot. */
static ElfW(Sym) * find_import(const char *name, uintptr_t **ret_slot)
{
    const ElfW(Rela) *relocs = (const ElfW(Rela) *)dynamic(DT_JMPREL);
    const char *strings = (const char *)dynamic(DT_STRTAB);

    for (size_t i = 0; i < dynamic(DT_PLTRELSZ) / sizeof(*relocs); i++) {
        ElfW(Sym) *symbol = (ElfW(Sym) *)dynamic(DT_SYMTAB) + ELF64_R_SYM(relocs[i].r_info);

        if (!strcmp(strings + symbol->st_name, name)) {
            *ret_slot = (uintptr_t *)(ntdll.base + relocs[i].r_offset);
            return symbol;
        }
    }
    fail("no such import");
    return NULL;
}

/* Writes to a page that may be read-only, and stays so. */
static void store(void *at, const void *value, size_t len)
{
    uintptr_t page = sysconf(_SC_PAGESIZE), start = (uintptr_t)at & -page;
    size_t size = (((uintptr_t)at + len + page - 1) & -page) - start;
    bool closed = start < ntdll.start || (start >= ntdll.relro_start && start < ntdll.relro_end);

    /* Not by the mprotect() below, which may refuse. */
    if (syscall(SYS_mprotect, start, size, PROT_READ | PROT_WRITE)) {
        fail("mprotect");
    }
    memcpy(at, value, len);
    if (closed) {
        syscall(SYS_mprotect, start, size, PROT_READ);
    }
}

static void store_word(uintptr_t *at, uintptr_t value)
{
    store(at, &value, sizeof(value));
}

/* ---- other hooks: they count, and jump to the original in any calling convention ---- */

#define NR_HOOKS (NR_CALLS + 1) /* the last is for an import */

uintptr_t vandal_originals[NR_HOOKS] __attribute__((visibility("hidden")));
unsigned int vandal_counts[NR_HOOKS] __attribute__((visibility("hidden")));

#define HOOK(n)                                                                                              \
    void vandal_hook_##n(void) __attribute__((visibility("hidden")));                                        \
    __asm__(".globl vandal_hook_" #n "\n.hidden vandal_hook_" #n "\nvandal_hook_" #n ":\n\t"                 \
            "lock incl vandal_counts+4*" #n "(%rip)\n\t"                                                     \
            "jmp *vandal_originals+8*" #n "(%rip)\n")
HOOK(0);
HOOK(1);
HOOK(2);
HOOK(3);
HOOK(4);
HOOK(5);
HOOK(6);

static void (*const hooks[NR_HOOKS])(void) = {
    vandal_hook_0, vandal_hook_1, vandal_hook_2, vandal_hook_3, vandal_hook_4, vandal_hook_5, vandal_hook_6,
};

static void hook_slot(int index, uintptr_t *slot)
{
    vandal_originals[index] = *slot;
    store_word(slot, (uintptr_t)hooks[index]);
}

static int call_index(const char *name)
{
    for (int i = 0; i < NR_CALLS; i++) {
        if (!strcmp(calls[i], name)) {
            return i;
        }
    }
    fail("no such call");
    return 0;
}

/* ---- damages ---- */

static void do_nothing(const char *arg)
{
    (void)arg;
}

static void zero_slot(const char *name)
{
    store_word(slot_of(name), 0);
}

static void hook_call(const char *name)
{
    hook_slot(call_index(name), slot_of(name));
}

static void hook_all_calls(const char *arg)
{
    (void)arg;
    for (int i = 0; i < NR_CALLS; i++) {
        hook_slot(i, slot_of(calls[i]));
    }
}

/* Stores the pointer after the end of the dynamic section, where the linker leaves unused room. */
static void double_pointer(const char *name)
{
    const ElfW(Dyn) *end = ntdll.dynamic;

    while (end->d_tag != DT_NULL) {
        end++;
    }
    store_word((uintptr_t *)&end->d_un.d_ptr, (uintptr_t)function(name));
}

/* As if the table were somewhere else: slots that are empty while ours searches, and put back before Wine
 * needs them. */
static uintptr_t *emptied[NR_CALLS], emptied_values[NR_CALLS];

static void empty_all_slots(const char *arg)
{
    (void)arg;
    for (int i = 0; i < NR_CALLS; i++) {
        emptied[i] = slot_of(calls[i]);
        emptied_values[i] = *emptied[i];
        store_word(emptied[i], 0);
    }
}

/* A symbol that has no name while ours searches, and has it back before Wine's loader may look it up. */
static ElfW(Sym) * nameless;
static ElfW(Word) name_of_nameless;

static void take_name(ElfW(Sym) * symbol)
{
    ElfW(Word) none = 0;

    nameless = symbol;
    name_of_nameless = symbol->st_name;
    store(&symbol->st_name, &none, sizeof(none));
}

static void hide_export(const char *name)
{
    ElfW(Sym) * symbol;
    Dl_info info;

    if (!dladdr1(function(name), &info, (void **)&symbol, RTLD_DL_SYMENT) || strcmp(info.dli_sname, name)) {
        fail("no such symbol");
    }
    take_name(symbol);
    if (dlsym(ntdll.handle, name)) {
        fail("the symbol is still there");
    }
}

static void hide_import(const char *name)
{
    uintptr_t *slot;

    take_name(find_import(name, &slot));
}

static void hook_import(const char *name)
{
    uintptr_t *slot;

    find_import(name, &slot);
    hook_slot(NR_CALLS, slot);
}

/* After @arg calls, mprotect() refuses to make read-only data of ntdll.so writable. */
static long nr_allowed = -1;

static void refuse_mprotect(const char *arg)
{
    nr_allowed = strtol(arg, NULL, 10);
}

/* The same, but it refuses only once, as if mappings had been short at that moment. */
static bool refuse_once;

static void refuse_mprotect_once(const char *arg)
{
    refuse_once = true;
    refuse_mprotect(arg);
}

__attribute__((visibility("default"))) int mprotect(void *addr, size_t len, int prot)
{
    uintptr_t start = (uintptr_t)addr;

    if (nr_allowed >= 0 && (prot & PROT_WRITE) && start >= ntdll.relro_start && start < ntdll.relro_end) {
        if (nr_allowed == 0) {
            nr_allowed = refuse_once ? -1 : 0;
            errno = ENOMEM;
            return -1;
        }
        nr_allowed--;
    }
    return syscall(SYS_mprotect, addr, len, prot);
}

static const struct {
    const char *name;
    void (*apply)(const char *arg);
} damages[] = {
    { "none", do_nothing },
    { "zero", zero_slot },
    { "hook", hook_call },
    { "hook-all", hook_all_calls },
    { "double", double_pointer },
    { "empty", empty_all_slots },
    { "hide-export", hide_export },
    { "hide-import", hide_import },
    { "hook-import", hook_import },
    { "refuse", refuse_mprotect },
    { "refuse-once", refuse_mprotect_once },
};

static void damage(const char *what)
{
    size_t len = strcspn(what, ":");

    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        if (strlen(damages[i].name) == len && !strncmp(damages[i].name, what, len)) {
            damages[i].apply(what + len + (what[len] == ':'));
            return;
        }
    }
    fail("no such damage");
}

/* ---- before and after ---- */

static uintptr_t before[MAX_WORDS];
static uintptr_t *imports[NR_IMPORTS];

static size_t nr_words(void)
{
    size_t nr = (ntdll.end - ntdll.start) / sizeof(uintptr_t);

    return nr <= MAX_WORDS ? nr : (fail("too much data"), nr);
}

static void report(const char *when, size_t nr_changed)
{
    const char *path = getenv("VANDAL_LOG");
    int fd = open(path ? path : "/dev/null", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    unsigned int nr_calls = 0;

    for (int i = 0; i < NR_HOOKS; i++) {
        nr_calls += vandal_counts[i];
    }
    dprintf(fd, "%s: %zu words changed, hooks %s\n", when, nr_changed, nr_calls ? "called" : "idle");
    close(fd);
}

static size_t count_changes(void)
{
    size_t nr = 0;

    for (size_t i = 0; i < nr_words(); i++) {
        nr += ((uintptr_t *)ntdll.start)[i] != before[i];
    }
    return nr;
}

/* Changes at the end of the process, in read-only data and the imports: other data may have changed by then.
 */
static size_t count_late_changes(void)
{
    uintptr_t *first = (uintptr_t *)ntdll.start, *word;
    size_t nr = 0;

    for (word = first; (uintptr_t)word < ntdll.relro_end; word++) {
        nr += *word != before[word - first];
    }
    for (int i = 0; i < NR_IMPORTS; i++) {
        nr += *imports[i] != before[imports[i] - first];
    }
    return nr;
}

/* To be called before the damage, which may hide one of them. */
static void find_imports(void)
{
    static const char *const names[NR_IMPORTS] = { "mmap", "munmap", "mprotect", "madvise" };

    for (int i = 0; i < NR_IMPORTS; i++) {
        find_import(names[i], &imports[i]);
    }
}

static void take_picture(void)
{
    memcpy(before, (void *)ntdll.start, nr_words() * sizeof(uintptr_t));
}

static void put_back(void)
{
    if (nameless) {
        store(&nameless->st_name, &name_of_nameless, sizeof(name_of_nameless));
    }
    for (int i = 0; i < NR_CALLS && emptied[i]; i++) {
        store_word(emptied[i], emptied_values[i]);
        before[emptied[i] - (uintptr_t *)ntdll.start] = emptied_values[i];
    }
}

__attribute__((destructor)) static void look_again(void)
{
    if (ntdll.handle) {
        report("end", count_late_changes());
    }
}

__attribute__((visibility("default"))) void *dlopen(const char *file, int mode)
{
    void *(*next)(const char *, int) = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
    const char *name = file ? strrchr(file, '/') : NULL, *what = getenv("VANDAL");
    void *handle;

    if (ntdll.handle || !what || !name || strcmp(name, "/ntdll.so")) {
        return next(file, mode);
    }
    ntdll.handle = dlmopen(LM_ID_BASE, file, mode);
    if (!ntdll.handle || !dl_iterate_phdr(look, function("NtClose"))) {
        fail("no ntdll.so");
    }
    find_imports();
    damage(what);
    take_picture();
    handle = next(file, mode);
    nr_allowed = -1;
    report("attach", count_changes());
    put_back();
    return handle;
}
#endif
