/**
 * The command table as a whole: all groups in order, flattened with full names, and looked up by name.
 *
 * The flat order (a container directly before its subcommands) is the order of the native CommandId values, so an
 * index here and an id there mean the same command. Adding a command may shift ids; they are never stored.
 */
import { bitmapCommands } from './bitmap.js';
import { blockingCommands } from './blocking.js';
import { connectionCommands } from './connection.js';
import { valueCommands } from './generic-values.js';
import { genericCommands } from './generic.js';
import { geoCommands } from './geo.js';
import { hashCommands } from './hash.js';
import { hyperloglogCommands } from './hyperloglog.js';
import { listCommands } from './list.js';
import { pubsubCommands } from './pubsub.js';
import { serverCommands } from './server.js';
import { setCommands } from './set.js';
import { sortedSetCommands } from './sorted-set.js';
import { streamCommands } from './stream.js';
import { stringCommands } from './string.js';
import { transactionCommands } from './transaction.js';
import type { Command } from './types.js';

export * from './types.js';

/** All commands without their subcommands, group by group. A new family is added here. */
export const COMMANDS: readonly Command[] = [
  ...connectionCommands,
  ...stringCommands,
  ...listCommands,
  ...setCommands,
  ...hashCommands,
  ...sortedSetCommands,
  ...streamCommands,
  ...geoCommands,
  ...bitmapCommands,
  ...hyperloglogCommands,
  ...genericCommands,
  ...valueCommands,
  ...blockingCommands,
  ...transactionCommands,
  ...pubsubCommands,
  ...serverCommands,
];

/** A command in the flat table. */
export interface TableEntry {
  /** Position in the flat table; the native CommandId. */
  readonly id: number;
  /** `get`, `client|getname`. */
  readonly fullName: string;
  readonly command: Command;
  readonly parent?: TableEntry;
  /** Entries of the subcommands; empty when the command is not a container. */
  readonly subcommands: readonly TableEntry[];
}

function flatten(): readonly TableEntry[] {
  const entries: TableEntry[] = [];
  for (const command of COMMANDS) {
    const subcommands: TableEntry[] = [];
    const entry: TableEntry = { id: entries.length, fullName: command.name, command, subcommands };
    entries.push(entry);
    for (const subcommand of command.subcommands ?? []) {
      const fullName = `${command.name}|${subcommand.name}`;
      const child = { id: entries.length, fullName, command: subcommand, parent: entry, subcommands: [] };
      subcommands.push(child);
      entries.push(child);
    }
  }
  return entries;
}

/** Every command and subcommand; the index is the id. */
export const ENTRIES: readonly TableEntry[] = flatten();

const entriesByName: ReadonlyMap<string, TableEntry> = new Map(ENTRIES.map((entry) => [entry.fullName, entry]));

/** Finds a command by its full name in any letter case. */
export function findCommand(fullName: string): TableEntry | undefined {
  return entriesByName.get(lowerAscii(fullName));
}

/** Lower-cases ASCII letters only: other letters in a name must not turn into a command's. */
export function lowerAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
