/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Why a backend refuses: which step failed, and how. The code that takes a step records its failure;
 * refusal.c puts it into words, and dry_run.c tries the steps in a child.
 */
#ifndef WW_LINUX_KERNEL_REFUSAL_H
#define WW_LINUX_KERNEL_REFUSAL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

/* The steps of a backend's open() and check(), in the order in which a child tries them, and those of a scan
 * of any process. */
enum ww_step {
    WW_STEP_NONE,
    WW_STEP_CLONE, /* makes that child */
    WW_STEP_MEMORY,
    WW_STEP_FSTAT,
    WW_STEP_USERFAULTFD, /* the system call */
    WW_STEP_FULL_ONLY,   /* the same, if the kernel does not know UFFD_USER_MODE_ONLY */
    WW_STEP_DEVICE_FILE, /* opens /dev/userfaultfd */
    WW_STEP_DEVICE,      /* USERFAULTFD_IOC_NEW */
    WW_STEP_API_ASYNC,
    WW_STEP_API_WP,
    WW_STEP_REGISTER,
    WW_STEP_WRITEPROTECT,
    WW_STEP_COPY,
    WW_STEP_ZEROPAGE,
    WW_STEP_POISON,
    WW_STEP_CONTINUE,
    WW_STEP_WAKE,
    WW_STEP_UNREGISTER,
    WW_STEP_PAGEMAP,
    WW_STEP_PREAD,
    WW_STEP_PWRITE,
    WW_STEP_SCAN,
    WW_STEP_CLEAR_REFS,
    WW_STEP_MAPS, /* opens the file */
    WW_STEP_READ_MAPS,
    WW_STEP_MADVISE,
    WW_STEP_MPROTECT,
    WW_STEP_SIGACTION,
    WW_STEP_EPOLL,
    WW_STEP_EPOLL_CTL,
    WW_STEP_THREAD,
    /* A scan of any process. */
    WW_STEP_PROC_PAGEMAP,
    WW_STEP_PROC_PREAD,
    WW_STEP_PROC_SCAN,
    WW_STEP_PROC_MAPS,
    WW_STEP_PROC_SMAPS,
    WW_STEP_PROC_READ,
    /* Verdicts on the result of all of these. */
    WW_STEP_RELEASE,
    WW_STEP_READER,
    WW_STEP_TAKEN,
    WW_STEP_TEST_ASYNC,
    WW_STEP_TEST_SYNC,
    WW_STEP_TEST_PROTECT,
    WW_STEP_TEST_SOFT_DIRTY,
    WW_STEP_NO_SOFT_DIRTY,
    WW_NR_STEPS,
};

#define WW_STEP_BIT(step) (UINT64_C(1) << (step))

enum ww_outcome {
    WW_OUTCOME_ERROR,
    WW_OUTCOME_END,  /* a seccomp filter kills whoever takes the step */
    WW_OUTCOME_HANG, /* the step does not return: a seccomp filter forwards it to another process */
};

struct ww_failure {
    enum ww_step step;
    int error; /* negative errno of the step */
    enum ww_outcome outcome;
    bool device_is_closed; /* /dev/userfaultfd exists, and the process may not open it */
};

/* Records the step if @err is a negative errno; @failure may be NULL. Returns @err. */
static inline int ww_fail(struct ww_failure *failure, enum ww_step step, int err)
{
    if (err < 0 && failure) {
        *failure = (struct ww_failure){ .step = step, .error = err };
    }
    return err;
}

/* Records that there was no memory. mmap(2) has set errno; to the caller all its errors are -ENOMEM. */
static inline int ww_fail_memory(struct ww_failure *failure)
{
    ww_fail(failure, WW_STEP_MEMORY, -errno);
    return -ENOMEM;
}

/* Whether the step may succeed in a moment: a descriptor or memory is short. */
static inline bool ww_is_shortage(int err)
{
    return err == -EMFILE || err == -ENFILE || err == -ENOMEM;
}

struct ww_words {
    struct ww_words *next;
    struct ww_failure failure;
    char reason[256];
    char remedy[256]; /* "": none */
};

/* The failure in words, which are never freed. NULL: no memory. */
const struct ww_words *ww_refusal_words(const struct ww_failure *failure);

/*
 * If a seccomp filter is in force, lets a child take @steps first. Returns 0, or the negative errno of the
 * first step that must not be taken, with the rest in *ret_failure. Steps in @dispensable do not fail;
 * they are put into *ret_barred instead.
 */
int ww_dry_run(uint64_t steps, uint64_t dispensable, uint64_t *ret_barred, struct ww_failure *ret_failure);

#endif
