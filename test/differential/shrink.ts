/**
 * Makes a failing stream small and readable: fewer steps, one connection, short values, while the two servers still
 * differ. Delta debugging (Zeller's ddmin, without its complement steps): halves, quarters … single steps.
 */
import { show } from '../support/resp-frames.js';
import type { Step, Stream } from './generator.js';
import type { Difference, Pair } from './pair.js';

export interface Shrunk {
  stream: Stream;
  difference: Difference;
  /** False when the stream did not differ again on its second run: a race, or a dependence on time. */
  isReproducible: boolean;
}

const BUDGET_MS = 20_000;
const SHORT_VALUE = Buffer.from('x');

export async function shrink(pair: Pair, stream: Stream, first: Difference, budgetMs = BUDGET_MS): Promise<Shrunk> {
  const deadline = Date.now() + budgetMs;
  let best: Shrunk = { stream, difference: first, isReproducible: false };
  const attempt = async (candidate: Stream): Promise<boolean> => {
    if (candidate.steps.length === 0 || Date.now() > deadline) return false;
    const { difference } = await pair.run(candidate);
    if (!difference) return false;
    best = { stream: candidate, difference, isReproducible: true };
    return true;
  };
  // What comes behind the difference cannot have caused it.
  const head = stream.steps.slice(0, first.stepIndex + 1);
  if (!(await attempt({ ...stream, steps: head })) && !(await attempt(stream))) return best;

  for (let size = Math.ceil(best.stream.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best.stream.steps.length;) {
      const steps = best.stream.steps.filter((_, index) => index < from || index >= from + size);
      if (!(await attempt({ ...best.stream, steps }))) from += size;
    }
  }
  await attempt({
    ...best.stream,
    connections: 1,
    steps: best.stream.steps.map((step) => ({ ...step, connection: 0 })),
  });
  if (best.stream.delivery === 'split') await attempt({ ...best.stream, delivery: 'pipelined' });
  if (best.stream.resp === 3) await attempt({ ...best.stream, resp: 2 });
  for (let index = 0; index < best.stream.steps.length; index++) {
    const step = best.stream.steps[index] as Step;
    for (let place = 1; place < step.args.length; place++) {
      if ((step.args[place] as Buffer).length <= 24) continue;
      const current = best.stream.steps[index] as Step;
      const args = current.args.map((argument, at) => (at === place ? SHORT_VALUE : argument));
      await attempt({ ...best.stream, steps: best.stream.steps.with(index, { ...current, args }) });
    }
  }
  return best;
}

/** The stream as lines that redis-cli understands, one per step. */
export function printScript(stream: Stream): string {
  const lines = stream.steps.map((step) => {
    const words = step.args.map((argument) => `"${show(argument)}"`).join(' ');
    const connection = stream.connections > 1 ? `[connection ${step.connection}] ` : '';
    return `  ${connection}${words}${step.pauseMs === undefined ? '' : `   (then wait ${step.pauseMs} ms)`}`;
  });
  return lines.join('\n');
}

/** What makes two differences the same bug as far as one can tell from outside. */
export function signature(difference: Difference): string {
  const blur = (text: string): string => {
    const line = text.split('\r\n', 1)[0] ?? '';
    const kind = line.slice(0, 1);
    if (kind === '-')
      return line
        .replace(/'[^']*'/g, "'…'")
        .replace(/\d+/g, '#')
        .slice(0, 100);
    return kind;
  };
  const what = difference.subjectOf.replace(/\d+:".*"$/, '');
  if (difference.kind === 'ended') {
    // What a dying server says of itself is the best name for the bug; the rest is arbitrary.
    const reason = /(CHECK failed at .*|SHERD CRASH: .*|after \d+ ms)/.exec(
      `${difference.oracle} ${difference.subject}`,
    )?.[1];
    return `ended: ${reason ?? 'without a reason'}`;
  }
  return `${difference.kind}: ${what}: ${blur(difference.oracle)} | ${blur(difference.subject)}`;
}
