/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Functions of glibc under the versions that they had before 2.32 to 2.34, when those of libpthread and libdl
 * moved into libc.so.6 and got new ones; they are the same functions. The linker would take the new ones, and
 * a preload that asks for more than there is lets no program start, as in a container with an older system.
 * So the preload's calls come here (--wrap, in Makefile.am) and go on to the old names, which every glibc
 * since has. The files that had them are linked as well; newer systems keep them as empty ones.
 * tests/analysis/test-hardening.sh has the oldest glibc.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#ifdef __x86_64__
#define EITHER(x86_64, i386) x86_64
#define STAT_VERSION 1
#else
#define EITHER(x86_64, i386) i386
#define STAT_VERSION 3
#endif

#define OLD(type, name, version, parameters)                                                                 \
    __asm__(".symver old_" #name "," #name "@GLIBC_" version);                                               \
    type old_##name parameters

#define FORWARD(type, name, version, parameters, arguments)                                                  \
    OLD(type, name, version, parameters);                                                                    \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters                                                                            \
    {                                                                                                        \
        return old_##name arguments;                                                                         \
    }

#define BASE EITHER("2.2.5", "2.0")
#define RWLOCK EITHER("2.2.5", "2.1")

FORWARD(void *, dlsym, BASE, (void *handle, const char *name), (handle, name))
FORWARD(int, pthread_sigmask, BASE, (int how, const sigset_t *set, sigset_t *ret_old), (how, set, ret_old))
FORWARD(int, pthread_once, BASE, (pthread_once_t * once, void (*init)(void)), (once, init))
FORWARD(int, pthread_create, EITHER("2.2.5", "2.1"),
        (pthread_t * ret, const pthread_attr_t *attr, void *(*start)(void *), void *arg),
        (ret, attr, start, arg))
FORWARD(int, pthread_join, BASE, (pthread_t thread, void **ret), (thread, ret))
FORWARD(int, pthread_tryjoin_np, "2.3.3", (pthread_t thread, void **ret), (thread, ret))
FORWARD(int, pthread_setname_np, "2.12", (pthread_t thread, const char *name), (thread, name))
FORWARD(int, pthread_attr_setstack, EITHER("2.2.5", "2.2"), (pthread_attr_t * attr, void *stack, size_t size),
        (attr, stack, size))
FORWARD(int, pthread_attr_setstacksize, EITHER("2.2.5", "2.1"), (pthread_attr_t * attr, size_t size),
        (attr, size))
FORWARD(int, pthread_rwlockattr_init, RWLOCK, (pthread_rwlockattr_t * attr), (attr))
FORWARD(int, pthread_rwlockattr_setkind_np, RWLOCK, (pthread_rwlockattr_t * attr, int kind), (attr, kind))
FORWARD(int, pthread_rwlockattr_destroy, RWLOCK, (pthread_rwlockattr_t * attr), (attr))
FORWARD(int, pthread_rwlock_init, RWLOCK, (pthread_rwlock_t * lock, const pthread_rwlockattr_t *attr),
        (lock, attr))
FORWARD(int, pthread_rwlock_rdlock, RWLOCK, (pthread_rwlock_t * lock), (lock))
FORWARD(int, pthread_rwlock_wrlock, RWLOCK, (pthread_rwlock_t * lock), (lock))
FORWARD(int, pthread_rwlock_unlock, RWLOCK, (pthread_rwlock_t * lock), (lock))
FORWARD(int, pthread_rwlock_destroy, RWLOCK, (pthread_rwlock_t * lock), (lock))

OLD(int, __fxstat, BASE, (int version, int fd, struct stat *ret));

int __wrap_fstat(int fd, struct stat *ret);
int __wrap_fstat(int fd, struct stat *ret)
{
    return old___fxstat(STAT_VERSION, fd, ret);
}
