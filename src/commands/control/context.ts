/**
 * What a control command may ask of the server. The supervisor implements it on the main thread; tests fake it.
 *
 * Handlers are the only users; they never see workers, messages or the addon.
 */
import type { ConfigStore } from '../../config/config-store.js';
import type { ClientFilter } from '../../native/addon.js';
import type { Persistence } from '../../persistence/persistence.js';
import type { Reply } from '../../resp/reply.js';

/** One control command as it came in. */
export interface ControlCall {
  /** Full table name: `config|get`. */
  command: string;
  /** All arguments, the command's name first. */
  args: readonly Uint8Array[];
  clientId: bigint;
}

/** Arguments of SHUTDOWN after checking. */
export interface ShutdownRequest {
  /** SAVE, NOSAVE; undefined: as the save points say. */
  saves: boolean | undefined;
  isForced: boolean;
}

export interface ControlContext {
  readonly config: ConfigStore;
  readonly persistence: Persistence;
  /** CONFIG SET; rejects with ConfigError and changes nothing when refused. Resolves when the new values hold. */
  setConfig(pairs: readonly (readonly [string, string])[], mayChangeProtected: boolean): Promise<void>;
  /** CONFIG REWRITE; returns an error text. */
  rewriteConfig(): string | undefined;
  resetStats(): void;
  /** The text of INFO. */
  info(sections: readonly string[]): string;
  /** CLIENT LIST lines of all workers, in the order of the clients' ids. */
  listClients(filter: ClientFilter): Promise<string>;
  /** Closes matching clients of all workers; how many there were. */
  killClients(filter: ClientFilter): Promise<number>;
  /** Ends the waiting of a client of any worker; whether it was waiting. */
  unblockClient(clientId: bigint, withError: boolean): Promise<boolean>;
  /** Begins the end. Gives an error text when the server may not end. */
  shutdown(request: ShutdownRequest): Promise<string | undefined>;
  /** SHUTDOWN ABORT: whether there was a shutdown to call off. */
  abortShutdown(): boolean;
}

/** Answers a control command; undefined means that no reply is sent. */
export type ControlHandler = (
  call: ControlCall,
  context: ControlContext,
) => Reply | undefined | Promise<Reply | undefined>;
