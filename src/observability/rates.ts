/**
 * "Per second, just now" of counters, as INFO's instantaneous fields show it.
 *
 * A ring of samples taken every SAMPLE_MS by the supervisor's timer; a rate is the mean over the ring, as in Redis
 * (16 samples, 100 ms apart). Main thread.
 */
import type { Counters } from './counters.js';

export const SAMPLE_MS = 100;
const SAMPLES = 16;
const FIELDS = ['commands_processed', 'net_input_bytes', 'net_output_bytes', 'loop_iterations'] as const;
export type RateField = (typeof FIELDS)[number];

interface Sample {
  atMs: number;
  totals: ReadonlyMap<RateField, bigint>;
}

export class Rates {
  private samples: Sample[] = [];

  /** Takes one sample. */
  sample(counters: Counters, nowMs: number): void {
    const totals = new Map(FIELDS.map((field) => [field, counters.worker(field)]));
    this.samples.push({ atMs: nowMs, totals });
    if (this.samples.length > SAMPLES) this.samples.shift();
  }

  /** After the counters were reset the old samples mean nothing. */
  reset(): void {
    this.samples = [];
  }

  perSecond(field: RateField): number {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    if (!first || !last || last.atMs <= first.atMs) return 0;
    const delta = Number((last.totals.get(field) ?? 0n) - (first.totals.get(field) ?? 0n));
    return (delta * 1000) / (last.atMs - first.atMs);
  }
}
