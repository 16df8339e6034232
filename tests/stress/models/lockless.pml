/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fast path (linux/lockless.c): cached queries that are answered without a lock, about one page.
 *
 * A thread (Asker) answers a cached query without the lock, with or without a reset, while others write, answer
 * with the lock, move the page's bit into the latch (VirtualProtect), and give the memory to another tracker of
 * the process. Checked: a query never answers "clean" if a write was complete before the query and no other
 * answer has reported it since; and in the end every write was reported or can still be, whoever tracks the page
 * by then.
 *
 * Each mutation takes a guard away, and must fail:
 *   RESETS       the query resets without the lock, and latches what it found if its answer does not count
 *   UNCHECKED    the query does not compare the epoch again after the scan
 *   LATE         an epoch ends after a change, not before it
 *
 * MUTATIONS: -DRESETS -DUNCHECKED -DLATE
 */
#define OURS 0
#define OTHERS 1

bit dirty;       /* the kernel's bit of the page */
bit latched;     /* our latch */
bit tracker;     /* which one has the page */
byte epoch = 1;  /* of the region */
byte noted;      /* the epoch in which the query was cached; 0: it is not cached */
bit locked;      /* the region's lock */

bit owed[2];     /* a write was made under this tracker that no answer has reported yet */
byte nr_told;    /* how many answers reported a write under ours */

#define LOCK atomic { !locked -> locked = 1 }
#define UNLOCK locked = 0

inline end_epoch() { epoch++ }

/* A resetting scan, with the lock held: its caller reports or latches what it finds. */
inline scan_and_reset(found)
{
    d_step { found = dirty; dirty = 0 }
}

proctype Writer()
{
    byte i;

    for (i : 1 .. 2) {
        d_step { dirty = 1; owed[tracker] = 1 }
    }
}

proctype Answerer()
{
    byte i;

    for (i : 1 .. 2) {
        LOCK;
        if
        :: tracker == OURS ->
            d_step {
                if
                :: (dirty || latched) && owed[OURS] -> owed[OURS] = 0; nr_told++
                :: else
                fi;
                dirty = 0
            }
            latched = 0;
            noted = epoch
        :: else
        fi;
        UNLOCK
    }
}

proctype Latcher()
{
    bit found;

    LOCK;
    if
    :: tracker == OURS ->
#ifndef LATE
        end_epoch();
#endif
        scan_and_reset(found);
        if
        :: found -> latched = 1
        :: else
        fi;
#ifdef LATE
        end_epoch()
#endif
    :: else
    fi;
    UNLOCK
}

/* ww_unwatch() here, ww_watch() there: writes that were not reported here need not be any more. */
proctype Giver()
{
    LOCK;
    end_epoch();
    d_step { tracker = OTHERS; dirty = 0; latched = 0; owed[OURS] = 0 }
    UNLOCK
}

proctype Asker()
{
    byte i, asked_in, told_before;
    bit found, must, good;

    for (i : 1 .. 2) {
        d_step { must = owed[OURS]; told_before = nr_told }
        asked_in = noted;
        good = asked_in != 0 && epoch == asked_in;
        if
        :: good ->
#ifdef RESETS
            d_step {
                found = dirty;
                dirty = 0;
                if
                :: found && tracker == OURS && owed[OURS] && epoch == asked_in -> owed[OURS] = 0; nr_told++
                :: else
                fi
            }
#else
            found = dirty;
#endif
#ifndef UNCHECKED
            good = epoch == asked_in;
#endif
            if
            :: good ->
                /* The answer is "clean" unless found. */
                assert(found || !must || nr_told != told_before || !owed[OURS])
            :: else ->
#ifdef RESETS
                if
                :: found ->
                    LOCK;
                    if
                    :: tracker == OURS -> latched = 1
                    :: else
                    fi;
                    UNLOCK
                :: else
                fi
#endif
                skip
            fi
        :: else
        fi
    }
}

init {
    pid first = _nr_pr;

    atomic {
        run Writer();
        run Answerer();
        run Latcher();
        run Giver();
        run Asker()
    }
    _nr_pr == first;
    assert(!owed[tracker] || dirty || (tracker == OURS && latched))
}
