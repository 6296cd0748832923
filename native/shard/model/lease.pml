/* How commands enter shards: the protocol of native/shard/lease.cc, and what the engine adds to it.
 *
 * What is modelled. A shard's word (holder, inbox, backlog bit) is changed by compare-and-swap
 * only, so each change is one atomic step here; a failed exchange is retried in C++ and is no step
 * at all. Everything between two changes interleaves freely. A worker is in one of these states:
 *
 *   carry   it has a request on several shards in hand and takes its leases in ascending order
 *   serve   it holds leases that it must give up: pop and execute, hand over, or let go
 *   issue   it sends its next command: in place if the lease is idle, else by Submit
 *   drain   it takes frames from its rings: answers, "poll shard s" when a batch was used up, and its
 *           own requests that have got all their leases elsewhere (BOUND)
 *   flush   it rings the bells of those it sent frames to
 *   sleep   sleeping = 1, a second look at the rings, then it waits for its eventfd
 *
 * carry and serve come before all others: together they are one "shift" (LeaseTable::Work). Shard s
 * is owned by worker OWNER(s). A worker issues ROUNDS bursts; a burst is PIPE commands on one
 * shard, or one command on several, and the next begins when all are answered (R3).
 *
 * What is checked in every reachable state
 *   - one call chain at a time in a shard (R1), and it is the named holder;
 *   - every command is executed exactly once, and nobody touches it afterwards (it may be freed);
 *   - commands of one worker on one shard are executed in the order sent;
 *   - no end but the good one: all commands answered, all words idle, all queues empty. A lost
 *     wake-up, a forgotten lease or a cycle of waiting shows as an invalid end state.
 *
 * Spin explores sequentially consistent interleavings. That is enough for the words (all changes
 * are RMWs on one location, totally ordered) but not for the doorbells: doorbell.pml has them with
 * store buffers. Rings are FIFO by construction and appear as flags and counters.
 *
 * Parameters: WORKERS SHARDS ROUNDS PIPE BATCH; SINGLE_ONLY, MULTI_ONLY narrow the commands;
 * BOUND: the commands of workers 1 and up must be executed by their own worker (transactions that touch
 * their session; long commands, whose worker is the runner): who completes their leases grants them.
 * BUSY_OWNER: worker 0 owns all shards and sits in a long command, never draining its rings.
 * Mutants (-DM_...): each is a plausible mistake; scripts/model.mjs demands that spin finds it.
 */
#ifndef WORKERS
#define WORKERS 3
#endif
#ifndef SHARDS
#define SHARDS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef PIPE
#define PIPE 1
#endif
#ifndef BATCH
#define BATCH 1
#endif

#define REQUESTS (WORKERS * PIPE)
#define NONE 255
#define FREE 0
#define WAITING 15            /* kHolderRequest: held by a request that waits elsewhere */
#define BIT(i) (1 << (i))
#define HAS(set, i) (((set) >> (i)) & 1)
#define ORIGIN(r) ((r) / PIPE)

#ifdef BUSY_OWNER
#define OWNER(s) 0
#define BUSY(w) ((w) == 0)
#else
#define OWNER(s) ((s) % WORKERS)
#define BUSY(w) 0
#endif

#ifdef BOUND
#define BOUND_ELSEWHERE(q) (ORIGIN(q) > 0 && ORIGIN(q) != me)
#define GRANTED_TO_ME (granted[me] != NONE)
#else
#define BOUND_ELSEWHERE(q) 0
#define GRANTED_TO_ME 0
#endif

/* The word of a shard, and the backlog that only the holder looks at. */
byte holder[SHARDS];                          /* FREE, worker + 1, or WAITING */
chan inbox[SHARDS] = [REQUESTS] of { byte };
bit left_bit[SHARDS];                         /* B: free, but the backlog is not empty */
chan backlog[SHARDS] = [REQUESTS] of { byte };

/* Requests. */
byte set[REQUESTS];                           /* shards, as bits */
byte at[REQUESTS];                            /* the next shard to take; SHARDS: complete */
bit executed[REQUESTS];

/* Rings and bells. */
byte answers[WORKERS];                        /* answer frames in the rings to this worker */
byte granted[WORKERS] = NONE;                 /* a request of this worker's that has all its leases (PIPE = 1) */
bit poll_frame[SHARDS];                       /* a frame "poll s" in the ring to its owner */
bit sleeping[WORKERS];
bit eventfd[WORKERS];

/* Watched by the assertions. */
byte inside[SHARDS];                          /* worker + 1 of whoever executes there, or 0 */
byte order[WORKERS];                          /* executed commands of the worker's present burst */
byte finished;                                /* workers all of whose commands are answered */
byte gone;                                    /* workers that have ended */

#ifdef M_DESCENDING                           /* worker 1's requests take shard 1 before shard 0 */
#define REVERSED(q) (ORIGIN(q) == 1 && set[q] == 3)
#define HOLDS(q, i) (HAS(set[q], i) && (REVERSED(q) -> (i) >= 2 - at[q] : (i) < at[q]))
#else
#define HOLDS(q, i) (HAS(set[q], i) && (i) < at[q])
#endif

#define IDLE(s) (holder[s] == FREE && len(inbox[s]) == 0 && !left_bit[s])

/* ---- Executing ---- */

#ifdef M_RING_BEFORE_PUSH
#define send_answer(w) owed = owed | BIT(w); late = late | BIT(w)
#else
#define send_answer(w) answers[w]++; owed = owed | BIT(w)
#endif

inline execute(q) {                           /* all leases of q are held by `me` */
  atomic {
    assert(!executed[q]);
    i = 0;
    do
    :: i < SHARDS && HAS(set[q], i) ->
       assert(inside[i] == 0 && holder[i] == me + 1); inside[i] = me + 1; i++
    :: i < SHARDS && !HAS(set[q], i) -> i++
    :: i == SHARDS -> break
    od
  };
  atomic {
    i = 0;
    do
    :: i < SHARDS && HAS(set[q], i) -> assert(inside[i] == me + 1); inside[i] = 0; i++
    :: i < SHARDS && !HAS(set[q], i) -> i++
    :: i == SHARDS -> break
    od;
    i = 0;
    assert(order[ORIGIN(q)] == q % PIPE);     /* in the order sent */
    order[ORIGIN(q)]++;
    executed[q] = 1;                          /* from here on its sender may free it */
    if
    :: ORIGIN(q) == me -> answered++
    :: else -> send_answer(ORIGIN(q))
    fi
  }
}

/* ---- Changes of a word ---- */

inline try_acquire(s) {
#ifdef M_BARGE
  atomic {
    if
    :: holder[s] == FREE -> holder[s] = me + 1; left_bit[s] = 0; got = 1
    :: else -> got = 0
    fi
  }
#else
  atomic {
    if
    :: IDLE(s) -> assert(len(backlog[s]) == 0); holder[s] = me + 1; got = 1
    :: else -> got = 0
    fi
  }
#endif
}

inline claim_or_park(s, q) {                  /* got: 0 parked, 1 taken, 2 adopted */
#ifdef M_PUSH_BLIND
  if                                          /* looks, then pushes, without looking again */
  :: atomic { IDLE(s) -> holder[s] = me + 1; got = 1 }
  :: atomic { holder[s] == FREE && !IDLE(s) ->
              inbox[s]!q; left_bit[s] = 0; holder[s] = me + 1; got = 2 }
  :: holder[s] != FREE -> atomic { inbox[s]!q; got = 0 }
  fi
#else
  atomic {
    if
    :: IDLE(s) -> holder[s] = me + 1; got = 1
    :: holder[s] == FREE && !IDLE(s) -> inbox[s]!q; left_bit[s] = 0; holder[s] = me + 1; got = 2
    :: holder[s] != FREE -> inbox[s]!q; got = 0
    fi
  }
#endif
}

inline poll(s) {                              /* got: 1 if the shard was left and is ours now */
#ifdef M_POLL_HELD
  atomic { if :: !IDLE(s) -> holder[s] = me + 1; left_bit[s] = 0; got = 1 :: else -> got = 0 fi }
#else
  atomic {
    if
    :: holder[s] == FREE && !IDLE(s) -> holder[s] = me + 1; left_bit[s] = 0; got = 1
    :: else -> got = 0
    fi
  }
#endif
}

inline name(q, who) {                         /* all leases that q holds */
  i = 0;
  do
  :: i < SHARDS && HOLDS(q, i) -> atomic { assert(holder[i] != FREE); holder[i] = who; i++ }
  :: i < SHARDS && !HOLDS(q, i) -> i++
  :: i == SHARDS -> i = 0; break
  od
}

inline advance(q) {                           /* at[q] to the request's next shard in its order */
  do
  :: at[q] < SHARDS && !HAS(set[q], at[q]) -> at[q]++
  :: else -> break
  od
}

inline choose(q) {                            /* s: the next shard to take, or SHARDS */
  advance(q);
#ifdef M_DESCENDING
  if
  :: REVERSED(q) && at[q] < SHARDS -> s = 1 - at[q]
  :: else -> s = at[q]
  fi
#else
  s = at[q]
#endif
}

inline pop_queue(s, q) {                      /* q = NONE if nothing is queued */
  atomic {
    if
    :: len(backlog[s]) == 0 ->
       do :: len(inbox[s]) > 0 -> inbox[s]?q; backlog[s]!q :: else -> break od
    :: else -> skip
    fi;
    if :: len(backlog[s]) > 0 -> backlog[s]?q :: else -> q = NONE fi
  }
}

/* To idle, or, with the batch used up, to "left" and the owner is rung. */
inline let_go(s) {
#ifdef M_RELEASE_BLIND
  if
  :: len(inbox[s]) == 0 && len(backlog[s]) == 0 ->  /* looks, then lets go, without looking again */
     atomic { holder[s] = FREE; held = held & ~BIT(s) }
  :: atomic { len(inbox[s]) > 0 || len(backlog[s]) > 0 -> leave(s) }
  fi
#else
  atomic {
    if
    :: len(inbox[s]) == 0 && len(backlog[s]) == 0 -> holder[s] = FREE; held = held & ~BIT(s)
    :: else -> leave(s)
    fi
  }
#endif
}

inline leave(s) {
  if
  :: budget > 0 -> skip                       /* a request came meanwhile: serve it */
  :: else ->
#ifndef M_NO_BACKLOG_BIT
     left_bit[s] = len(backlog[s]) > 0;
#endif
     holder[s] = FREE;
     held = held & ~BIT(s);
     rung = s
  fi
}

inline ring_owner(s) {
#ifdef M_NO_RING_OWNER
  skip
#else
  if
  :: OWNER(s) == me ->
#ifndef M_OWNER_FORGETS_ITSELF
     due = due | BIT(s)
#else
     skip
#endif
  :: else ->
#if defined(BUSY_OWNER) && !defined(M_NO_SELF_POLL)
     due = due | BIT(s);                      /* whoever let go polls it too */
#endif
     poll_frame[s] = 1;
     owed = owed | BIT(OWNER(s))
  fi
#endif
}

/* ---- Bells ---- */

inline ring_bell(w) {
  if
  :: atomic { sleeping[w] -> sleeping[w] = 0 };
     eventfd[w] = 1                           /* the write may come late */
  :: !sleeping[w]
  fi
}

#define FRAMES_FOR_ME (answers[me] > 0 || OWNED_POLL || GRANTED_TO_ME)
#if SHARDS == 2
#define OWNED_POLL ((OWNER(0) == me && poll_frame[0]) || (OWNER(1) == me && poll_frame[1]))
#else
#define OWNED_POLL ((OWNER(0) == me && poll_frame[0]) || (OWNER(1) == me && poll_frame[1]) || \
                    (OWNER(2) == me && poll_frame[2]))
#endif

/* ---- A worker ---- */

mtype = { ISSUE, DRAIN, FLUSH, SLEEP };

proctype Worker(byte me) {
  mtype phase = ISSUE;
  byte round = 0, sent = 0, burst = 0, answered = 0;   /* burst: commands in it; 0: none begun */
  byte target = 0;                            /* shards of the burst's commands, as bits */
  byte carried = NONE, held = 0, budget = 0, rung = NONE;
  byte owed = 0, due = 0, late = 0;           /* bells to ring; shards to poll; only for a mutant */
  byte i = 0, s = 0, q = NONE, got = 0;
  bit keeps = 0;                              /* holds the burst's shard from its last command */

  do
  /* carry */
  :: rung != NONE -> atomic { ring_owner(rung); rung = NONE }
  :: rung == NONE && carried != NONE ->
     atomic {
       assert(!executed[carried]);
       choose(carried);
       if
       :: s == SHARDS && BOUND_ELSEWHERE(carried) -> got = 0
       :: s == SHARDS && !BOUND_ELSEWHERE(carried) ->  /* complete */
#ifdef M_FORGET_LEASE
          held = held | (set[carried] & ~1);
#else
          held = held | set[carried];
#endif
          got = 1
       :: else -> try_acquire(s); if :: got -> at[carried]++ :: else -> skip fi
       fi
     };
     if
     :: s == SHARDS && got -> execute(carried); carried = NONE
     :: s == SHARDS && !got ->                /* grant */
#ifndef M_GRANT_IN_OWN_NAME
        name(carried, WAITING);
#endif
        atomic { granted[ORIGIN(carried)] = carried; owed = owed | BIT(ORIGIN(carried)) };
#ifdef M_KEEP_GRANTED
        held = held | set[carried];
#endif
        carried = NONE
     :: s < SHARDS && got
     :: s < SHARDS && !got ->
#ifndef M_NAME_AFTER_PARK
        name(carried, WAITING);
#endif
        claim_or_park(s, carried);
        if
        :: got == 1 -> name(carried, me + 1); at[carried]++
        :: got == 2 -> held = held | BIT(s); carried = NONE
        :: got == 0 ->
#ifdef M_NAME_AFTER_PARK
           name(carried, WAITING);
#endif
           carried = NONE
        fi
     fi;
     s = 0; got = 0                           /* dead values would only multiply the states */

  /* serve */
  :: rung == NONE && carried == NONE && held ->
     atomic {
       if                                     /* any of those held: the order must not matter */
       :: HAS(held, 0) -> s = 0
       :: HAS(held, 1) -> s = 1
#if SHARDS > 2
       :: HAS(held, 2) -> s = 2
#endif
       fi;
       if
       :: budget > 0 -> pop_queue(s, q)
       :: else -> q = NONE
       fi;
       if
       :: q == NONE -> skip
       :: else ->
          budget--;
          assert(!executed[q] && !HOLDS(q, s));
          if
          :: set[q] == BIT(s) && !BOUND_ELSEWHERE(q) -> skip
          :: else ->                          /* hand-over */
             at[q]++;
             carried = q;
#ifndef M_KEEP_AT_HAND_OVER
             held = held & ~BIT(s)
#endif
          fi
       fi
     };
     if
     :: q == NONE -> let_go(s)
     :: q != NONE && carried == NONE -> execute(q); q = NONE
     :: q != NONE && carried != NONE -> name(q, me + 1); q = NONE
     fi;
     s = 0;
     if :: !held && carried == NONE -> budget = 0 :: else -> skip fi

  /* issue */
  :: rung == NONE && carried == NONE && !held && phase == ISSUE ->
     if
     :: round == ROUNDS || BUSY(me) -> phase = DRAIN
     :: round < ROUNDS && !BUSY(me) && burst == 0 ->
        atomic {
          answered = 0; sent = 0; order[me] = 0; keeps = 0;
          if
#ifndef MULTI_ONLY
          :: target = BIT(0); burst = PIPE
          :: target = BIT(1); burst = PIPE
#if SHARDS > 2
          :: target = BIT(2); burst = PIPE
#endif
#endif
#ifndef SINGLE_ONLY
          :: target = BIT(0) | BIT(1); burst = 1
#if SHARDS > 2
          :: target = BIT(0) | BIT(2); burst = 1
          :: target = BIT(1) | BIT(2); burst = 1
          :: target = BIT(0) | BIT(1) | BIT(2); burst = 1
#endif
#endif
          fi
        }
     :: round < ROUNDS && !BUSY(me) && burst > 0 && sent < burst ->
        atomic {
          q = me * PIPE + sent; sent++;
          set[q] = target; at[q] = 0; executed[q] = 0;
          advance(q);
          s = at[q]
        };
        if
        :: target != BIT(s) -> carried = q; budget = BATCH; q = NONE
        :: else ->
           if
           :: keeps -> got = 1
           :: else -> try_acquire(s)
           fi;
           if
           :: got ->
              execute(q); q = NONE;
              if                              /* keep it for the next command, or give it up */
              :: sent < burst -> keeps = 1
              :: keeps = 0; held = BIT(s); budget = BATCH
              fi
           :: else -> carried = q; budget = BATCH; q = NONE
           fi
        fi;
        s = 0; got = 0
     :: round < ROUNDS && !BUSY(me) && burst > 0 && sent == burst -> phase = DRAIN
     fi

  /* drain */
  :: rung == NONE && carried == NONE && !held && phase == DRAIN ->
     if
     :: BUSY(me) -> skip                      /* in a long command: the rings fill up */
     :: else -> atomic { answered = answered + answers[me]; answers[me] = 0 }
     fi;
     if
     :: !BUSY(me) && GRANTED_TO_ME ->
        atomic { q = granted[me]; granted[me] = NONE };
        name(q, me + 1);
        carried = q; budget = BATCH; q = NONE
     :: !BUSY(me) && OWNED_POLL && !GRANTED_TO_ME ->
        atomic {
          if
          :: OWNER(0) == me && poll_frame[0] -> s = 0
          :: OWNER(1) == me && poll_frame[1] -> s = 1
#if SHARDS > 2
          :: OWNER(2) == me && poll_frame[2] -> s = 2
#endif
          fi;
          poll_frame[s] = 0
        };
        poll(s);
        if :: got -> held = BIT(s); budget = BATCH :: else -> skip fi;
        s = 0; got = 0
     :: due && (BUSY(me) || (!OWNED_POLL && !GRANTED_TO_ME)) ->
        atomic {
          if
          :: HAS(due, 0) -> s = 0
          :: HAS(due, 1) -> s = 1
#if SHARDS > 2
          :: HAS(due, 2) -> s = 2
#endif
          fi;
          due = due & ~BIT(s)
        };
        poll(s);
        if :: got -> held = BIT(s); budget = BATCH :: else -> skip fi;
        s = 0; got = 0
     :: !due && (BUSY(me) || (!OWNED_POLL && !GRANTED_TO_ME)) -> phase = FLUSH
     fi

  /* flush: one bell for each worker that was sent something since the last time */
  :: rung == NONE && carried == NONE && !held && phase == FLUSH ->
#ifdef M_NO_FLUSH
     owed = 0;
#endif
     i = 0;
     do
     :: i < WORKERS && HAS(owed, i) -> ring_bell(i); i++
     :: i < WORKERS && !HAS(owed, i) -> i++
     :: i == WORKERS -> i = 0; break
     od;
#ifdef M_RING_BEFORE_PUSH
     do
     :: i < WORKERS -> if :: HAS(late, i) -> answers[i]++ :: else -> skip fi; i++
     :: i == WORKERS -> i = 0; late = 0; break
     od;
#endif
     owed = 0;
     if
     :: burst > 0 && answered == burst ->
        burst = 0; sent = 0; target = 0; answered = 0; round++;
        if :: round == ROUNDS -> finished++ :: else -> skip fi;
        phase = ISSUE
     :: else -> phase = SLEEP
     fi

  /* sleep */
  :: rung == NONE && carried == NONE && !held && phase == SLEEP ->
     assert(holder[0] != me + 1 && holder[1] != me + 1);  /* off duty: nothing in my name (L1) */
     sleeping[me] = 1;
     if
#ifndef M_NO_RECHECK
     :: !BUSY(me) && FRAMES_FOR_ME -> sleeping[me] = 0; phase = DRAIN
     :: (BUSY(me) || !FRAMES_FOR_ME) ->
#else
     :: true ->
#endif
        if
        :: finished == WORKERS - BUSY(0) -> break
        :: atomic { eventfd[me] -> eventfd[me] = 0 }; sleeping[me] = 0;
           if :: BUSY(me) -> phase = SLEEP :: else -> phase = DRAIN fi
        fi
     fi
  od;

  atomic {
    gone++;
    if
    :: gone == WORKERS ->
       i = 0;
       do
       :: i < SHARDS -> assert(IDLE(i) && len(backlog[i]) == 0); i++
       :: else -> break
       od
    :: else -> skip
    fi
  }
}

init {
  atomic {
    byte w = 0;
    do
    :: w < WORKERS -> run Worker(w); w++
    :: else -> break
    od
  }
}
