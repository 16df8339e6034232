/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ww_fill(3): a file behind memory. */
#include "frame.h"

struct image {
    int fd;
    uintptr_t start;
};

#include "ww_fill-1.c"

int main(void)
{
    size_t page_size = sysconf(_SC_PAGESIZE), size = 64 * page_size;
    char *memory = map(size), *content = malloc(size);
    struct ww_context *ctx = open_context();
    struct image image = { .fd = memfd_create("image", 0), .start = (uintptr_t)memory };
    int err;

    for (size_t i = 0; i < size; i++) {
        content[i] = (char)(i / page_size + 1);
    }
    require(write(image.fd, content, size) == (ssize_t)size);
#include "ww_fill-2.c"
    if (err == -EOPNOTSUPP) {
        printf("%s fills nothing on demand\n", ww_backend_name(ctx));
        return EXIT_SKIPPED;
    }
    require(!err);
    require(!memcmp(memory, content, size));
    require(is_right(ctx, ww_count(ctx, memory, size), 0));
    memory[5 * page_size] = 0;
    require(is_right(ctx, ww_count(ctx, memory, size), 1));
    ww_close(ctx);
    return 0;
}
