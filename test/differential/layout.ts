/**
 * Names for the layouts of the subject: `8x2` is 8 shards on 2 workers, `8x2o` the same with every command executed by
 * the owner of its shard.
 */

/** The server's options for a layout. Throws when the name is none. */
export function layoutOptions(name: string): string[] {
  const [, shards, workers, owner] = /^(\d+)x(\d+)(o?)$/.exec(name) ?? [];
  if (shards === undefined || workers === undefined) throw new Error(`no layout: ${name}; SHARDSxWORKERS, or with an o`);
  const options = ['--shards', shards, '--worker-threads', workers];
  return owner === 'o' ? [...options, '--execution-layout', 'owner'] : options;
}
