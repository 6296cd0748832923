/**
 * Makes a failing script small: fewer steps, fewer commands in a step, fewer connections, RESP2, while the two servers
 * still differ. Delta debugging as in test/differential/shrink.ts, over steps.
 */
import { show } from '../support/resp-frames.js';
import type { Difference, Driver } from './driver.js';
import { printScript, printStep, wordOf, type Script, type Step } from './script.js';
import { lineName } from './compare.js';

export interface Shrunk {
  script: Script;
  difference: Difference;
  /** False when the script did not differ again on its second run: a race, or a dependence on time. */
  isReproducible: boolean;
}

const BUDGET_MS = 20_000;
/** While shrinking, what does not come within this time will not come; the first runs waited longer. */
const IMPATIENCE_MS = 300;

export async function shrink(driver: Driver, script: Script, first: Difference, budgetMs = BUDGET_MS): Promise<Shrunk> {
  const deadline = Date.now() + budgetMs;
  let best: Shrunk = { script, difference: first, isReproducible: false };
  const attempt = async (candidate: Script): Promise<boolean> => {
    if (candidate.steps.length === 0 || Date.now() > deadline) return false;
    const { difference } = await driver.run(candidate);
    if (difference === undefined) return false;
    best = { script: candidate, difference, isReproducible: true };
    return true;
  };
  const head = script.steps.slice(0, first.stepIndex + 1);
  if (!(await attempt({ ...script, steps: head })) && !(await attempt(script))) return best;
  const patienceMs = driver.patienceMs;
  driver.patienceMs = IMPATIENCE_MS;
  try {
    await shrinkSteps(() => best.script, attempt);
    await shrinkLines(() => best.script, attempt);
    for (const at of best.script.resp.keys()) {
      if (best.script.resp[at] === 3) await attempt({ ...best.script, resp: best.script.resp.with(at, 2) });
    }
    await attempt(withoutIdleConnections(best.script));
    if (best.script.spacer === true) await attempt({ ...best.script, spacer: false });
    if (Object.keys(best.script.options).length > 0) await attempt({ ...best.script, options: {} });
  } finally {
    driver.patienceMs = patienceMs;
  }
  return best;
}

async function shrinkSteps(present: () => Script, attempt: (script: Script) => Promise<boolean>): Promise<void> {
  for (let size = Math.ceil(present().steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < present().steps.length;) {
      const steps = present().steps.filter((_, index) => index < from || index >= from + size);
      if (!(await attempt({ ...present(), steps }))) from += size;
    }
  }
}

async function shrinkLines(present: () => Script, attempt: (script: Script) => Promise<boolean>): Promise<void> {
  for (let index = 0; index < present().steps.length; index++) {
    for (let place = 0; place < (present().steps[index] as Step).lines.length;) {
      const step = present().steps[index] as Step;
      if (step.lines.length === 1) break;
      const lines = step.lines.filter((_, at) => at !== place);
      if (!(await attempt({ ...present(), steps: present().steps.with(index, { ...step, lines }) }))) place++;
    }
  }
}

/** The connections behind the last one that does anything, left out. */
function withoutIdleConnections(script: Script): Script {
  const last = Math.max(...script.steps.map((step) => step.connection));
  return { ...script, resp: script.resp.slice(0, last + 1) };
}

/** What makes two differences the same bug as far as one can tell from outside. */
export function signature(script: Script, difference: Difference): string {
  const step = script.steps[difference.stepIndex];
  const names = step === undefined ? '' : step.act === 'send' ? [...new Set(step.lines.map(lineName))].join('+') : step.act;
  const blur = (text: string): string => {
    if (difference.kind === 'state') return text;
    const line = text.split('\r\n', 1)[0] ?? '';
    if (line.startsWith('-')) return line.replace(/'[^']*'/g, "'…'").replace(/\d+/g, '#').slice(0, 100);
    if (line.startsWith('>')) return `${line} ${text.split('\r\n')[2] ?? ''}`;
    return line.startsWith('(') ? line.slice(0, 20) : line.slice(0, 1);
  };
  if (difference.kind === 'ended') {
    const reason = /(CHECK failed at .*|SHERD CRASH: .*|after \d+ ms)/.exec(`${difference.oracle} ${difference.subject}`)?.[1];
    return `${script.family}: ended: ${reason ?? 'without a reason'}`;
  }
  const who = difference.connection === step?.connection ? 'sender' : 'other';
  return `${script.family}: ${difference.kind}: ${names} (${who}): ${blur(difference.oracle)} | ${blur(difference.subject)}`;
}

/** Everything a reader needs: how to run it again, the small script, where it differs and both transcripts. */
export function describe(shrunk: Shrunk, original: Script, replay: string): string {
  const { script, difference } = shrunk;
  const step = script.steps[difference.stepIndex];
  const words = (text: string): string => show(Buffer.from(text, 'latin1'), 1_000);
  const list = (frames: string[]): string[] => frames.map((frame) => `    ${words(frame)}`);
  return [
    `DIFFERENCE ${signature(script, difference)}`,
    `script seed ${original.seed}${shrunk.isReproducible ? '' : '; DID NOT DIFFER AGAIN on a second run'}`,
    `replay: ${replay}`,
    printScript(script),
    `at ${difference.kind} of connection ${difference.connection}, step ${difference.stepIndex}: ${step === undefined ? '' : printStep(step)}`,
    `oracle:  ${words(difference.oracle)}`,
    `subject: ${words(difference.subject)}`,
    ...(difference.transcripts.oracle.length + difference.transcripts.subject.length > 2
      ? ['  the oracle gave this connection', ...list(difference.transcripts.oracle), '  the subject', ...list(difference.transcripts.subject)]
      : []),
  ].join('\n');
}

/** Whether any step of the script has this command. */
export function hasCommand(script: Script, name: string): boolean {
  return script.steps.some((step) => step.lines.some((line) => wordOf(line[0]) === name));
}
