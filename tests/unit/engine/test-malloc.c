/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The library does not call malloc() or its family with signals blocked: not in any public call, the first of
 * a process included, and not when a backend is replaced in the middle of an answer. This file defines those
 * functions, so that it also sees the C library's own calls, from pthread_create() or fopen() for example;
 * each of them looks at the signal mask. Every case runs in a process of its own, on every backend that
 * works, and on the one that ww_open() chooses.
 *
 * A child runs test-malloc CASE BACKEND; with an empty BACKEND, ww_open() chooses.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "malloc-test.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

bool was_called_blocked(void)
{
    return false;
}

int main(void)
{
    printf("SKIP: malloc() is the sanitizer's\n");
    return EXIT_SKIPPED;
}

#else

static struct ww_probe backends[MAX_BACKENDS];
static size_t nr_backends;

/* ---- malloc() looks at the signal mask ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t nr, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static atomic_uint nr_calls, nr_blocked;
static const char *first_blocked;
static const char *blocked_in;

/* glibc blocks all signals in a thread that ends, and if the thread is detached, frees its data there. The
 * library detaches a worker whose job was not over in ww_close(); no thread waits for such a worker. */
static bool is_ending_thread(void)
{
    char name[16] = "";

    syscall(SYS_prctl, PR_GET_NAME, name, 0, 0, 0);
    return !strcmp(name, "ww-idle");
}

static void look(const char *function)
{
    uint64_t mask = 0, asynchronous = UINT64_C(1) << (SIGUSR1 - 1) | UINT64_C(1) << (SIGALRM - 1);

    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask));
    atomic_fetch_add(&nr_calls, 1);
    if ((mask & asynchronous) && !is_ending_thread() && !atomic_fetch_add(&nr_blocked, 1)) {
        first_blocked = function;
        blocked_in = doing;
    }
}

/* With hidden visibility, the C library would still call its own functions. */
#pragma GCC visibility push(default)

void *malloc(size_t size)
{
    look("malloc");
    return __libc_malloc(size);
}

void *calloc(size_t nr, size_t size)
{
    look("calloc");
    return __libc_calloc(nr, size);
}

void *realloc(void *block, size_t size)
{
    look("realloc");
    return __libc_realloc(block, size);
}

void *memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size)
{
    look("memalign");
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    look("aligned_alloc");
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    look("posix_memalign");
    *ret = __libc_memalign(alignment, size);
    return *ret ? 0 : ENOMEM;
}

void free(void *block)
{
    if (block) {
        look("free");
    }
    __libc_free(block);
}

#pragma GCC visibility pop

bool was_called_blocked(void)
{
    return atomic_load(&nr_blocked);
}

/* ---- the cases ---- */

static int run_case(size_t index, const char *name)
{
    if (index < nr_cases) {
        cases[index].run(name);
    } else {
        run_replacement(index - nr_cases, name);
    }
    if (wrong) {
        dprintf(2, "wrong: %s\n", wrong);
    }
    if (atomic_load(&nr_blocked)) {
        dprintf(2, "%u of %u calls with signals blocked, the first is %s() in %s\n", atomic_load(&nr_blocked),
                atomic_load(&nr_calls), first_blocked, blocked_in);
    }
    return wrong || atomic_load(&nr_blocked);
}

/* Runs a case in a new process, which has made no call of the library yet. */
static void check_case(size_t index, const char *what, const char *name)
{
    char number[24];
    int status;
    pid_t pid;

    snprintf(number, sizeof(number), "%zu", index);
    pid = fork();
    if (!pid) {
        execl("/proc/self/exe", "test-malloc", number, name, (char *)NULL);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(!status, "%s on %s (test-malloc %s '%s'): status %#x", what, name[0] ? name : "the best",
                  number, name, status);
}

/* The backend of a step in a loop over cases and backends; the last one is empty: ww_open() chooses. */
static const char *backend_of(int index)
{
    size_t at = index % (nr_backends + 1);

    return at < nr_backends ? backends[at].name : "";
}

START_TEST(calls_do_not_use_malloc_with_signals_blocked)
{
    size_t index = _i / (nr_backends + 1);

    check_case(index, cases[index].name, backend_of(_i));
}
END_TEST

START_TEST(replacements_do_not_use_malloc_with_signals_blocked)
{
    size_t index = _i / (nr_backends + 1), at = _i % (nr_backends + 1);
    char what[200];

    /* The backend that ww_open() chooses is the first. */
    if (replacement_of(index).on_demand &&
        !(backends[at < nr_backends ? at : 0].caps & WW_CAP_FILL_ON_DEMAND)) {
        return;
    }
    describe_replacement(index, what, sizeof(what));
    check_case(nr_cases + index, what, backend_of(_i));
}
END_TEST

/* The other tests need this: that calls from within the C library come here, too. */
START_TEST(calls_of_the_c_library_are_seen)
{
    unsigned int before = atomic_load(&nr_calls);
    sigset_t all, saved;
    FILE *file;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &saved);
    file = fopen("/dev/null", "r");
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    ck_assert_ptr_nonnull(file);
    fclose(file);
    ck_assert_uint_gt(atomic_load(&nr_calls), before);
    ck_assert_uint_gt(atomic_load(&nr_blocked), 0);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("malloc");
    TCase *calls = tcase_create("calls"), *replacements = tcase_create("replacements");

    if (argc == 3) {
        return run_case(atoi(argv[1]), argv[2]);
    }
    nr_backends = find_backends(backends, 0);
    tcase_set_timeout(calls, 60);
    tcase_set_timeout(replacements, 60);
    tcase_add_test(calls, calls_of_the_c_library_are_seen);
    tcase_add_loop_test(calls, calls_do_not_use_malloc_with_signals_blocked, 0, nr_cases * (nr_backends + 1));
    tcase_add_loop_test(replacements, replacements_do_not_use_malloc_with_signals_blocked, 0,
                        nr_replacements * (nr_backends + 1));
    suite_add_tcase(suite, calls);
    suite_add_tcase(suite, replacements);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
