/* Rings and doorbells with store buffers: the handshakes of native/ring/doorbell.h and mesh.h.
 *
 * Spin's memory is sequentially consistent, real memory is not: a store waits in the core's buffer
 * while later loads of the same core go ahead. Here each store of a worker goes into its buffer, a
 * process beside it moves entries to memory whenever it likes, a fence waits until the buffer is
 * empty, and a read-modify-write drains it first, as on x86 (TSO). With that the two fences of a
 * handshake can be seen to be needed.
 *
 * Worker 0 is the consumer, workers 1..PRODUCERS send FRAMES frames each through a ring of CAPACITY
 * slots. What does not fit stays in the producer's overflow list (a count here); the producer
 * raises `stalled` and sleeps until the consumer has made room. The consumer sleeps when all rings
 * are empty. Frames are numbers of arrival: a ring is its two indices.
 *
 * Checked: no invalid end state, that is, all frames arrive and nobody sleeps through his work.
 * Mutants: without the fence between push and bell (M_NO_PRODUCER_FENCE), between `sleeping` and
 * the look of the consumer (M_NO_CONSUMER_FENCE) or of a stalled producer
 * (M_NO_PRODUCER_SLEEP_FENCE), between freeing slots and looking at `stalled` (M_NO_DRAIN_FENCE);
 * without the look itself (M_NO_RECHECK, M_NO_ROOM_RECHECK, M_NO_STALLED_LOOK).
 */
#ifndef PRODUCERS
#define PRODUCERS 1
#endif
#ifndef FRAMES
#define FRAMES 3
#endif
#ifndef CAPACITY
#define CAPACITY 1
#endif

#define WORKERS (PRODUCERS + 1)
#define CONSUMER 0
#define BUFFER 3

/* Memory, by variable: tail and head and stalled of ring p (p = producer), sleeping of worker w. */
#define TAIL(p) (p)
#define HEAD(p) (WORKERS + (p))
#define STALLED(p) (2 * WORKERS + (p))
#define SLEEPING(w) (3 * WORKERS + (w))
byte memory[4 * WORKERS];
chan buffer[WORKERS] = [BUFFER] of { byte, byte };
bit eventfd[WORKERS];                         /* kernel state: a system call drains the buffer */

inline store(variable, value) { buffer[me]!variable,value }
inline fence() { len(buffer[me]) == 0 }

/* Doorbell::RingAfterFence: load, and only if it says 1 the exchange, then the system call. */
inline ring_bell(w) {
  if
  :: memory[SLEEPING(w)] == 0
  :: memory[SLEEPING(w)] == 1 ->
     atomic {
       len(buffer[me]) == 0;                  /* the exchange */
       won = memory[SLEEPING(w)];
       memory[SLEEPING(w)] = 0
     };
     if :: won -> eventfd[w] = 1 :: else -> skip fi;
     won = 0
  fi
}

/* The core's store buffer. */
proctype Core(byte me) {
  byte variable, value;
end:
  do
  :: atomic { buffer[me]?variable,value -> memory[variable] = value; variable = 0; value = 0 }
  od
}

proctype Producer(byte me) {
  byte tail = 0, left = FRAMES;               /* left: not in the ring yet */
  bit won = 0;
  do
  :: left == 0 -> break
  :: left > 0 ->
     do                                       /* RingSender::Flush */
     :: left > 0 && tail - memory[HEAD(me)] < CAPACITY -> tail++; left--; store(TAIL(me), tail)
     :: left > 0 && tail - memory[HEAD(me)] >= CAPACITY -> break
     :: left == 0 -> break
     od;
     if :: left > 0 -> store(STALLED(me), 1) :: else -> store(STALLED(me), 0) fi;
#ifndef M_NO_PRODUCER_FENCE
     fence();                                 /* Mesh::Flush */
#endif
     ring_bell(CONSUMER);
     if
     :: left == 0 -> skip
     :: left > 0 ->                           /* Doorbell::PrepareToSleep */
        store(SLEEPING(me), 1);
#ifndef M_NO_PRODUCER_SLEEP_FENCE
        fence();
#endif
        if
#ifndef M_NO_ROOM_RECHECK
        :: tail - memory[HEAD(me)] < CAPACITY -> skip
        :: tail - memory[HEAD(me)] >= CAPACITY ->
#else
        :: true ->
#endif
           fence();                           /* epoll_wait enters the kernel */
           eventfd[me] == 1;
           eventfd[me] = 0
        fi;
        store(SLEEPING(me), 0)                /* Doorbell::Awake */
     fi
  od
}

proctype Consumer(byte me) {
  byte head[WORKERS], p, total = 0;
  bit won = 0, drained = 0;
  do
  :: total == PRODUCERS * FRAMES -> break
  :: total < PRODUCERS * FRAMES ->
     drained = 0;                             /* Mesh::Drain */
     p = 1;
     do
     :: p == WORKERS -> break
     :: p < WORKERS && memory[TAIL(p)] == head[p] -> p++
     :: p < WORKERS && memory[TAIL(p)] != head[p] ->
        assert(memory[TAIL(p)] > head[p] && memory[TAIL(p)] - head[p] <= CAPACITY);
        atomic {
          total = total + memory[TAIL(p)] - head[p];
          head[p] = memory[TAIL(p)];
        };
        store(HEAD(p), head[p]);
        drained = 1;
        p++
     od;
     if
     :: drained ->
#ifndef M_NO_DRAIN_FENCE
        fence();
#endif
        p = 1;
        do
        :: p == WORKERS -> break
#ifndef M_NO_STALLED_LOOK
        :: p < WORKERS && memory[STALLED(p)] == 1 -> ring_bell(p); p++
        :: p < WORKERS && memory[STALLED(p)] == 0 -> p++
#else
        :: p < WORKERS -> p++
#endif
        od
     :: else -> skip
     fi;
     if
     :: total == PRODUCERS * FRAMES -> skip
     :: else ->
        store(SLEEPING(me), 1);
#ifndef M_NO_CONSUMER_FENCE
        fence();
#endif
        p = 1;
#ifndef M_NO_RECHECK
        do
        :: p < WORKERS && memory[TAIL(p)] == head[p] -> p++
        :: p < WORKERS && memory[TAIL(p)] != head[p] -> break
        :: p == WORKERS -> break
        od;
#else
        p = WORKERS;
#endif
        if
        :: p < WORKERS -> skip
        :: p == WORKERS -> fence(); eventfd[me] == 1; eventfd[me] = 0
        fi;
        p = 0;
        store(SLEEPING(me), 0)
     fi
  od
}

init {
  atomic {
    byte w = 0;
    do
    :: w < WORKERS ->
       run Core(w);
       if :: w == CONSUMER -> run Consumer(w) :: else -> run Producer(w) fi;
       w++
    :: else -> break
    od
  }
}
