/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The handler thread of the uffd-sync backend, which takes no lock, and the threads that work beside it:
 * linux/backends/uffd_sync/handler.c, table.c, and collect_runs() of uffd_sync.c.
 *
 * Two threads store to one page, one of them twice; while it is protected they wait until the handler has opened it.
 * The handler finds the dirty bit by a table. One thread gets and resets the page. Another changes the table twice, one
 * change after the other (table_lock), and builds the spare table for each; the second change ends a watch beside the
 * page and frees that watch's bits, and another context protects its memory after that.
 *
 * Checked: a get misses no write that was complete when the get began, nobody reads a table while it is built,
 * nobody uses freed bits, and the handler opens no page of another context.
 *
 * Each mutation takes a guard away, and must fail:
 *   NO_SETTLE       a get does not wait until the handler has finished its batch
 *   NO_TABLE_WAIT   a change of the table does not wait for that
 *   PROTECT_FIRST   a reset protects the page first and takes its bit then
 *   MARK_FIRST      the handler sets the bit first and opens the page then
 *   ONE_TABLE       a thread changes the table that is in use
 *   READ_FIRST      the handler reads a message before its batch begins
 *
 * MUTATIONS: -DNO_SETTLE -DNO_TABLE_WAIT -DPROTECT_FIRST -DMARK_FIRST -DONE_TABLE -DREAD_FIRST
 */
bool is_open, dirty, unreported;
bool waiting[2];   /* a store that faulted and waits in the kernel */
bool beside;       /* a fault in the watch beside the page waits */
byte batches;      /* odd while the handler is at work; modulo 4, so a waiting thread may wait longer */
bit table;         /* which of the two the handler uses */
bool is_built[2];  /* a thread is building it */
bool has_beside[2];
bool freed_beside;
bool other_beside; /* the memory beside the page is another context's */
byte nr_over;

inline synchronize(seen)
{
    seen = batches;
    if
    :: seen % 2 == 1 -> batches != seen
    :: else
    fi
}

proctype writer(bit me; byte nr)
{
    do
    :: atomic { is_open -> unreported = true; nr--; if :: nr == 0 -> nr_over++; break :: else fi }
    :: atomic { !is_open -> waiting[me] = true }; !waiting[me]
    od
}

inline open_page()
{
    /* The ioctl opens the page and wakes the threads in one step. */
    atomic { is_open = true; waiting[0] = false; waiting[1] = false }
}

inline mark(is_beside)
{
    used = table;
    assert(!is_built[used]);
    if
    :: is_beside && has_beside[used] -> assert(!freed_beside)
    :: is_beside && !has_beside[used]
    :: !is_beside -> dirty = true
    fi;
    d_step { assert(!is_built[used]); used = 0 }
}

active proctype handler()
{
    bit used;
    bool has_read;

end:
    do
    :: waiting[0] || waiting[1] ->
        batches = (batches + 1) % 4;
#ifdef MARK_FIRST
        mark(false);
        open_page();
#else
        open_page();
        mark(false);
#endif
        batches = (batches + 1) % 4
    :: beside ->
#ifdef READ_FIRST
        atomic { has_read = beside; beside = false }
        batches = (batches + 1) % 4;
#else
        batches = (batches + 1) % 4;
        atomic { has_read = beside; beside = false }
#endif
        if
        :: has_read -> assert(!other_beside); mark(true)
        :: else
        fi;
        batches = (batches + 1) % 4
    od
}

proctype getter()
{
    byte seen;
    bool was_written, was_dirty;

    was_written = unreported;
#ifndef NO_SETTLE
    synchronize(seen);
#endif
#ifdef PROTECT_FIRST
    is_open = false;
#endif
    d_step { was_dirty = dirty; dirty = false; assert(!was_written || was_dirty) }
    if
    :: was_dirty ->
#ifndef PROTECT_FIRST
        is_open = false;
#endif
        unreported = false
    :: else
    fi;
    nr_over++
}

/* Builds a table, without the watch beside the page if @removes. */
inline change(removes)
{
#ifdef ONE_TABLE
    next = table;
#else
    next = 1 - table;
#endif
    d_step { is_built[next] = true; has_beside[next] = has_beside[table] && !removes }
    is_built[next] = false;
    table = next;
#ifndef NO_TABLE_WAIT
    synchronize(seen);
#endif
    skip
}

proctype changer()
{
    byte seen;
    bit next;

    change(false);
    beside = false; /* unregistering drops a fault that was not read */
    change(true);
    d_step { freed_beside = true; other_beside = true; nr_over++ }
}

init {
    atomic {
        beside = true;
        has_beside[0] = true;
        run writer(0, 2);
        run writer(1, 1);
        run getter();
        run changer()
    }
    nr_over == 4 && batches % 2 == 0;
    assert(!unreported || dirty)
}
