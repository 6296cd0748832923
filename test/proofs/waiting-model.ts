/**
 * Who gets what, by the rules: a model of lists and sorted sets with clients waiting on them.
 *
 * After each command (or transaction) that made keys ready, keys are served in the order in which they became ready: from
 * each, waiters take in the order of their arrival for as long as there is something. A waiter that moves its element
 * makes another key ready, which is served after all keys that were ready before. Both types are one here: a sequence with a
 * left and a right end, kept sorted for sorted sets.
 */

/** An element; lists do not look at the score. */
export interface Element {
  name: string;
  score: number;
}

export type End = 'LEFT' | 'RIGHT';

/** A client that waits: for which keys, what it takes, and whereto it moves it, if it does. */
export interface WaiterPlan {
  id: number;
  keys: string[];
  end: End;
  count: number;
  to?: { key: string; end: End };
}

/** What a waiter has got. */
export interface Served {
  key: string;
  elements: Element[];
}

export class WaitingModel {
  readonly served = new Map<number, Served>();

  private readonly sequences = new Map<string, Element[]>();
  private readonly isSorted: boolean;
  private waiters: WaiterPlan[] = [];
  private ready: string[] = [];

  constructor(isSorted: boolean) {
    this.isSorted = isSorted;
  }

  /** Waiters not served, in order of arrival. */
  get waiting(): readonly WaiterPlan[] {
    return this.waiters;
  }

  lengthOf(key: string): number {
    return this.sequences.get(key)?.length ?? 0;
  }

  /** A client begins to wait. */
  arrive(waiter: WaiterPlan): void {
    this.waiters.push(waiter);
  }

  /** A waiter goes away with nothing. */
  leave(id: number): void {
    this.waiters = this.waiters.filter((waiter) => waiter.id !== id);
  }

  push(key: string, end: End, elements: readonly Element[]): void {
    const sequence = this.sequences.get(key) ?? [];
    for (const element of elements) {
      if (end === 'LEFT') sequence.unshift(element);
      else sequence.push(element);
    }
    if (this.isSorted) sequence.sort((a, b) => a.score - b.score);
    this.sequences.set(key, sequence);
    this.signal(key);
  }

  /** The key is overwritten. */
  replace(key: string, elements: readonly Element[]): void {
    this.sequences.delete(key);
    this.push(key, 'RIGHT', elements);
  }

  /** What a plain pop brings. */
  pop(key: string, end: End): Element | undefined {
    const sequence = this.sequences.get(key);
    return end === 'LEFT' ? sequence?.shift() : sequence?.pop();
  }

  /** What happens at the end of a command or transaction. */
  serve(): void {
    while (this.ready.length > 0) for (const key of this.ready.splice(0)) this.serveKey(key);
  }

  private signal(key: string): void {
    if (!this.ready.includes(key)) this.ready.push(key);
  }

  private serveKey(key: string): void {
    for (;;) {
      const at = this.waiters.findIndex((waiter) => waiter.keys.includes(key));
      const waiter = this.waiters[at];
      if (waiter === undefined || this.lengthOf(key) === 0) return;
      this.waiters.splice(at, 1);
      const count = Math.min(waiter.count, this.lengthOf(key));
      const elements = Array.from({ length: count }, () => this.pop(key, waiter.end) as Element);
      this.served.set(waiter.id, { key, elements });
      if (waiter.to !== undefined) this.push(waiter.to.key, waiter.to.end, elements);
    }
  }
}
