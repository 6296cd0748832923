/**
 * LOLWUT: a small picture for the curious, and the version.
 *
 * Ours is a bar of shards, each as tall as its luck. `LOLWUT VERSION n` is accepted with any n, as in Redis, where an
 * unknown one draws nothing. Any thread; no state.
 */
import { randomInt } from 'node:crypto';
import { REDIS_VERSION } from '../../config/config-file.js';
import { reply } from '../../resp/reply.js';
import type { Reply } from '../../resp/reply.js';
import { parseInteger64 } from '../../util/numbers.js';
import { toByteString } from '../../util/bytes.js';

const COLUMNS = 48;
const ROWS = 8;
/** The picture that plain LOLWUT draws; other numbers print the version alone. */
const PICTURE_VERSION = 7n;

export function runLolwut(args: readonly Uint8Array[]): Reply {
  const words = args.slice(1).map(toByteString);
  let version = PICTURE_VERSION;
  if (words.length >= 2 && words[0]?.toLowerCase() === 'version') {
    const asked = parseInteger64(words[1] as string);
    if (asked === undefined) return reply.error('ERR value is not an integer or out of range');
    version = asked;
  }
  const picture = version === PICTURE_VERSION ? `${drawShards()}\nEvery shard does its share.\n\n` : '';
  return reply.verbatim('txt', `${picture}Redis ver. ${REDIS_VERSION}\n`);
}

function drawShards(): string {
  const heights = Array.from({ length: COLUMNS }, () => randomInt(1, ROWS + 1));
  let picture = '';
  for (let row = ROWS; row > 0; row--) {
    picture += heights.map((height) => (height > row ? '#' : height === row ? '^' : ' ')).join('').trimEnd() + '\n';
  }
  return picture;
}
