/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Notes of changes that are made past our calls: take_note() and remote_settle() of dlls/ntdll/remote.c. Three threads
 * make a change each, under Wine's lock; the ring has two notes. Two threads settle, one of which begins to watch
 * the memory in between.
 *
 * A settling applies each change that was noted before it began, or all there may be (overflow), and
 * no note that is not whole. No change of watched memory goes without a note.
 *
 * Without its guards it fails:
 *   NO_WINE_LOCK   two take notes at once: what stands behind a note that is not complete is not settled
 *   NO_TURN        a settling goes by how many notes were begun
 *   NO_OVERFLOW    a note for which there is no room is forgotten
 *   NO_ROOM        a note is written where one waits to be settled
 *   FREE_FIRST     the places of notes are given away before they are applied
 *   OVERFLOW_FIRST an overflow counts as settled before all is applied
 *   NO_SETTLE_LOCK two settle at once: one comes back while the other is in the middle of a note
 *   WATCH_FIRST    memory is watched before changes there are worth a note
 *
 * MUTATIONS: -DNO_WINE_LOCK -DNO_TURN -DNO_OVERFLOW -DNO_ROOM -DFREE_FIRST -DOVERFLOW_FIRST -DNO_SETTLE_LOCK -DWATCH_FIRST
 */
#define NR_NOTES 2
#define NR_CHANGES 3

byte note[NR_NOTES];   /* which change */
byte turn_of[NR_NOTES];
byte nr_written, nr_settled;
byte nr_overflows, nr_overflows_settled;
bool near_watch, is_watched;
bool wine_lock, settle_lock;
bool noted[NR_CHANGES], applied[NR_CHANGES];

proctype taker(byte me)
{
    byte turn;
    bool matters;

#ifndef NO_WINE_LOCK
    atomic { !wine_lock -> wine_lock = true }
#endif
    matters = is_watched; /* the change is made */
    if
    :: atomic { !near_watch -> assert(!matters); goto over }
    :: near_watch -> turn = nr_written
    fi;
again:
#ifndef NO_ROOM
    if
    :: turn < nr_settled || turn - nr_settled >= NR_NOTES -> /* the difference is unsigned */
#ifndef NO_OVERFLOW
        nr_overflows++;
#endif
        noted[me] = true;
        goto over
    :: else
    fi;
#endif
    if
    :: atomic { nr_written == turn -> nr_written++ }
    :: atomic { nr_written != turn -> turn = nr_written; goto again }
    fi;
    note[turn % NR_NOTES] = me;
    d_step { turn_of[turn % NR_NOTES] = turn + 1; noted[me] = true }
over:
    wine_lock = false
}

inline settle()
{
    d_step { before[0] = noted[0]; before[1] = noted[1]; before[2] = noted[2] }
    if
    :: nr_written == nr_settled && nr_overflows == nr_overflows_settled
    :: else ->
#ifndef NO_SETTLE_LOCK
        atomic { !settle_lock -> settle_lock = true }
#endif
        turn = nr_settled;
#ifdef FREE_FIRST
        nr_settled = nr_written;
#endif
        do
#ifdef NO_TURN
        :: turn < nr_written ->
#else
        :: turn_of[turn % NR_NOTES] == turn + 1 ->
#endif
            change = note[turn % NR_NOTES];
            d_step {
                assert(turn_of[turn % NR_NOTES] == turn + 1);
                applied[change] = true;
                turn++
            }
        :: else -> break
        od;
#ifndef FREE_FIRST
        nr_settled = turn;
#endif
        change = nr_overflows;
        if
        :: change != nr_overflows_settled ->
#ifdef OVERFLOW_FIRST
            nr_overflows_settled = change;
#endif
            d_step { applied[0] = true; applied[1] = true; applied[2] = true }
            nr_overflows_settled = change
        :: else
        fi;
        d_step { change = 0; turn = 0 }
        settle_lock = false
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
    byte turn, change;

#ifdef WATCH_FIRST
    is_watched = true;
    near_watch = true;
    settle()
#else
    near_watch = true;
    settle();
    is_watched = true;
    settle()
#endif
}

proctype settler()
{
    bool before[NR_CHANGES];
    byte turn, change;

    settle()
}

init {
    atomic {
        run taker(0);
        run taker(1);
        run taker(2);
        run watcher();
        run settler()
    }
}
