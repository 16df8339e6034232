/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The grace period of the mprotect backend: linux/backends/mprotect/grace.c, and its users in
 * linux/backends/mprotect/fault.c and linux/backends/mprotect/mprotect.c.
 *
 * Two threads store to one page, one of them twice; while it is armed, their signal handlers open it and set its dirty
 * bit, which they find by a table. One thread gets and resets the page, one replaces the table and frees the old one,
 * one only waits for handlers, as a thread that gets another region does. Only the parity of the epoch matters.
 *
 * Checked: a get misses no write that was complete when the get began, and no handler uses a freed table.
 *
 * Each mutation takes a guard away, and must fail:
 *   NO_MUTEX      grace periods of several threads overlap
 *   ONE_FLIP      a grace period does not wait for a handler that has read the epoch and not yet counted itself
 *   NO_WAIT       threads read bits, and free tables, without waiting
 *   ARM_FIRST     a reset arms the page first and clears its bit then
 *   BIT_FIRST     the handler sets the bit first and opens the page then
 *
 * MUTATIONS: -DNO_MUTEX -DONE_FLIP -DNO_WAIT -DARM_FIRST -DBIT_FIRST
 */
#define NR_WRITERS 2

bit epoch;
byte at_work[2];
bool grace_lock;

bool is_open, dirty;
bool unreported; /* the page was written, and no answer has reported it since */

bit table;
bool freed[2];
byte nr_over; /* processes that have ended */

inline lock_grace()
{
#ifndef NO_MUTEX
    atomic { !grace_lock -> grace_lock = true }
#else
    skip
#endif
}

inline unlock_grace()
{
#ifndef NO_MUTEX
    grace_lock = false
#else
    skip
#endif
}

inline flip(parity)
{
    d_step { parity = epoch; epoch = 1 - epoch }
    at_work[parity] == 0
}

inline synchronize(parity)
{
#ifndef NO_WAIT
    lock_grace();
    flip(parity);
#ifndef ONE_FLIP
    flip(parity);
#endif
    unlock_grace()
#else
    skip
#endif
}

inline handle_fault()
{
    mine = epoch;
    at_work[mine]++;
    used = table;
#ifdef BIT_FIRST
    dirty = true;
    is_open = true;
#else
    is_open = true;
    dirty = true;
#endif
    d_step { assert(!freed[used]); at_work[mine]--; mine = 0; used = 0 }
}

proctype writer(byte nr)
{
    bit mine, used;

    do
    :: atomic { is_open -> unreported = true; nr--; if :: nr == 0 -> nr_over++; break :: else fi }
    :: !is_open -> handle_fault()
    od
}

proctype getter()
{
    bit parity;
    bool was_written;

    was_written = unreported;
    synchronize(parity);
    if
    :: atomic { !dirty -> assert(!was_written) }
    :: dirty ->
#ifdef ARM_FIRST
        is_open = false;
        dirty = false;
#else
        dirty = false;
        is_open = false;
#endif
        unreported = false
    fi;
    nr_over++
}

proctype replacer()
{
    bit parity;

    table = 1;
    synchronize(parity);
    d_step { freed[0] = true; nr_over++ }
}

proctype other()
{
    bit parity;

    synchronize(parity);
    nr_over++
}

init {
    atomic {
        run writer(2);
        run writer(1);
        run getter();
        run replacer();
        run other()
    }
    nr_over == NR_WRITERS + 3;
    /* The next get would report every write. */
    assert(!unreported || dirty)
}
