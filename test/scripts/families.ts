/**
 * The families of scripts by name, and the list of those that Sherd passes: a family joins the gate by its name in
 * EXISTING.
 */
import { Prng } from '../differential/prng.js';
import { blocking } from './family-blocking.js';
import { clients } from './family-clients.js';
import { notifications } from './family-notifications.js';
import { pubsub } from './family-pubsub.js';
import { trackingFamily } from './family-tracking.js';
import { transactions } from './family-transactions.js';
import type { Draft, Script } from './script.js';

/** Families that the subject must pass in the gate; all of them are run with the oracle on both sides. */
export const EXISTING: readonly string[] = ['transactions', 'blocking', 'pubsub', 'notifications', 'tracking', 'clients'];

const MAKERS: Record<string, (prng: Prng) => Draft> = {
  transactions, blocking, pubsub, notifications, tracking: trackingFamily, clients,
};

export const FAMILY_NAMES: readonly string[] = Object.keys(MAKERS);

/** The family's script with this seed: a function of both, never of the clock. */
export function makeScript(family: string, seed: number): Script {
  const make = MAKERS[family];
  if (make === undefined) throw new Error(`no family ${family}; there are ${FAMILY_NAMES.join(', ')}`);
  return { family, seed, ...make(new Prng(seed)) };
}
