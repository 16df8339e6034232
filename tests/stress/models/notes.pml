/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The queue of changes that other processes make to memory here: queue_change(), begin_drop(), end_drop() and
 * remote_drain() of dlls/ntdll/remote.c. Under Wine's lock, another process protects a dirty page (change 0) and drops
 * it (change 1), and this process drops it (change 2). The queue has room for two. Two threads drain it, one of which
 * begins to watch the page in between.
 *
 * A fourth call takes the page's region out of the table, to release it, and puts it back because Wine refuses.
 *
 * Checked: a drain applies each change that was queued before it began, or after an overflow all possible changes, and
 * no incomplete entry. Every change of watched memory by another process is queued. A page that was dirty when it was
 * protected is kept, whatever drops it.
 *
 * Each mutation takes a guard away, and must fail:
 *   NO_WINE_LOCK   two threads queue at once: a drain stops at an incomplete entry and does not apply those after it
 *   NO_SEQ         a drain applies as many entries as were begun
 *   NO_OVERFLOW    a thread drops its change if the queue is full
 *   NO_ROOM        a thread overwrites an entry that is not applied yet
 *   FREE_FIRST     a drain frees entries before it applies them
 *   OVERFLOW_FIRST a drain counts an overflow as applied before it applies all changes
 *   NO_DRAIN_LOCK  two threads drain at once: one returns while the other is in the middle of an entry
 *   WATCH_FIRST    memory is watched before the filter matches it
 *   LATE_ENTRY     a drop takes its entry after the pages are gone
 *   FREE_EARLY     a drain frees what it has applied while a drop is under way
 *   NO_OWN         a drop of this process takes no entry
 *   NO_RECHECK     a drop of memory that was not watched when it began is not queued
 *   NO_PAUSE       a drain applies changes while the region is out of the table
 *
 * MUTATIONS: -DNO_WINE_LOCK -DNO_SEQ -DNO_OVERFLOW -DNO_ROOM -DFREE_FIRST -DOVERFLOW_FIRST -DNO_DRAIN_LOCK -DWATCH_FIRST -DLATE_ENTRY -DFREE_EARLY -DNO_OWN -DNO_RECHECK -DNO_PAUSE
 */
#define QUEUE_LEN 2
#define NR_CHANGES 3

byte queue[QUEUE_LEN];   /* which change */
byte seq_of[QUEUE_LEN];
byte nr_queued, nr_done, nr_applied;
byte nr_overflows, nr_overflows_applied;
bool may_match, is_watched;
bool wine_lock, drain_lock;
bool queued[NR_CHANGES], applied[NR_CHANGES];
bool is_dirty = true;
bool is_detached; /* no change finds the region */
bool must_keep; /* the page was dirty when it was protected */
bool is_kept;

/* take_entry(): sets has_entry. */
inline take_entry()
{
    seq = nr_queued;
    do
#ifndef NO_ROOM
    :: seq < nr_done || seq - nr_done >= QUEUE_LEN -> break /* the difference is unsigned */
#endif
    :: atomic {
#ifndef NO_ROOM
        seq >= nr_done && seq - nr_done < QUEUE_LEN &&
#endif
        nr_queued == seq -> nr_queued++; has_entry = true; break }
    :: atomic { nr_queued != seq -> seq = nr_queued }
    od
}

/* complete_entry(), or an overflow. */
inline complete()
{
    if
    :: has_entry ->
        queue[seq % QUEUE_LEN] = me;
        d_step { seq_of[seq % QUEUE_LEN] = seq + 1; queued[me] = true }
    :: else ->
#ifndef NO_OVERFLOW
        nr_overflows++;
#endif
        queued[me] = true
    fi
}

proctype peer_protects(byte me)
{
    byte seq;
    bool has_entry, matters;

#ifndef NO_WINE_LOCK
    atomic { !wine_lock -> wine_lock = true }
#endif
    d_step { matters = is_watched; must_keep = is_watched && is_dirty }
    if
    :: atomic { !may_match -> assert(!matters) }
    :: may_match ->
        if
        :: is_dirty -> take_entry(); complete()
        :: else
        fi
    fi;
    wine_lock = false
}

proctype peer_drops(byte me)
{
    byte seq;
    bool has_entry, no_room, matters;

#ifndef NO_WINE_LOCK
    atomic { !wine_lock -> wine_lock = true }
#endif
#ifndef LATE_ENTRY
    if
    :: may_match -> take_entry(); no_room = !has_entry
    :: else
    fi;
#endif
    d_step { matters = is_watched; is_dirty = false }
    if
    :: has_entry || no_room -> complete()
    :: else ->
#ifdef NO_RECHECK
        assert(!matters)
#else
        if
        :: atomic { !may_match -> assert(!matters) }
        :: may_match -> take_entry(); complete()
        fi
#endif
    fi;
    wine_lock = false
}

proctype own_drop(byte me)
{
    byte seq;
    bool has_entry, no_room;

#ifndef NO_WINE_LOCK
    atomic { !wine_lock -> wine_lock = true }
#endif
#ifndef NO_OWN
    if
    :: may_match && nr_queued != nr_done -> take_entry(); no_room = !has_entry
    :: else
    fi;
#endif
    is_dirty = false;
    if
    :: has_entry || no_room -> complete()
    :: else
    fi;
    wine_lock = false
}

proctype failing_release()
{
#ifndef NO_PAUSE
    atomic { !drain_lock -> drain_lock = true }
#endif
    is_detached = true;
    is_detached = false;
#ifndef NO_PAUSE
    drain_lock = false
#endif
}

inline drain()
{
    d_step { before[0] = queued[0]; before[1] = queued[1]; before[2] = queued[2] }
    if
    :: nr_queued == nr_done && nr_overflows == nr_overflows_applied
    :: else ->
#ifndef NO_DRAIN_LOCK
        atomic { !drain_lock -> drain_lock = true }
#endif
        seq = nr_applied;
#ifdef FREE_FIRST
        nr_done = nr_queued;
#endif
        do
#ifdef NO_SEQ
        :: seq < nr_queued ->
#else
        :: seq_of[seq % QUEUE_LEN] == seq + 1 ->
#endif
            change = queue[seq % QUEUE_LEN];
            d_step {
                assert(seq_of[seq % QUEUE_LEN] == seq + 1);
                if
                :: change == 0 -> is_kept = is_kept || (is_dirty && !is_detached)
                :: else ->
                    at = nr_done;
                    do
                    :: at < seq -> is_kept = is_kept || (queue[at % QUEUE_LEN] == 0 && !is_detached); at++
                    :: else -> break
                    od
                fi;
                at = 0;
                applied[change] = true;
                seq++
            }
        :: else -> break
        od;
        nr_applied = seq;
#ifndef FREE_FIRST
        if
#ifdef FREE_EARLY
        :: true -> nr_done = seq
#else
        :: seq == nr_queued -> nr_done = seq
#endif
        :: else
        fi;
#endif
        change = nr_overflows;
        if
        :: change != nr_overflows_applied ->
#ifdef OVERFLOW_FIRST
            nr_overflows_applied = change;
#endif
            d_step { applied[0] = true; applied[1] = true; applied[2] = true; is_kept = is_kept || !is_detached }
            nr_overflows_applied = change
        :: else
        fi;
        d_step { change = 0; seq = 0 }
        drain_lock = false
    fi;
    d_step {
        assert(!before[0] || applied[0]);
        assert(!before[1] || applied[1]);
        assert(!before[2] || applied[2])
    }
}

proctype watcher()
{
    bool before[NR_CHANGES];
    byte seq, change, at;

#ifdef WATCH_FIRST
    is_watched = true;
    may_match = true;
    drain()
#else
    may_match = true;
    drain();
    is_watched = true;
    drain()
#endif
}

proctype drainer()
{
    bool before[NR_CHANGES];
    byte seq, change, at;

    drain()
}

init {
    bool before[NR_CHANGES];
    byte seq, change, at;

    atomic {
        run peer_protects(0);
        run peer_drops(1);
        run own_drop(2);
        run failing_release();
        run watcher();
        run drainer()
    }
    _nr_pr == 1;
    drain();
    assert(!must_keep || is_kept)
}
