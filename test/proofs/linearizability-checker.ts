/**
 * Decides whether the history of one key is linearizable: whether each operation can be given a moment between its
 * sending and its answer such that one after the other they explain all answers (Herlihy and Wing, 1990). Operations
 * of one client must moreover take effect in the order sent (R3), though a pipeline makes them overlap in time.
 *
 * Two deciders, because the general problem is exponential:
 *
 * 1. `checkRegister` for GET, SET, INCR, GETSET. Every write of a history writes a value of its own (the driver sees
 *    to that), so that each read tells whose write it saw. INCR and GETSET follow that write at once, which
 *    ties operations into blocks: a SET and all that read or grew out of it. A history is linearizable iff
 *      a. inside each block, no operation ended before one that stands earlier in it began, and clients' orders hold;
 *      b. the blocks can be put in a row: B before C if some operation of B ended before one of C began, or if a client
 *         sent one of B before one of C. Blocks may not be cut open, so this relation must have no cycle.
 *    That is Gibbons and Korach's argument (1997) with clients' orders added; O(n log n), and exact.
 *
 * 2. `checkBySearch` for any type with a step function; used for lists as stacks (LPUSH, LPOP). The search of Wing and
 *    Gong (1993) with Lowe's memo (2017): take any operation that may be next, go on, and go back at a dead end; a pair of
 *    (operations taken, state) is entered once. Operations that change nothing are taken as soon as they fit, which loses
 *    no solution. Replies of LPUSH tell the depth and elements are unique, so that few steps fit at any time.
 *
 * Operations whose times touch count as overlapping: a violation is only what no reading of the clocks explains.
 */

/** What an operation did. */
export type OperationKind = 'read' | 'write' | 'increment' | 'exchange' | 'push' | 'pop';

/** One operation of a history. */
export interface Operation {
  kind: OperationKind;
  /** Clients are numbered from 0; at most 32 of them. */
  client: number;
  /** What was written, exchanged or pushed. */
  argument: number;
  /** What came back: the value read, incremented to, replaced; the length after a push; the element popped; null. */
  result: number | null;
  /** When it was sent and when the answer had come, in milliseconds. */
  sentAt: number;
  answeredAt: number;
}

/** An operation in a message. */
export function showOperation(one: Operation): string {
  const words = one.kind === 'read' || one.kind === 'pop' || one.kind === 'increment' ? one.kind : `${one.kind} ${one.argument}`;
  return `client ${one.client} ${words} -> ${String(one.result)} [${one.sentAt.toFixed(3)}, ${one.answeredAt.toFixed(3)}]`;
}

// ---- Registers ----

/** A SET with all that read its value or grew out of it, in the order that values enforce. */
interface Block {
  operations: Operation[];
  /** For each operation its place: 2i for the i-th writer, 2i + 1 for readers of its value. */
  places: number[];
  endedFirstAt: number;
  beganLastAt: number;
  /** Blocks that a client's order puts behind this one. */
  after: Set<Block>;
  /** How many blocks a client's order puts before this one. */
  waitsFor: number;
  isTaken: boolean;
}

/** The value an operation has written; undefined for a read. */
function writtenBy(one: Operation): number | undefined {
  if (one.kind === 'write' || one.kind === 'exchange') return one.argument;
  return one.kind === 'increment' ? (one.result as number) : undefined;
}

/** The value an operation has seen; undefined for a write. */
function seenBy(one: Operation): number | null | undefined {
  if (one.kind === 'read' || one.kind === 'exchange') return one.result;
  return one.kind === 'increment' ? (one.result as number) - 1 : undefined;
}

/** What is wrong with a history of reads, writes, increments and exchanges of a key that began as `initial`. */
export function checkRegister(history: readonly Operation[], initial: number): string | undefined {
  const always = { client: -1, sentAt: -Infinity, answeredAt: -Infinity };
  const first: Operation = { kind: 'write', argument: initial, result: null, ...always };
  const ordered = [first, ...history];
  const blocks = tieBlocks(ordered);
  if (typeof blocks === 'string') return blocks;
  for (const block of blocks) {
    const fault = checkBlock(block);
    if (fault !== undefined) return fault;
  }
  return orderClients(blocks, history) ?? orderBlocks(blocks);
}

/** Finds for each value who wrote, read and replaced it, and ties the blocks; or says why that cannot be. */
function tieBlocks(history: readonly Operation[]): Block[] | string {
  const writers = new Map<number, Operation>();
  for (const one of history) {
    const value = writtenBy(one);
    if (value === undefined) continue;
    const other = writers.get(value);
    if (other !== undefined) return `${value} was written twice: ${showOperation(other)}; ${showOperation(one)}`;
    writers.set(value, one);
  }
  const readers = new Map<number, Operation[]>();
  const replacers = new Map<number, Operation>();
  for (const one of history) {
    const value = seenBy(one);
    if (value === undefined) continue;
    if (value === null || !writers.has(value)) return `a value that nobody wrote: ${showOperation(one)}`;
    if (one.kind === 'read') {
      const others = readers.get(value);
      if (others === undefined) readers.set(value, [one]);
      else others.push(one);
      continue;
    }
    const other = replacers.get(value);
    if (other !== undefined) return `${value} was replaced twice: ${showOperation(other)}; ${showOperation(one)}`;
    replacers.set(value, one);
  }
  const blocks: Block[] = [];
  let tied = 0;
  for (const head of history) {
    if (head.kind !== 'write') continue;
    const block = tieBlock(head, readers, replacers);
    tied += block.operations.length;
    blocks.push(block);
  }
  // What no SET leads to has values that grew out of each other in a circle.
  return tied === history.length ? blocks : `${history.length - tied} operations have values without a beginning`;
}

function tieBlock(head: Operation, readers: Map<number, Operation[]>, replacers: Map<number, Operation>): Block {
  const block: Block = {
    operations: [], places: [], endedFirstAt: Infinity, beganLastAt: -Infinity, after: new Set(), waitsFor: 0, isTaken: false,
  };
  const add = (one: Operation, place: number): void => {
    block.operations.push(one);
    block.places.push(place);
    block.endedFirstAt = Math.min(block.endedFirstAt, one.answeredAt);
    block.beganLastAt = Math.max(block.beganLastAt, one.sentAt);
  };
  let place = 0;
  for (let writer: Operation | undefined = head; writer !== undefined; place += 2) {
    const value = writtenBy(writer) as number;
    add(writer, place);
    for (const reader of readers.get(value) ?? []) add(reader, place + 1);
    writer = replacers.get(value);
  }
  return block;
}

/** (a) No operation may have ended before one of an earlier place began. */
function checkBlock({ operations, places }: Block): string | undefined {
  let latest: Operation | undefined;
  for (let at = 0; at < operations.length; ) {
    const place = places[at];
    let end = at;
    while (end < operations.length && places[end] === place) end++;
    for (const one of operations.slice(at, end)) {
      if (latest !== undefined && one.answeredAt < latest.sentAt) {
        return `out of order: ${showOperation(one)} had ended before the one whose value it knows began: ${showOperation(latest)}`;
      }
    }
    for (const one of operations.slice(at, end)) if (latest === undefined || one.sentAt > latest.sentAt) latest = one;
    at = end;
  }
  return undefined;
}

/** Clients' orders: checked inside blocks, noted between them. The history holds each client's operations as sent. */
function orderClients(blocks: readonly Block[], history: readonly Operation[]): string | undefined {
  const where = new Map<Operation, { block: Block; place: number }>();
  for (const block of blocks) {
    for (const [at, one] of block.operations.entries()) where.set(one, { block, place: block.places[at] as number });
  }
  const previous = new Map<number, Operation>();
  for (const one of history) {
    const earlier = previous.get(one.client);
    previous.set(one.client, one);
    if (earlier === undefined) continue;
    const from = where.get(earlier);
    const to = where.get(one);
    if (from === undefined || to === undefined) throw new Error('an operation without a block');
    if (from.block === to.block) {
      if (to.place < from.place) return `a client's order is broken: ${showOperation(earlier)}; ${showOperation(one)}`;
    } else if (!from.block.after.has(to.block)) {
      from.block.after.add(to.block);
      to.block.waitsFor++;
    }
  }
  return undefined;
}

/**
 * (b) Puts the blocks in a row, always taking one that nothing else must precede. Real time lets a block be next if its
 * last beginning is not after the first end of any other block left; `byEnd` knows the two first ends, and among
 * blocks that clients' orders set free, `free` knows the one with the smallest last beginning.
 */
function orderBlocks(blocks: readonly Block[]): string | undefined {
  const byEnd = [...blocks].sort((a, b) => a.endedFirstAt - b.endedFirstAt);
  const free = new Heap<Block>((block) => block.beganLastAt);
  for (const block of blocks) if (block.waitsFor === 0) free.push(block);
  let from = 0;
  for (let taken = 0; taken < blocks.length; taken++) {
    while (byEnd[from]?.isTaken === true) from++;
    const first = byEnd[from] as Block;
    let secondAt = from + 1;
    while (byEnd[secondAt]?.isTaken === true) secondAt++;
    const secondEnd = byEnd[secondAt]?.endedFirstAt ?? Infinity;
    while (free.top?.isTaken === true) free.pop();
    const candidate = free.top;
    const limit = candidate === first ? secondEnd : first.endedFirstAt;
    let next: Block | undefined;
    if (candidate !== undefined && candidate.beganLastAt <= limit) next = candidate;
    else if (first.waitsFor === 0 && first.beganLastAt <= secondEnd) next = first;
    if (next === undefined) {
      const head = first.operations[0] as Operation;
      return `no order explains the history from here on: ${showOperation(head)} and ${first.operations.length - 1} that saw it`;
    }
    next.isTaken = true;
    for (const block of next.after) if (--block.waitsFor === 0) free.push(block);
  }
  return undefined;
}

/** A binary heap with the smallest key on top. */
class Heap<T> {
  private readonly items: T[] = [];
  private readonly keyOf: (item: T) => number;

  constructor(keyOf: (item: T) => number) {
    this.keyOf = keyOf;
  }

  get top(): T | undefined {
    return this.items[0];
  }

  push(item: T): void {
    const { items, keyOf } = this;
    items.push(item);
    for (let at = items.length - 1; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (keyOf(items[parent] as T) <= keyOf(items[at] as T)) break;
      this.swap(at, parent);
      at = parent;
    }
  }

  pop(): void {
    const { items, keyOf } = this;
    const last = items.pop();
    if (last === undefined || items.length === 0) return;
    items[0] = last;
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < items.length && keyOf(items[child] as T) < keyOf(items[least] as T)) least = child;
      }
      if (least === at) return;
      this.swap(at, least);
      at = least;
    }
  }

  private swap(a: number, b: number): void {
    [this.items[a], this.items[b]] = [this.items[b] as T, this.items[a] as T];
  }
}

// ---- Search ----

/** A sequential type: states are numbers, equal when the states are. */
export interface SequentialType {
  initial: number;
  /** The state after the operation; undefined when it cannot have given this result in this state. */
  step(state: number, operation: Operation): number | undefined;
}

/** One value with GET, SET, INCR and GETSET; for comparing the two deciders. */
export function registerType(initial: number): SequentialType {
  return {
    initial,
    step: (state, one) => {
      const seen = seenBy(one);
      if (seen !== undefined && seen !== state) return undefined;
      return writtenBy(one) ?? state;
    },
  };
}

const ELEMENTS_MAX = 2 ** 26;

/** A list with LPUSH and LPOP of unique elements below 2^26. A state is the index of its top in a tree of all stacks. */
export function stackType(): SequentialType {
  const below: number[] = [-1];
  const element: number[] = [-1];
  const depth: number[] = [0];
  const known = new Map<number, number>();
  const push = (state: number, pushed: number): number => {
    const key = state * ELEMENTS_MAX + pushed;
    let next = known.get(key);
    if (next === undefined) {
      next = below.length;
      known.set(key, next);
      below.push(state);
      element.push(pushed);
      depth.push((depth[state] as number) + 1);
    }
    return next;
  };
  return {
    initial: 0,
    step: (state, one) => {
      if (one.kind === 'push') return (depth[state] as number) + 1 === one.result ? push(state, one.argument) : undefined;
      if (one.result === null) return state === 0 ? 0 : undefined;
      return element[state] === one.result ? below[state] : undefined;
    },
  };
}

/** How many pairs of (operations taken, state) a search may enter before it gives up, which counts as a fault. */
const ENTRIES_MAX = 3_000_000;

/** A place to come back to: what was taken there, and what else could be. */
interface Choice {
  options: number[];
  next: number;
  /** Operations taken since, the chosen one first and those that changed nothing behind it. */
  taken: number[];
  stateBefore: number;
}

/** What is wrong with a history of any sequential type. The history holds each client's operations as sent. */
export function checkBySearch(history: readonly Operation[], type: SequentialType): string | undefined {
  return new Search(history, type).run();
}

class Search {
  private readonly operations: Operation[];
  private readonly type: SequentialType;
  private readonly isTaken: Uint8Array;
  private readonly entered = new Set<string>();
  private state: number;
  /** The first operation not taken. */
  private base = 0;
  /** The farthest that `base` has come, for the message. */
  private farthest = 0;

  constructor(history: readonly Operation[], type: SequentialType) {
    // Sorting is stable: operations sent together stay in their client's order.
    this.operations = [...history].sort((a, b) => a.sentAt - b.sentAt);
    this.type = type;
    this.isTaken = new Uint8Array(history.length);
    this.state = type.initial;
  }

  run(): string | undefined {
    const path: Choice[] = [this.open()];
    for (;;) {
      if (this.base === this.operations.length) return undefined;
      if (this.entered.size > ENTRIES_MAX) return `undecided after ${ENTRIES_MAX} steps, at operation ${this.farthest}`;
      const choice = path[path.length - 1];
      if (choice === undefined) return this.explain();
      this.undo(choice);
      const option = choice.options[choice.next++];
      if (option === undefined) {
        path.pop();
        continue;
      }
      this.take(choice, option);
      if (this.enter()) path.push(this.open());
    }
  }

  /** The operations that may be next, those that ended first in front: they are the likeliest. */
  private open(): Choice {
    const options = this.candidates().filter((at) => this.stepOf(at) !== undefined);
    options.sort((a, b) => (this.operations[a] as Operation).answeredAt - (this.operations[b] as Operation).answeredAt);
    return { options, next: 0, taken: [], stateBefore: this.state };
  }

  /** Operations not taken that no other such operation must precede, by time or by their client's order. */
  private candidates(): number[] {
    const found: number[] = [];
    let endedFirstAt = Infinity;
    let clients = 0;
    for (let at = this.base; at < this.operations.length; at++) {
      if (this.isTaken[at] === 1) continue;
      const one = this.operations[at] as Operation;
      if (one.sentAt > endedFirstAt) break;
      endedFirstAt = Math.min(endedFirstAt, one.answeredAt);
      const bit = 1 << one.client;
      if ((clients & bit) === 0) found.push(at);
      clients |= bit;
    }
    return found;
  }

  private stepOf(at: number): number | undefined {
    return this.type.step(this.state, this.operations[at] as Operation);
  }

  /** Takes an operation, and then all that fit and change nothing. */
  private take(choice: Choice, option: number): void {
    this.mark(choice, option);
    for (let isMore = true; isMore; ) {
      isMore = false;
      for (const at of this.candidates()) {
        const { kind } = this.operations[at] as Operation;
        if (kind !== 'read' && !(kind === 'pop' && (this.operations[at] as Operation).result === null)) continue;
        if (this.stepOf(at) === undefined) continue;
        this.mark(choice, at);
        isMore = true;
      }
    }
  }

  private mark(choice: Choice, at: number): void {
    this.state = this.stepOf(at) as number;
    this.isTaken[at] = 1;
    choice.taken.push(at);
    while (this.isTaken[this.base] === 1) this.base++;
    this.farthest = Math.max(this.farthest, this.base);
  }

  private undo(choice: Choice): void {
    for (const at of choice.taken) {
      this.isTaken[at] = 0;
      this.base = Math.min(this.base, at);
    }
    choice.taken.length = 0;
    this.state = choice.stateBefore;
  }

  /** Notes the pair of operations taken and state; false when it has been here before. */
  private enter(): boolean {
    let key = `${this.base}/${this.state}`;
    const last = Math.max(this.base, this.lastTaken());
    for (let at = this.base; at <= last; at++) if (this.isTaken[at] === 1) key += `,${at - this.base}`;
    if (this.entered.has(key)) return false;
    this.entered.add(key);
    return true;
  }

  /** An index behind which nothing is taken: the first operation that began after one not taken had ended. */
  private lastTaken(): number {
    let at = this.base;
    let endedFirstAt = Infinity;
    for (; at < this.operations.length; at++) {
      const one = this.operations[at] as Operation;
      if (one.sentAt > endedFirstAt) break;
      if (this.isTaken[at] === 0) endedFirstAt = Math.min(endedFirstAt, one.answeredAt);
    }
    return at - 1;
  }

  private explain(): string {
    const near = this.operations.slice(Math.max(0, this.farthest - 2), this.farthest + 6).map(showOperation);
    return `no order explains operation ${this.farthest} of ${this.operations.length}; near it:\n    ${near.join('\n    ')}`;
  }
}
