/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The steps of loading a program, in order: headers, sections, relocations,
 * imports, protections. Every offset from the file goes through file_read(),
 * image_read() or image_write(), which check it; structures are copied out, since
 * a damaged file need not align them.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define WIN32_NO_STATUS
#include "windef.h"
#include "winnt.h"

#include "pe.h"

#define PAGE_BYTES ((size_t)0x1000)
#define MAX_IMAGE ((size_t)256 << 20)
#define MAX_IMPORTS 4096
#define MAX_NAME 100

/* State that is needed only while the program is being loaded. */
struct loading {
    struct pe *pe;
    const char *file;
    size_t file_size, sections_at;
    IMAGE_NT_HEADERS64 headers;
    pe_resolve resolve;
    void *arg;
    unsigned int nr_imports;
};

__attribute__((format(printf, 2, 3))) static bool fail(struct loading *load, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(load->pe->error, sizeof(load->pe->error), format, args);
    va_end(args);
    return false;
}

/* ---- checked access ---- */

static bool inside(size_t offset, size_t len, size_t size)
{
    return offset <= size && len <= size - offset;
}

static bool file_read(const struct loading *load, size_t offset, void *ret, size_t len)
{
    if (!inside(offset, len, load->file_size)) {
        return false;
    }
    memcpy(ret, load->file + offset, len);
    return true;
}

static bool image_read(const struct loading *load, size_t rva, void *ret, size_t len)
{
    if (!inside(rva, len, load->pe->size)) {
        return false;
    }
    memcpy(ret, load->pe->base + rva, len);
    return true;
}

static bool image_write(const struct loading *load, size_t rva, const void *value, size_t len)
{
    if (!inside(rva, len, load->pe->size)) {
        return false;
    }
    memcpy(load->pe->base + rva, value, len);
    return true;
}

/* Copies a string. False: it is longer than MAX_NAME or leaves the image. */
static bool image_string(const struct loading *load, size_t rva, char ret[MAX_NAME])
{
    for (size_t i = 0; i < MAX_NAME; i++) {
        if (!image_read(load, rva + i, &ret[i], 1)) {
            return false;
        }
        if (!ret[i]) {
            return true;
        }
    }
    return false;
}

static IMAGE_DATA_DIRECTORY directory(const struct loading *load, unsigned int index)
{
    if (index >= load->headers.OptionalHeader.NumberOfRvaAndSizes) {
        return (IMAGE_DATA_DIRECTORY){ .Size = 0 };
    }
    return load->headers.OptionalHeader.DataDirectory[index];
}

/* ---- headers ---- */

/* What this loader does not support. */
static const struct {
    unsigned int index;
    const char *what;
} unsupported[] = {
    { IMAGE_DIRECTORY_ENTRY_TLS, "thread-local storage" },
    { IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT, "delayed imports" },
    { IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR, ".NET code" },
};

static bool check_sizes(struct loading *load)
{
    const IMAGE_OPTIONAL_HEADER64 *optional = &load->headers.OptionalHeader;
    size_t alignment = optional->SectionAlignment;

    if (alignment < PAGE_BYTES || (alignment & (alignment - 1))) {
        return fail(load, "sections are aligned to %zu bytes", alignment);
    }
    if (!optional->SizeOfImage || optional->SizeOfImage > MAX_IMAGE) {
        return fail(load, "the program takes %u bytes of memory", (unsigned int)optional->SizeOfImage);
    }
    if (optional->SizeOfHeaders > load->file_size || optional->SizeOfHeaders > optional->SizeOfImage) {
        return fail(load, "truncated: the headers end beyond the end");
    }
    for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++) {
        if (directory(load, unsupported[i].index).VirtualAddress) {
            return fail(load, "the program needs %s", unsupported[i].what);
        }
    }
    return true;
}

static bool read_headers(struct loading *load)
{
    const IMAGE_FILE_HEADER *header = &load->headers.FileHeader;
    IMAGE_DOS_HEADER dos;
    WORD magic;

    if (!file_read(load, 0, &magic, sizeof(magic)) || magic != IMAGE_DOS_SIGNATURE) {
        return fail(load, "not a Windows program");
    }
    if (!file_read(load, 0, &dos, sizeof(dos)) ||
        !file_read(load, dos.e_lfanew, &load->headers,
                   sizeof(load->headers.Signature) + sizeof(load->headers.FileHeader))) {
        return fail(load, "truncated: no PE header");
    }
    if (load->headers.Signature != IMAGE_NT_SIGNATURE) {
        return fail(load, "not a PE file");
    }
    if (header->Machine != IMAGE_FILE_MACHINE_AMD64) {
        return fail(load, "for machine %#x, not for x86_64 (0x8664)", header->Machine);
    }
    if (!(header->Characteristics & IMAGE_FILE_EXECUTABLE_IMAGE) ||
        (header->Characteristics & IMAGE_FILE_DLL)) {
        return fail(load, "not an executable");
    }
    if (!file_read(load, dos.e_lfanew, &load->headers, sizeof(load->headers))) {
        return fail(load, "truncated: no optional header");
    }
    if (header->SizeOfOptionalHeader < sizeof(load->headers.OptionalHeader) ||
        load->headers.OptionalHeader.Magic != IMAGE_NT_OPTIONAL_HDR64_MAGIC ||
        load->headers.OptionalHeader.NumberOfRvaAndSizes > IMAGE_NUMBEROF_DIRECTORY_ENTRIES) {
        return fail(load, "not a PE32+ optional header");
    }
    load->sections_at =
        dos.e_lfanew + offsetof(IMAGE_NT_HEADERS64, OptionalHeader) + header->SizeOfOptionalHeader;
    return check_sizes(load);
}

/* ---- sections ---- */

static bool read_section(struct loading *load, unsigned int index, IMAGE_SECTION_HEADER *ret)
{
    if (!file_read(load, load->sections_at + index * sizeof(*ret), ret, sizeof(*ret))) {
        return fail(load, "truncated: no header of section %u", index);
    }
    if (!ret->Misc.VirtualSize) {
        ret->Misc.VirtualSize = ret->SizeOfRawData;
    }
    if (ret->SizeOfRawData > ret->Misc.VirtualSize) {
        ret->SizeOfRawData = ret->Misc.VirtualSize;
    }
    return true;
}

/* Sections ascend and do not overlap, so that each page belongs to one. */
static bool copy_sections(struct loading *load)
{
    size_t alignment = load->headers.OptionalHeader.SectionAlignment;
    size_t end = load->headers.OptionalHeader.SizeOfHeaders;
    IMAGE_SECTION_HEADER section;

    for (unsigned int i = 0; i < load->headers.FileHeader.NumberOfSections; i++) {
        if (!read_section(load, i, &section)) {
            return false;
        }
        if (section.VirtualAddress < end || (section.VirtualAddress & (alignment - 1)) ||
            !inside(section.VirtualAddress, section.Misc.VirtualSize, load->pe->size)) {
            return fail(load, "section %u does not fit into the program's memory", i);
        }
        if (!inside(section.PointerToRawData, section.SizeOfRawData, load->file_size)) {
            return fail(load, "truncated: section %u ends beyond the end", i);
        }
        memcpy(load->pe->base + section.VirtualAddress, load->file + section.PointerToRawData,
               section.SizeOfRawData);
        end = section.VirtualAddress + section.Misc.VirtualSize;
    }
    return true;
}

static bool map_image(struct loading *load)
{
    size_t size = (load->headers.OptionalHeader.SizeOfImage + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED) {
        return fail(load, "no memory for the program");
    }
    load->pe->base = base;
    load->pe->size = size;
    memcpy(base, load->file, load->headers.OptionalHeader.SizeOfHeaders);
    return copy_sections(load);
}

/* Gives each section the access it asks for, and refuses an entry point outside of code. */
static bool protect_sections(struct loading *load)
{
    size_t entry = load->headers.OptionalHeader.AddressOfEntryPoint;
    IMAGE_SECTION_HEADER section;

    mprotect(load->pe->base, load->pe->size, PROT_READ);
    for (unsigned int i = 0; i < load->headers.FileHeader.NumberOfSections; i++) {
        int prot = 0;

        if (!read_section(load, i, &section)) {
            return false;
        }
        prot |= section.Characteristics & IMAGE_SCN_MEM_READ ? PROT_READ : 0;
        prot |= section.Characteristics & IMAGE_SCN_MEM_WRITE ? PROT_WRITE : 0;
        prot |= section.Characteristics & IMAGE_SCN_MEM_EXECUTE ? PROT_EXEC : 0;
        if (mprotect(load->pe->base + section.VirtualAddress, section.Misc.VirtualSize, prot)) {
            return fail(load, "section %u cannot be protected", i);
        }
        if ((prot & PROT_EXEC) && entry >= section.VirtualAddress &&
            entry - section.VirtualAddress < section.Misc.VirtualSize) {
            load->pe->entry = load->pe->base + entry;
        }
    }
    return load->pe->entry || fail(load, "the entry point is not in a section of code");
}

/* ---- relocations ---- */

static bool relocate_word(struct loading *load, size_t rva, uint64_t delta)
{
    uint64_t value;

    if (!image_read(load, rva, &value, sizeof(value))) {
        return fail(load, "a relocation points beyond the program");
    }
    value += delta;
    return image_write(load, rva, &value, sizeof(value));
}

static bool relocate_block(struct loading *load, size_t rva, const IMAGE_BASE_RELOCATION *block,
                           uint64_t delta)
{
    for (size_t at = sizeof(*block); at + sizeof(WORD) <= block->SizeOfBlock; at += sizeof(WORD)) {
        WORD entry;

        if (!image_read(load, rva + at, &entry, sizeof(entry))) {
            return fail(load, "the relocations end beyond the program");
        }
        switch (entry >> 12) {
        case IMAGE_REL_BASED_ABSOLUTE:
            break;
        case IMAGE_REL_BASED_DIR64:
            if (!relocate_word(load, (size_t)block->VirtualAddress + (entry & 0xfff), delta)) {
                return false;
            }
            break;
        default:
            return fail(load, "relocation of unknown type %d", entry >> 12);
        }
    }
    return true;
}

static bool relocate(struct loading *load)
{
    IMAGE_DATA_DIRECTORY relocs = directory(load, IMAGE_DIRECTORY_ENTRY_BASERELOC);
    uint64_t delta = (uintptr_t)load->pe->base - load->headers.OptionalHeader.ImageBase;
    IMAGE_BASE_RELOCATION block;

    if (load->headers.FileHeader.Characteristics & IMAGE_FILE_RELOCS_STRIPPED) {
        return !delta || fail(load, "has no relocations");
    }
    for (size_t at = 0; at < relocs.Size; at += block.SizeOfBlock) {
        size_t rva = (size_t)relocs.VirtualAddress + at;

        if (!inside(at, sizeof(block), relocs.Size) || !image_read(load, rva, &block, sizeof(block)) ||
            block.SizeOfBlock < sizeof(block) || !inside(at, block.SizeOfBlock, relocs.Size)) {
            return fail(load, "damaged relocations");
        }
        if (!relocate_block(load, rva, &block, delta)) {
            return false;
        }
    }
    return true;
}

/* ---- imports ---- */

static bool resolve_one(struct loading *load, const char *dll, const IMAGE_THUNK_DATA64 *thunk, size_t slot)
{
    char name[MAX_NAME];
    void *function;

    if (IMAGE_SNAP_BY_ORDINAL64(thunk->u1.Ordinal)) {
        return fail(load, "imports number %u of %s", (unsigned int)IMAGE_ORDINAL64(thunk->u1.Ordinal), dll);
    }
    if (thunk->u1.AddressOfData > load->pe->size ||
        !image_string(load, thunk->u1.AddressOfData + offsetof(IMAGE_IMPORT_BY_NAME, Name), name)) {
        return fail(load, "damaged name of an import of %s", dll);
    }
    function = ++load->nr_imports > MAX_IMPORTS ? NULL : load->resolve(load->arg, dll, name);
    if (!function) {
        return fail(load, "imports %s of %s, which is not here", name, dll);
    }
    return image_write(load, slot, &function, sizeof(function)) || fail(load, "damaged import table");
}

static bool resolve_dll(struct loading *load, const IMAGE_IMPORT_DESCRIPTOR *descriptor)
{
    size_t names = descriptor->OriginalFirstThunk ? descriptor->OriginalFirstThunk : descriptor->FirstThunk;
    size_t slots = descriptor->FirstThunk;
    IMAGE_THUNK_DATA64 thunk;
    char dll[MAX_NAME];

    if (!image_string(load, descriptor->Name, dll)) {
        return fail(load, "damaged name of an imported DLL");
    }
    for (size_t at = 0;; at += sizeof(thunk)) {
        if (!image_read(load, names + at, &thunk, sizeof(thunk))) {
            return fail(load, "the imports of %s have no end", dll);
        }
        if (!thunk.u1.AddressOfData) {
            return true;
        }
        if (!resolve_one(load, dll, &thunk, slots + at)) {
            return false;
        }
    }
}

static bool resolve_imports(struct loading *load)
{
    IMAGE_DATA_DIRECTORY imports = directory(load, IMAGE_DIRECTORY_ENTRY_IMPORT);
    IMAGE_IMPORT_DESCRIPTOR descriptor;

    if (!imports.VirtualAddress) {
        return true;
    }
    for (size_t rva = imports.VirtualAddress;; rva += sizeof(descriptor)) {
        if (!image_read(load, rva, &descriptor, sizeof(descriptor))) {
            return fail(load, "the import table has no end");
        }
        if (!descriptor.Name) {
            return true;
        }
        if (!resolve_dll(load, &descriptor)) {
            return false;
        }
    }
}

/* ---- loading ---- */

bool pe_load(struct pe *pe, const void *file, size_t file_size, pe_resolve resolve, void *arg)
{
    struct loading load = { .pe = pe, .file = file, .file_size = file_size, .resolve = resolve, .arg = arg };

    *pe = (struct pe){ .base = NULL };
    if (read_headers(&load) && map_image(&load) && relocate(&load) && resolve_imports(&load) &&
        protect_sections(&load)) {
        return true;
    }
    pe_unload(pe);
    return false;
}

void pe_unload(struct pe *pe)
{
    if (pe->base) {
        munmap(pe->base, pe->size);
        pe->base = NULL;
    }
}
