/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The queue of changes that other processes make to memory here: queue_change() and remote_drain() of
 * dlls/ntdll/remote.c. Three threads make a change each, under Wine's lock. The queue has room for two. Two threads
 * drain it, one of which begins to watch the memory in between.
 *
 * Checked: a drain applies each change that was queued before it began, or after an overflow all possible changes, and
 * no incomplete entry. Every change of watched memory is queued.
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
 *
 * MUTATIONS: -DNO_WINE_LOCK -DNO_SEQ -DNO_OVERFLOW -DNO_ROOM -DFREE_FIRST -DOVERFLOW_FIRST -DNO_DRAIN_LOCK -DWATCH_FIRST
 */
#define QUEUE_LEN 2
#define NR_CHANGES 3

byte queue[QUEUE_LEN];   /* which change */
byte seq_of[QUEUE_LEN];
byte nr_queued, nr_applied;
byte nr_overflows, nr_overflows_applied;
bool may_match, is_watched;
bool wine_lock, drain_lock;
bool queued[NR_CHANGES], applied[NR_CHANGES];

proctype changer(byte me)
{
    byte seq;
    bool matters;

#ifndef NO_WINE_LOCK
    atomic { !wine_lock -> wine_lock = true }
#endif
    matters = is_watched; /* the change is made */
    if
    :: atomic { !may_match -> assert(!matters); goto over }
    :: may_match -> seq = nr_queued
    fi;
again:
#ifndef NO_ROOM
    if
    :: seq < nr_applied || seq - nr_applied >= QUEUE_LEN -> /* the difference is unsigned */
#ifndef NO_OVERFLOW
        nr_overflows++;
#endif
        queued[me] = true;
        goto over
    :: else
    fi;
#endif
    if
    :: atomic { nr_queued == seq -> nr_queued++ }
    :: atomic { nr_queued != seq -> seq = nr_queued; goto again }
    fi;
    queue[seq % QUEUE_LEN] = me;
    d_step { seq_of[seq % QUEUE_LEN] = seq + 1; queued[me] = true }
over:
    wine_lock = false
}

inline drain()
{
    d_step { before[0] = queued[0]; before[1] = queued[1]; before[2] = queued[2] }
    if
    :: nr_queued == nr_applied && nr_overflows == nr_overflows_applied
    :: else ->
#ifndef NO_DRAIN_LOCK
        atomic { !drain_lock -> drain_lock = true }
#endif
        seq = nr_applied;
#ifdef FREE_FIRST
        nr_applied = nr_queued;
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
                applied[change] = true;
                seq++
            }
        :: else -> break
        od;
#ifndef FREE_FIRST
        nr_applied = seq;
#endif
        change = nr_overflows;
        if
        :: change != nr_overflows_applied ->
#ifdef OVERFLOW_FIRST
            nr_overflows_applied = change;
#endif
            d_step { applied[0] = true; applied[1] = true; applied[2] = true }
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
    byte seq, change;

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
    byte seq, change;

    drain()
}

init {
    atomic {
        run changer(0);
        run changer(1);
        run changer(2);
        run watcher();
        run drainer()
    }
}
