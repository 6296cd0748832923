/**
 * The account of elements that were pushed and must arrive exactly once.
 *
 * An element arrives by a reply (`receive`) or by lying in a list that a consumer moved it to (`keep`, after the run). A
 * reply that says an element was moved is held against the list. Lanes may lose as many elements as was granted them
 * by `mayLose`, for consumers that were killed with a command under way; no more, and other lanes nothing.
 */
export class ElementLedger {
  /** Elements missing at the end that their lane was granted to lose. */
  lost = 0;

  private readonly lanes = new Map<string, string>();
  private readonly arrivals = new Map<string, string[]>();
  private readonly moved: { element: string; list: string }[] = [];
  private readonly kept = new Map<string, Set<string>>();
  private readonly grants = new Map<string, number>();

  /** How many elements were pushed. */
  get pushed(): number {
    return this.lanes.size;
  }

  push(element: string, lane: string): void {
    this.lanes.set(element, lane);
  }

  receive(element: string, by: string): void {
    const before = this.arrivals.get(element);
    if (before === undefined) this.arrivals.set(element, [by]);
    else before.push(by);
  }

  /** A reply said that the element was moved to the list. */
  noteMoved(element: string, list: string): void {
    this.moved.push({ element, list });
  }

  /** What the list of a consumer holds at the end. */
  keep(list: string, elements: readonly string[]): void {
    this.kept.set(list, new Set(elements));
    for (const element of elements) this.receive(element, `list ${list}`);
  }

  mayLose(lane: string, count: number): void {
    this.grants.set(lane, (this.grants.get(lane) ?? 0) + count);
  }

  /** All faults: elements that came twice, from nowhere, or not at all beyond what may be lost. */
  settle(): string[] {
    const faults: string[] = [];
    for (const [element, by] of this.arrivals) {
      if (by.length > 1) faults.push(`${element} came ${by.length} times: ${by.join(', ')}`);
      if (!this.lanes.has(element)) faults.push(`${element} came and was never pushed`);
    }
    for (const { element, list } of this.moved) {
      if (this.kept.get(list)?.has(element) !== true) faults.push(`${element} was moved to ${list} and is not there`);
    }
    const missing = new Map<string, string[]>();
    for (const [element, lane] of this.lanes) {
      if (this.arrivals.has(element)) continue;
      const others = missing.get(lane);
      if (others === undefined) missing.set(lane, [element]);
      else others.push(element);
    }
    for (const [lane, elements] of missing) {
      const grant = this.grants.get(lane) ?? 0;
      this.lost += Math.min(grant, elements.length);
      if (elements.length <= grant) continue;
      faults.push(`${elements.length} elements of ${lane} never came, ${grant} may be lost: ${elements.slice(0, 5).join(' ')}`);
    }
    return faults;
  }
}
